"""Load through sockets: clients that each keep so many messages unacknowledged, and what it came to.

One thread, plain sockets. The protocol is a `Wire`, so that the same load can be put on other systems too.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from node_runtime.config import Address
from node_runtime.histogram import Histogram

_RECEIVE = 64 * 1024  # bytes; greater buffers are slower
_DRAIN_S = 3.0  # seconds that the last acks may take
_RETRY_S = 0.05
_SILENCE_S = 5.0


class Plan(NamedTuple):
    """What load is asked for; `seconds` count after `warm_up` seconds that do not."""

    clients: int = 5
    in_flight: int = 1
    size: int = 16
    seconds: float = 10.0
    warm_up: float = 0.5


class WireError(Exception):
    """The other side said no, or something that makes no sense; the text is a short code."""


class Wire(Protocol):
    """What one client says and hears; knows no socket."""

    def greet(self) -> bytes:
        """What to send first on a fresh connection."""

    def requests(self, count: int) -> bytes:
        """The next `count` messages."""

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """How many more messages are acknowledged, oldest first, and what is to be sent back for it.

        Raises: WireError.
        """

    def again(self) -> bytes:
        """What to send first to another node after this one was lost; its answer is awaited before anything else."""


@dataclass(slots=True)
class _Frame:
    """Messages up to number `end` of a client left at `at` (monotonic nanoseconds)."""

    end: int
    at: int


@dataclass(slots=True)
class Tally:
    """What was acknowledged between `begin` and `end` (monotonic nanoseconds), and what went wrong at any time."""

    begin: int
    end: int
    latencies: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: Counter[int] = field(default_factory=Counter)
    acked: int = 0

    def count(self, now: int, sent: int, messages: int) -> None:
        """So many messages, sent at `sent`, are acknowledged now."""
        self.acked += messages
        if self.begin <= now < self.end:
            self.latencies.add((now - sent) // 1000, messages)
            self.seconds[(now - self.begin) // 1_000_000_000] += messages


class Lane:
    """One client: a connection, what it sent and what it waits for. `addresses` are tried in turn."""

    def __init__(self, wire: Wire, addresses: Sequence[Address], in_flight: int, tally: Tally) -> None:
        self._wire = wire
        self._addresses = addresses
        self._turn = 0
        self._in_flight = in_flight
        self._tally = tally
        self._frames: deque[_Frame] = deque()
        self._sent = 0
        self._acked = 0
        self._out = b""
        self._is_ready = True
        self._since: int | None = None  # when the oldest message left that has to be sent again
        self.heard = 0
        self.socket: socket.socket | None = None
        self.retry_at = 0

    @property
    def pending(self) -> int:
        """Messages without an answer."""
        return self._sent - self._acked

    @property
    def is_choked(self) -> bool:
        """Whether bytes wait for the socket to take them."""
        return bool(self._out)

    def connect(self, greeting: bytes) -> None:
        """Connect to the address whose turn it is.

        Raises: OSError.
        """
        address = self._addresses[self._turn % len(self._addresses)]
        link = socket.create_connection((address.host, address.port), timeout=1.0)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setblocking(False)
        self.socket, self.heard = link, time.monotonic_ns()
        self._out = greeting
        self.flush()

    def start(self) -> None:
        """Connect for the first time and send as much as may be in flight.

        Raises: OSError.
        """
        self.connect(self._wire.greet())
        self.fill()

    def resume(self) -> bool:
        """Connect again after a loss; False where it did not work, True where it did and the answer is awaited."""
        try:
            self.connect(self._wire.again())
        except OSError as error:
            self._lost(type(error).__name__)
            return False
        self._is_ready = False
        return True

    def fill(self) -> None:
        """Send new messages until as many as wanted are in flight."""
        room = self._in_flight - self.pending
        if room <= 0 or not self._is_ready or self._out:
            return
        now = time.monotonic_ns()
        self._out = self._wire.requests(room)
        self._sent += room
        self._frames.append(_Frame(self._sent, self._since or now))
        self._since = None
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it."""
        assert self.socket is not None
        if self._out:
            with contextlib.suppress(BlockingIOError):
                self._out = self._out[self.socket.send(self._out) :]

    def readable(self, go_on: bool) -> None:
        """Take what has arrived, and send what may be sent for it unless it is over.

        Raises: OSError, WireError.
        """
        assert self.socket is not None
        data = self.socket.recv(_RECEIVE)
        if not data:
            raise WireError("closed")
        news, back = self._wire.feed(data)
        self.heard = time.monotonic_ns()
        if news:
            self._count(news, self.heard)
        self._is_ready = True
        if back:
            self._out += back
            self.flush()
        if go_on:
            self.fill()

    def _count(self, news: int, now: int) -> None:
        self._acked += news
        self._sent = max(self._sent, self._acked)
        frames, tally = self._frames, self._tally
        while frames and news:
            start = self._acked - news
            of_frame = min(news, frames[0].end - start)
            tally.count(now, frames[0].at, of_frame)
            news -= of_frame
            if frames[0].end <= start + of_frame:
                frames.popleft()
        if news and self._since is not None:  # a node said at the reconnect that they had been decided
            tally.count(now, self._since, news)

    def drop(self, code: str) -> None:
        """The connection is of no more use."""
        if self.socket is not None:
            self.socket.close()
        self._lost(code)

    def _lost(self, code: str) -> None:
        self._tally.errors[code] += 1
        self.socket = None
        self._turn += 1
        self.retry_at = time.monotonic_ns() + int(_RETRY_S * 1e9)
        if self._frames:
            self._since = self._since or self._frames[0].at
        self._frames.clear()
        self._sent, self._out = self._acked, b""


class Load:
    """Keeps the lanes busy for the time of the plan, then lets them come to rest."""

    def __init__(self, plan: Plan, lanes: Sequence[Callable[[Tally], Lane]], *, endure: bool) -> None:
        begin = time.monotonic_ns() + int(plan.warm_up * 1e9)
        self.tally = Tally(begin, begin + int(plan.seconds * 1e9))
        self._lanes = [make(self.tally) for make in lanes]
        self._endure = endure
        self.cpu = time.process_time()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """All of it.

        Raises: OSError where a lane cannot connect at first; WireError for any loss unless the load is to endure it.
        """
        try:
            for lane in self._lanes:
                lane.start()
                self._watch(lane)
            self._turns(self.tally.end, go_on=True)
            self._turns(time.monotonic_ns() + int(_DRAIN_S * 1e9), go_on=False)
        finally:
            for lane in self._lanes:
                if lane.socket is not None:
                    lane.socket.close()
            self._selector.close()

    @property
    def pending(self) -> int:
        """Messages whose fate is unknown."""
        return sum(lane.pending for lane in self._lanes)

    def _turns(self, until: int, *, go_on: bool) -> None:
        looked = 0
        while (now := time.monotonic_ns()) < until and (go_on or self.pending):
            for key, events in self._selector.select(min(0.1, (until - now) / 1e9)):
                self._attend(key.data, events, go_on)
            if now - looked > 50_000_000:
                looked = now
                self._look_after(now)

    def _attend(self, lane: Lane, events: int, go_on: bool) -> None:
        was_choked = lane.is_choked
        try:
            if events & selectors.EVENT_WRITE:
                lane.flush()
            if events & selectors.EVENT_READ:
                lane.readable(go_on)
        except (OSError, WireError, ValueError, KeyError) as error:
            self._drop(lane, str(error) if isinstance(error, WireError) else type(error).__name__)
            return
        if lane.is_choked != was_choked and lane.socket is not None:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if lane.is_choked else 0)
            self._selector.modify(lane.socket, wanted, lane)

    def _look_after(self, now: int) -> None:
        """Bring lanes back that lost their node, and leave nodes that say nothing."""
        for lane in self._lanes:
            if lane.socket is None:
                if now >= lane.retry_at and lane.resume():
                    self._watch(lane)
            elif lane.pending and now - lane.heard > _SILENCE_S * 1e9:
                self._drop(lane, "silent")

    def _watch(self, lane: Lane) -> None:
        assert lane.socket is not None
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if lane.is_choked else 0)
        self._selector.register(lane.socket, wanted, lane)

    def _drop(self, lane: Lane, code: str) -> None:
        assert lane.socket is not None
        self._selector.unregister(lane.socket)
        lane.drop(code)
        if not self._endure:
            raise WireError(code)


def report(plan: Plan, load: Load) -> dict[str, Any]:
    """What came of it, as one JSON object."""
    tally, latencies = load.tally, load.tally.latencies
    shares = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}
    return {
        **plan._asdict(),
        "messages": latencies.total,
        "rate": round(latencies.total / plan.seconds, 1),
        "acked": tally.acked,
        "unknown": load.pending,
        "errors": dict(tally.errors),
        "mean_us": round(latencies.sum_us / latencies.total) if latencies.total else None,
        **{name: latencies.quantile(share) for name, share in shares.items()},
        "by_second": [tally.seconds.get(second, 0) for second in range(int(plan.seconds))],
        "cpu_s": round(time.process_time() - load.cpu, 3),
        "histogram": latencies.rows(),
    }
