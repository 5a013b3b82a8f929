"""The lines that containers write: first what was written so far, in order of time, then what comes, until all have ended.

The engine's own following has three traps. A stream may end though its container runs on, or stay open after it has
ended; it does not come back when the container is started again; and a line over 16 KiB comes in pieces, each with a
timestamp in front. So each container gets a reader thread; the engine's events say when a container ended (`die`) and
when to read again (`start`); pieces are joined; and what was read before a stream was opened again is left out.
"""

from __future__ import annotations

import contextlib
import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from votesync_cli.engines import docker_labels as labels
from votesync_cli.engines.base import LogLine
from votesync_cli.engines.docker_create import nanoseconds
from votesync_cli.engines.docker_faults import fault, translated
from votesync_cli.errors import VotesyncError

if TYPE_CHECKING:
    from docker.api.client import APIClient

QUEUE_LINES = 10_000  # lines read and not yet taken; beyond it the readers wait
DRAIN = 1.0  # seconds that a stream may stay open after its container's `die`
GRACE = 3.0  # seconds in which a container that ended may be started again, as `restart` does
REOPEN = 0.2  # seconds before a stream that ended too early is opened again
_PIECE = 256 * 1024
_ALIVE = frozenset({"running", "paused", "restarting"})


class Stamped(NamedTuple):
    """One whole line, and when it was written in Unix nanoseconds."""

    at: int
    line: str


class Source(NamedTuple):
    """A container to read from."""

    service: str
    container: str


def whole_lines(frames: Iterable[bytes], after: int = 0) -> Iterator[Stamped]:
    """Join the engine's frames to lines; those at the head that were written at or before `after` are left out.

    A frame is `<timestamp> <text>`, and ends with a newline if it is a line's last piece. All pieces of a line have
    the line's timestamp. Only the head is filtered, so a clock that was set back loses nothing.
    """
    pieces: list[bytes] = []
    at = 0
    for frame in frames:
        stamp, _, text = frame.partition(b" ")
        try:
            at = nanoseconds(stamp.decode("ascii", "replace"))
        except ValueError:
            text = frame
        pieces.append(text.removesuffix(b"\n"))
        if not frame.endswith(b"\n"):
            continue
        line, pieces = b"".join(pieces).decode("utf-8", "replace"), []
        if at > after:
            after = 0
            yield Stamped(at, line)
    if pieces and at > after:
        yield Stamped(at, b"".join(pieces).decode("utf-8", "replace"))


def history(api: APIClient, sources: Sequence[Source], since: float | None) -> Iterator[tuple[Source, Stamped]]:
    """All that these containers wrote until now, merged by time; one stream a container, constant memory.

    Raises: EnvironmentFault.
    """

    def one(source: Source) -> Iterator[tuple[int, int, Source, Stamped]]:
        try:
            with translated(f"read the log of {source.service}"), _opened(api, source, follow=False, since=since) as stream:
                for number, stamped in enumerate(whole_lines(stream)):
                    yield stamped.at, number, source, stamped
        except _Gone:
            return

    for _, _, source, stamped in heapq.merge(*(one(source) for source in sources)):
        yield source, stamped


def raw_log(api: APIClient, source: Source) -> Iterator[bytes]:
    """All that a container wrote, without timestamps; the SDK's own reader takes a line at a time and is ten times slower.

    Raises: EnvironmentFault.
    """
    url = f"{api.base_url}/v{api.api_version}/containers/{source.container}/logs"
    asked = {"stdout": 1, "stderr": 1}
    what = f"read the log of {source.service}"
    with translated(what), api.get(url, params=asked, stream=True, timeout=api.timeout) as answer:
        answer.raise_for_status()
        yield from unframed(answer.iter_content(_PIECE))


def unframed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Take the frames' heads out of a stream: a byte for stdout or stderr, three of nothing, four for the size.

    A container with a terminal (`tty: true`) has no frames: what does not look like one is passed on as it is.
    """
    rest, is_framed = b"", True
    for piece in pieces:
        data, at, bodies = rest + piece, 0, []
        while len(data) - at >= 8 and (is_framed := is_framed and data[at + 1 : at + 4] == b"\0\0\0"):
            end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
            if end > len(data):
                break
            bodies.append(data[at + 8 : end])
            at = end
        if not is_framed:
            bodies, at = [*bodies, data[at:]], len(data)
        rest = data[at:]
        yield b"".join(bodies)


class Follower:
    """Reads the logs of a project's services until all have ended; `lines` is the only thing to call."""

    def __init__(self, api: APIClient, project_filter: Mapping[str, list[str]], find: Callable[[], Sequence[Source]]) -> None:
        self._api = api
        self._filter = dict(project_filter)
        self._find = find
        self._queue: queue.Queue[LogLine | VotesyncError | None] = queue.Queue(QUEUE_LINES)  # None: look how things are
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._readers: dict[Source, _Reader] = {}
        self._last: dict[Source, int] = {}
        self._ended_at: float | None = None
        self._events: Any = None

    def lines(self, since: float | None) -> Iterator[LogLine]:
        """What was written since, then what comes.

        Raises: EnvironmentFault.
        """
        try:
            with translated("follow the engine's events"):
                self._events = self._api.events(
                    decode=True, filters={**self._filter, "type": ["container"], "event": ["start", "die", "destroy"]}
                )
            sources = self._find()
            for source, stamped in history(self._api, sources, since):
                self._last[source] = stamped.at
                yield LogLine(source.service, stamped.line, stamped.at / 1e9)
            for source in sources:
                self._last.setdefault(source, int((since or 0) * 1e9))
                self._read(source)
            threading.Thread(target=self._watch, name="docker-events", daemon=True).start()
            yield from self._live()
        finally:
            self._close()

    def _live(self) -> Iterator[LogLine]:
        while True:
            try:
                item = self._queue.get(timeout=0.25)
            except queue.Empty:
                item = None
            if isinstance(item, VotesyncError):
                raise item
            if item is not None:
                yield item
            elif self._all_ended():
                return

    def _all_ended(self) -> bool:
        """Whether no reader has read anything, and none was wanted again, for the time that a restart takes."""
        with self._lock:
            busy = any(reader.is_alive() for reader in self._readers.values())
        if busy or not self._queue.empty():
            self._ended_at = None
            return False
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        # Containers that had ended before we came will not be restarted just now; those that ended under our eyes may.
        return not self._last_was_live() or time.monotonic() - self._ended_at > GRACE

    def _last_was_live(self) -> bool:
        with self._lock:
            return any(reader.live for reader in self._readers.values())

    def _read(self, source: Source) -> None:
        """Start to read a container, from where its last reader stopped."""
        with self._lock:
            old = self._readers.get(source)
            if self._stop.is_set() or (old is not None and old.is_alive() and not old.died.is_set()):
                return
            reader = _Reader(self._api, source, self._last, self._put, self._stop, after=old)
            self._readers[source] = reader
        reader.start()

    def _watch(self) -> None:
        """Hear of containers that end and of those that are started, recreated ones included."""
        try:
            with translated("follow the engine's events"):
                for event in self._events:
                    self._heard(str(event.get("Action")), str((event.get("Actor") or {}).get("ID")))
            raise fault(ConnectionError(), "follow the engine's events")  # the engine went away
        except VotesyncError as error:
            self._put(error)  # nobody is told if it was `_close` that cut the stream

    def _heard(self, action: str, container: str) -> None:
        if action == "start":
            for source in self._find():
                if source.container == container:
                    self._read(source)
        else:
            for reader in self._of(container):
                reader.container_died()
        self._put(None)

    def _of(self, container: str) -> list[_Reader]:
        with self._lock:
            return [reader for source, reader in self._readers.items() if source.container == container]

    def _put(self, item: LogLine | VotesyncError | None) -> None:
        """Hand over; a reader waits here while nobody takes lines."""
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=0.25)
                return

    def _close(self) -> None:
        self._stop.set()
        with self._lock:
            readers = list(self._readers.values())
        for reader in readers:
            reader.close()
        _close(self._events)


class _Gone(Exception):
    """The container is no more."""


class _Reader:
    """One container's log from the last line known, until the container has ended and its log is read to the end."""

    def __init__(
        self,
        api: APIClient,
        source: Source,
        last: dict[Source, int],
        put: Callable[[LogLine | VotesyncError | None], None],
        stop: threading.Event,
        after: _Reader | None,
    ) -> None:
        self._api, self._source, self._last, self._put, self._stop, self._after = api, source, last, put, stop, after
        self.died = threading.Event()
        self.live = after is not None  # whether it ran while we watched
        self._stream: Any = None
        self._followed: Any = None  # the stream, while it is one that follows
        self._thread = threading.Thread(target=self._run, name=f"docker-logs-{source.service}", daemon=True)
        self.start = self._thread.start
        self.is_alive = self._thread.is_alive
        self.join = self._thread.join

    def _run(self) -> None:
        """Read; open again what ended too early."""
        if self._after is not None:
            self._after.join()
        try:
            while not self._stop.is_set():
                alive = self._is_alive()
                self.live = self.live or alive
                self._drain(follow=alive)
                if not alive:
                    return
                self._stop.wait(0 if self.died.is_set() else REOPEN)
        except _Gone:
            return
        except VotesyncError as error:
            self._put(error)
        finally:
            self._put(None)

    def container_died(self) -> None:
        """The engine says so. A stream that still follows after `DRAIN` hangs: it is cut, and the rest read without."""
        self.died.set()
        timer = threading.Timer(DRAIN, _close, [self._followed])
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """Cut the stream, so that the thread goes on (and ends, if it was told to stop)."""
        _close(self._stream)

    def _drain(self, *, follow: bool) -> None:
        last = self._last.get(self._source, 0)
        since = max(last // 1000 - 1, 1) / 1e6  # a float holds microseconds: ask for a bit too much, drop what is known
        what = f"read the log of {self._source.service}"
        with translated(what), _opened(self._api, self._source, follow=follow, since=since) as self._stream:
            self._followed = self._stream if follow else None
            if self._stop.is_set() or (follow and self.died.is_set()):
                return  # that came before there was a stream to cut
            for at, line in whole_lines(self._stream, after=last):
                self._last[self._source] = at
                self._put(LogLine(self._source.service, line, at / 1e9))
                if self._stop.is_set():
                    return

    def _is_alive(self) -> bool:
        """Whether the container may still write. After its `die` it may not, though it may have been started again."""
        from docker.errors import NotFound

        if self.died.is_set():
            return False
        with translated(f"look at {self._source.service}"):
            try:
                state = self._api.inspect_container(self._source.container)["State"]
            except NotFound:
                raise _Gone from None
        return str(state.get("Status")) in _ALIVE


@contextlib.contextmanager
def _opened(api: APIClient, source: Source, *, follow: bool, since: float | None) -> Iterator[Any]:
    from docker.errors import APIError, NotFound

    try:
        stream = api.logs(source.container, stream=True, follow=follow, timestamps=True, since=since or None)
    except NotFound:
        raise _Gone from None
    except APIError as error:
        if error.status_code == 409:  # it is being removed
            raise _Gone from None
        raise
    try:
        yield stream
    finally:
        _close(stream)


def _close(stream: Any) -> None:
    """Cut a stream of the SDK from whatever thread; one that has ended already has no socket left to cut."""
    if stream is not None:
        with contextlib.suppress(OSError, AttributeError, ValueError):
            stream.close()


def labelled_service(summary: Mapping[str, Any]) -> str:
    """The service of a container, as the engine's list shows it."""
    return str((summary.get("Labels") or {}).get(labels.SERVICE, ""))
