"""Clients' histories as compact columns: what each session sent, when, through which nodes, and what was acknowledged.

The lines are those of `node_runtime/history.py`. Memory: 26 bytes a message, and its text and 8 bytes more where
texts are not the messages' numbers. A client writes `invoke` before it sends, so a message without one was not sent.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from math import isfinite
from operator import lt
from pathlib import Path
from typing import Any, BinaryIO

from node_runtime.messages import MAX_NODES
from votesync_cli.verify.verdict import Place

NEVER = 2**63 - 1  # the acknowledgement that did not come, or whose clock says nothing
_CHUNK = 256 * 1024
_MOST_GAP = 1_000_000  # numbers of a session that somebody else may have used
_INVOKE = re.compile(
    rb'\{"event":"invoke","session":"([\w.:-]++)","seq":(\d{1,16}+),"time":(\d{1,16}+),"text":"([^"\\\n]*+)",'
    rb'"node":(\d{1,2}+),"mono":(\d{1,18}+)\}\n'
)
_OK = re.compile(
    rb'\{"event":"ok","session":"([\w.:-]++)","seq":(\d{1,16}+),'
    rb'"round":(?:\d++|null),"offset":(?:\d++|null),"mono":(\d{1,18}+)\}\n'
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One message as its client sent it."""

    time: int
    text: bytes


class SessionHistory:
    """The messages of one session; `index` 0 is the message with the number `first`, times and clocks in microseconds."""

    def __init__(self, name: bytes, first: int) -> None:
        self.name = name
        self.first = first
        self.times = array("q")
        self.nodes = array("B")
        self.invoked = array("q")
        self.acked = array("q")
        self.failed: set[int] = set()
        self.holes: set[int] = set()  # numbers that the history passes over
        self.elsewhere: set[int] = set()  # those of them that a batch began behind: somebody else used the session
        self.resends: list[tuple[int, int, int]] = []  # first index, last index, node
        self.boots: list[tuple[int, str]] = []  # index from which on `invoked` is of this boot's clock
        self.zeros: list[tuple[int, int]] = []  # the same, with the Unix microseconds at the zero of that clock
        self.is_open = False  # a batch began and did not end
        self._begun = first
        self._blob = bytearray()
        self._ends: array[int] | None = None  # None as long as each text is its number
        self._places: dict[tuple[int, bytes], list[int]] | None = None

    def __len__(self) -> int:
        return len(self.times)

    def texts(self, start: int, end: int) -> Iterable[bytes]:
        """The texts of messages [start, end)."""
        if self._ends is None:
            return map(b"%d".__mod__, range(self.first + start, self.first + end))
        ends = self._ends
        return (bytes(self._blob[ends[place] : ends[place + 1]]) for place in range(start, end))

    def sent(self, index: int) -> Sent:
        """One message."""
        return Sent(self.times[index], next(iter(self.texts(index, index + 1))))

    def nodes_of(self, index: int) -> set[int]:
        """The nodes that the message was ever sent to."""
        return {self.nodes[index], *(node for first, last, node in self.resends if first <= index <= last)}

    def boot_of(self, index: int) -> str:
        """The boot of the clock that `invoked` was read from."""
        return next((boot for start, boot in reversed(self.boots) if start <= index), "")

    def find(self, time: int, text: bytes) -> list[int]:
        """The messages with this time and text. Memory: as many entries as there are messages, from the first call on."""
        if self._places is None:
            self._places = {}
            for index, (sent, body) in enumerate(zip(self.times, self.texts(0, len(self)), strict=True)):
                if index not in self.holes:
                    self._places.setdefault((sent, body), []).append(index)
        return self._places.get((time, text), [])

    # --- filling ---

    def begin(self, first: int, boot: str, zero: int | None = None) -> None:
        """A batch starts or goes on; `zero`: Unix microseconds at the zero of its clock, None where that is not known."""
        self.is_open = True
        self._begun = first
        if not self.boots or self.boots[-1][1] != boot:
            self.boots.append((len(self), boot))
            if zero is not None:
                self.zeros.append((len(self), zero))

    def invoke(self, seqs: list[int], times: list[int], texts: list[bytes], nodes: list[int], monos: list[int]) -> None:
        """Messages that follow one another. Numbers that were invoked before are left as they are.

        Raises: ValueError, OverflowError for what no client writes.
        """
        if self.first + len(self) + _MOST_GAP < seqs[0] or not all(0 <= node < MAX_NODES for node in set(nodes)):
            raise ValueError("no client writes this")
        known = self.first + len(self) - seqs[0]
        if known > 0:
            if known < len(seqs):
                self.invoke(seqs[known:], times[known:], texts[known:], nodes[known:], monos[known:])
            return
        stamps, through, clocks = array("q", times), array("B", nodes), array("q", monos)  # all or nothing
        if known < 0:
            self._pass_over(-known, elsewhere=seqs[0] == self._begun)
        self._note_texts(seqs[0], texts)
        self.times.extend(stamps)
        self.nodes.extend(through)
        self.invoked.extend(clocks)
        self.acked.extend(repeat(NEVER, len(times)))

    def ok(self, seqs: list[int], monos: list[int], boot: str) -> None:
        """Acknowledgements of neighbouring messages; from a clock of another boot they say nothing about time."""
        start, end = seqs[0] - self.first, seqs[-1] + 1 - self.first
        if start < 0 or end > len(self):
            kept = [seq for seq in seqs if 0 <= seq - self.first < len(self)]
            if kept:
                self.ok(kept, monos[seqs.index(kept[0]) : seqs.index(kept[-1]) + 1], boot)
        elif boot == self.boot_of(start) == self.boot_of(end - 1):
            self.acked[start:end] = array("q", map(min, self.acked[start:end], monos))
        else:
            for index in range(start, end):
                mono = monos[index - start] if boot == self.boot_of(index) else NEVER - 1
                self.acked[index] = min(self.acked[index], mono)

    def was_acked(self, index: int) -> bool:
        """Whether the client was told that the message is in the file."""
        return self.acked[index] != NEVER

    def _pass_over(self, count: int, *, elsewhere: bool) -> None:
        start = len(self)
        self.holes.update(range(start, start + count))
        if elsewhere:
            self.elsewhere.update(range(start, start + count))
        self._note_texts(self.first + start, [b""] * count)
        self.times.extend(repeat(-1, count))
        self.nodes.extend(repeat(0, count))
        self.invoked.extend(repeat(0, count))
        self.acked.extend(repeat(NEVER, count))

    def _note_texts(self, first: int, texts: list[bytes]) -> None:
        if self._ends is None:
            if texts == list(map(b"%d".__mod__, range(first, first + len(texts)))):
                return
            known = list(self.texts(0, len(self)))
            self._ends = array("Q", [0])
            self._append_texts(known)
        self._append_texts(texts)

    def _append_texts(self, texts: list[bytes]) -> None:
        assert self._ends is not None
        at = len(self._blob)
        for text in texts:
            at += len(text)
            self._ends.append(at)
        self._blob += b"".join(texts)


class Histories:
    """All sessions of all history files."""

    def __init__(self) -> None:
        self.sessions: dict[bytes, SessionHistory] = {}
        self.files: list[str] = []
        self.boots: set[str] = set()
        self.unread = 0  # lines that are no events
        self._boot: dict[bytes, str] = {}

    def read_file(self, path: Path) -> None:
        """Add one file.

        Raises: OSError.
        """
        self.files.append(str(path))
        with path.open("rb") as stream:
            for lines in _whole_lines(stream):
                self._take(lines)

    def where(self, session: bytes, seq: int, event: str) -> Place | None:
        """The line of one event, found by reading the files again."""
        for name in self.files:
            with Path(name).open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    if b'"seq":%d' % seq in line:
                        found = _event(line)
                        if (found.get("event"), found.get("session"), found.get("seq")) == (event, session.decode(), seq):
                            return Place(number, line.decode(errors="replace").strip(), name)
        return None

    def _take(self, lines: bytes) -> None:
        """Whole lines; `begin` lines cut them into pieces, inside which only the order of like events matters."""
        at = 0
        while (start := lines.find(b'{"event":"begin"', at)) >= 0:
            self._take_piece(lines[at:start])
            at = lines.find(b"\n", start) + 1
            self._other(lines[start:at])
        self._take_piece(lines[at:])

    def _take_piece(self, lines: bytes) -> None:
        invokes, oks = _INVOKE.findall(lines), _OK.findall(lines)
        others: list[bytes] = []
        if len(invokes) + len(oks) != lines.count(b"\n"):
            others = [line for line in lines.splitlines(keepends=True) if not (_INVOKE.fullmatch(line) or _OK.fullmatch(line))]
        if any(line.startswith(b'{"event":"invoke"') for line in others):
            for line in lines.splitlines(keepends=True):  # texts with escapes: they must keep their place
                self._other(line)
            return
        for name, columns in _by_session(invokes):
            self._invoke(name, columns)
        for name, (seqs, monos) in _by_session(oks):
            numbers, clocks = list(map(int, seqs)), list(map(int, monos))
            for part in _stretches(numbers) if name in self.sessions else ():
                self.sessions[name].ok(numbers[part], clocks[part], self._boot.get(name, ""))
        for line in others:
            self._other(line)

    def _invoke(self, name: bytes, columns: tuple[tuple[bytes, ...], ...]) -> None:
        seqs, times, texts, nodes, monos = columns
        numbers, rest = list(map(int, seqs)), [list(map(int, column)) for column in (times, nodes, monos)]
        session = self._session(name, numbers[0])
        for part in _stretches(numbers):
            stamps, through, clocks = (column[part] for column in rest)
            try:
                session.invoke(numbers[part], stamps, list(texts[part]), through, clocks)
            except (ValueError, OverflowError):
                self.unread += len(stamps)

    def _session(self, name: bytes, first: int) -> SessionHistory:
        session = self.sessions.get(name)
        if session is None:
            session = self.sessions[name] = SessionHistory(name, first)
        return session

    def _other(self, line: bytes) -> None:
        try:
            self._event(line)
        except (ValueError, OverflowError):
            self.unread += 1

    def _event(self, line: bytes) -> None:
        event = _event(line)
        name = event.get("session")
        if not isinstance(name, str):
            self.unread += bool(line.strip())
            return
        key = name.encode()
        match event:
            case {"event": "begin", "from": int(first)}:
                boot = str(event.get("boot", ""))
                self.boots.add(boot)
                self._boot[key] = boot
                self._session(key, first).begin(first, boot, _zero(event))
            case {"event": "invoke", "seq": int(seq), "time": int(time), "text": str(text), "node": int(node), "mono": int(at)}:
                self._session(key, seq).invoke([seq], [time], [text.encode()], [node], [at])
            case {"event": "ok", "seq": int(seq), "mono": int(mono)} if key in self.sessions:
                self.sessions[key].ok([seq], [mono], self._boot.get(key, ""))
            case _ if key in self.sessions:
                _note(self.sessions[key], event)
            case _:
                self.unread += 1


def _by_session(rows: list[tuple[bytes, ...]]) -> Iterator[tuple[bytes, tuple[tuple[bytes, ...], ...]]]:
    """The rows of each session as columns, without the session's own."""
    present = {row[0] for row in rows}
    for name in present:
        own = rows if len(present) == 1 else [row for row in rows if row[0] == name]
        yield name, tuple(zip(*own, strict=True))[1:]


def _stretches(numbers: list[int]) -> Iterator[slice]:
    """Where the numbers ascend by one."""
    if numbers[-1] - numbers[0] == len(numbers) - 1 and all(map(lt, numbers, islice(numbers, 1, None))):
        yield slice(0, len(numbers))
        return
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield slice(start, place)
            start = place


def _note(session: SessionHistory, event: dict[str, Any]) -> None:
    match event:
        case {"event": "resend", "from": int(first), "to": int(last), "node": int(node)}:
            session.resends.append((first - session.first, last - session.first, node))
        case {"event": "fail", "seq": int(seq)}:
            session.failed.add(seq - session.first)
        case {"event": "done"}:
            session.is_open = False


def _zero(begin: dict[str, Any]) -> int | None:
    ts, mono = begin.get("ts"), begin.get("mono")
    if not isinstance(ts, int | float) or not isfinite(ts) or not isinstance(mono, int):
        return None
    return int(ts * 1e6) - mono


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _whole_lines(stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    while data := stream.read(_CHUNK):
        lines = rest + data
        cut = lines.rfind(b"\n") + 1
        rest = lines[cut:]
        if cut:
            yield lines[:cut]


def read_histories(paths: Iterable[Path]) -> Histories:
    """Read history files; a last line that was torn by a killed client is passed over.

    Raises: OSError.
    """
    histories = Histories()
    for path in paths:
        histories.read_file(path)
    return histories
