"""Reads `output.txt` in chunks and yields runs of blocks, framing faults, and one `End`.

Memory does not grow with the file, nor with a line: a line longer than any node writes is skipped, not held.
A chunk of nothing but native blocks and separators is split by one regular expression, and that what lies
between the matches is empty or a separator proves that no byte was passed over. Any other chunk is read line
by line, which explains what is wrong with it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import BinaryIO

from node_runtime.messages import MAX_MESSAGE, MAX_NODES
from node_runtime.records import SEPARATOR, is_session, parse_body, text_fault

CHUNK = 64 * 1024
MAX_LINE = 64 * 1024
MAX_DIGITS = 18  # of a time, or of a number that a text may be

_FAST = re.compile(rb"Container (\d++) \nMensagem: client ([\w.:-]++) time: (\d++) - message: (.*+)\n")
_HEADER = re.compile(rb"Container (\d{1,9}) ?\Z")
_TORN_HEADER = re.compile(rb"C(o(n(t(a(i(n(e(r( (\d{1,2} ?)?)?)?)?)?)?)?)?)?)?")
_BODY = b"Mensagem: "
_BAR = SEPARATOR[:-1]
_NODES = frozenset(b"%d" % node for node in range(MAX_NODES))
_GAPS = frozenset((b"", SEPARATOR))


@dataclass(slots=True, eq=False)
class Run:
    """Blocks in the order of the file, as columns of bytes.

    `gaps` has one item more than there are blocks: what stands before each block, and after the last one, which
    is nothing or a separator. `plain`: all bodies are native with whole times. Otherwise `bodies` and `lines`
    are given; a body that cannot be read has an empty session and time, and one of the seed's older kind a
    session in brackets (`[3]`), which no native session can have.
    """

    line: int
    offset: int
    nodes: list[bytes]
    sessions: list[bytes]
    times: list[bytes]
    texts: list[bytes]
    gaps: list[bytes]
    raw: bytes = b""
    plain: bool = True
    width: int = 0  # of all times alike, where they are plain and it is the same
    numeric: bool = False  # all texts are digits, or empty
    bodies: list[bytes] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    ends: list[tuple[int, int]] = field(default_factory=list)
    _starts: list[int] | None = None

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def starts(self) -> list[int]:
        """The places of the blocks that stand right behind a separator; `len(run)` if one ends the run."""
        if self._starts is None:
            self._starts = list(compress(range(len(self.gaps)), self.gaps))
        return self._starts

    def line_of(self, place: int) -> int:
        """The number of the block's first line."""
        if not self.plain:
            return self.lines[place]
        return self.line + 2 * place + bisect_right(self.starts, place)

    def body_of(self, place: int) -> bytes:
        """What stands behind `Mensagem: `."""
        if not self.plain:
            return self.bodies[place]
        return b"client %b time: %b - message: %b" % (self.sessions[place], self.times[place], self.texts[place])

    def round_ends(self) -> list[tuple[int, int]]:
        """(line of the separator, offset behind it) of each round that ends in this run."""
        if not self.plain:
            return self.ends
        found, at, starts = [], 0, self.starts
        for place in starts:
            at = 0 if place == 0 else self.raw.index(b"\n" + SEPARATOR, at) + 1
            found.append((self.line_of(place) - 1 if place < len(self) else self.last_line, self.offset + at + len(SEPARATOR)))
        return found

    @property
    def last_line(self) -> int:
        """The number of the last line of the run."""
        return self.line + 2 * len(self) + len(self.starts) - 1


@dataclass(frozen=True, slots=True)
class Fault:
    """Bytes that belong to no block and no separator: `count` lines from `line` on, of which `text` shows the first."""

    line: int
    text: bytes
    what: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class End:
    """How the file ends. `open_line`: where the round that is not closed starts, or 0; `torn`: a last line cut short."""

    size: int
    lines: int
    open_line: int
    torn: bytes | None = None
    torn_line: int = 0


Progress = Callable[[int], None]


def read(stream: BinaryIO, upto: int | None = None, progress: Progress | None = None) -> Iterator[Run | Fault | End]:
    """Read a file from its start to its end, or its first `upto` bytes; `progress` is told the bytes done after each chunk.

    Raises: OSError.
    """
    scanner = _Scanner()
    rest = b""
    size = 0
    while True:
        data = stream.read(CHUNK if upto is None else min(CHUNK, upto - size))
        if not data:
            break
        size += len(data)
        chunk = rest + data if rest else data
        cut = _cut(chunk)
        rest = chunk[cut:]
        if cut:
            yield from scanner.take(chunk[:cut])
        if len(rest) > MAX_LINE:
            yield from scanner.overlong(rest)
            rest, skipped = _skip_line(stream, None if upto is None else upto - size)
            size += skipped
            scanner.skipped(skipped - len(rest))
        if progress is not None:
            progress(size)
    yield from scanner.finish(rest, size)


def _cut(chunk: bytes) -> int:
    """Where whole blocks end in `chunk`; else where whole lines do; else 0."""
    at = chunk.rfind(b"\nContainer ") + 1
    return at if len(chunk) - at <= MAX_LINE and at else chunk.rfind(b"\n") + 1


def _skip_line(stream: BinaryIO, most: int | None) -> tuple[bytes, int]:
    """Read on to the end of the line, holding no more than a chunk; what follows it, and how much was read."""
    read_on = 0
    while data := stream.read(CHUNK if most is None else min(CHUNK, most - read_on)):
        read_on += len(data)
        end = data.find(b"\n") + 1
        if end:
            return data[end:], read_on
    return b"", read_on


class _Scanner:
    """Where the reading stands: the next line's number, its offset, and what a careful look has left over."""

    def __init__(self) -> None:
        self.line = 1
        self.offset = 0
        self.round_line = 0  # the first line of the open round, 0 where none is open
        self._header: tuple[int, bytes, bytes] | None = None  # line, node, whole line
        self._run = self._new_run()

    def take(self, chunk: bytes) -> Iterator[Run | Fault]:
        """Whole lines."""
        run = None if self._header is not None else self._fast(chunk)
        if run is None:
            yield from self._careful(chunk)
            return
        last = run.gaps[-1]
        if len(run) and not last:
            place = run.starts[-1] if run.starts else 0
            self.round_line = run.line_of(place) if run.starts or not self.round_line else self.round_line
        elif last:
            self.round_line = 0
        self.line = run.last_line + 1
        self.offset += len(chunk)
        yield run

    def _fast(self, chunk: bytes) -> Run | None:
        """The whole chunk as one run, where it is proven to be well framed; else None."""
        parts = _FAST.split(chunk)
        gaps, nodes, texts = parts[0::5], parts[1::5], parts[4::5]
        if not nodes or not _GAPS.issuperset(gaps) or not _NODES.issuperset(nodes) or (gaps[0] and not self.round_line):
            return None
        joined = b"".join(texts)
        numeric = joined.isdigit()
        if not numeric and not _printable(joined):
            return None
        if len(joined) > MAX_MESSAGE and max(map(len, texts)) > MAX_MESSAGE:
            return None
        times = parts[3::5]
        widths = set(map(len, times))
        if max(widths) > MAX_DIGITS:
            return None
        width = 0 if len(widths) > 1 else widths.pop()
        return Run(self.line, self.offset, nodes, parts[2::5], times, texts, gaps, chunk, True, width, numeric)

    # --- the careful path ---

    def _new_run(self) -> Run:
        return Run(0, 0, [], [], [], [], [], plain=False)

    def _careful(self, chunk: bytes) -> Iterator[Run | Fault]:
        lines = chunk.split(b"\n")
        del lines[-1]  # chunks end with a newline
        if self._header is None and b"Container " not in chunk and _BAR not in chunk and b"Mensagem:" not in chunk:
            yield Fault(self.line, lines[0][:200], "not a block and not a separator", len(lines))
            self.line += len(lines)
            self.offset += len(chunk)
            return
        for line in lines:
            yield from self._take_line(line)
            self.line += 1
            self.offset += len(line) + 1
        yield from self._flush()

    def _flush(self) -> Iterator[Run]:
        run = self._run
        if run.nodes or run.ends:
            run.gaps.extend([b""] * (len(run.nodes) + 1 - len(run.gaps)))
            self._run = self._new_run()
            yield run

    def _take_line(self, line: bytes) -> Iterator[Fault]:
        if line.endswith(b"\r"):
            yield Fault(self.line, line, "the line ends in CR LF, a node writes LF alone")
            line = line[:-1]
        if self._header is not None:
            if line.startswith(_BODY):
                yield from self._take_block(line[len(_BODY) :])
                return
            yield Fault(self.line - 1, self._header[2], "a `Container` line without its `Mensagem` line")
            self._header = None
        header = _HEADER.match(line)
        if header is not None:
            if header[1] not in _NODES:
                yield Fault(self.line, line, f"a node has an id from 0 to {MAX_NODES - 1}")
            elif not line.endswith(b" "):
                yield Fault(self.line, line, "the blank at the end of the `Container` line is missing")
            self._header = (self.line, header[1], line)
        elif line == _BAR:
            if not self.round_line:
                yield Fault(self.line, line, "a separator without a block before it")
            else:
                self._close(self.offset + len(line) + 1)
        elif line.startswith(b"Mensagem:"):
            yield Fault(self.line, line[:200], "a `Mensagem` line without its `Container` line")
        elif line.startswith(b"#") and not line.strip(b"#"):
            yield Fault(self.line, line[:200], f"a separator has 56 #, this line has {len(line)}")
        else:
            yield Fault(self.line, line[:200], "not a block and not a separator")

    def _close(self, end: int) -> None:
        run = self._run
        run.gaps.extend([b""] * (len(run.nodes) - len(run.gaps)))
        run.gaps.append(SEPARATOR)
        run.ends.append((self.line, end))
        self.round_line = 0

    def _take_block(self, body: bytes) -> Iterator[Fault]:
        assert self._header is not None
        line, node, _ = self._header
        self._header = None
        fault = _body_fault(body)
        if fault:
            yield Fault(line + 1, _BODY + body[:200], fault)
        self.round_line = self.round_line or line
        session, time, text = _columns(body)
        run = self._run
        run.gaps.extend([b""] * (len(run.nodes) + 1 - len(run.gaps)))
        run.nodes.append(node)
        run.sessions.append(session)
        run.times.append(time)
        run.texts.append(text)
        run.bodies.append(body)
        run.lines.append(line)

    def overlong(self, start: bytes) -> Iterator[Run | Fault]:
        """A line that no node writes; its start is all that was held of it."""
        if self._header is not None:
            yield Fault(self.line - 1, self._header[2], "a `Container` line without its `Mensagem` line")
            self._header = None
        yield from self._flush()
        yield Fault(self.line, start[:200], f"a line of more than {MAX_LINE:,} bytes, which no node writes")
        self.offset += len(start)

    def skipped(self, size: int) -> None:
        """The overlong line is behind."""
        self.line += 1
        self.offset += size

    def finish(self, rest: bytes, size: int) -> Iterator[Run | Fault | End]:
        """The last bytes, which may lack their newline."""
        whole = rest.rfind(b"\n") + 1
        if whole:
            yield from self.take(rest[:whole])
        torn = rest[whole:]
        lines = self.line - (0 if torn else 1)
        if torn and not self._may_go_on(torn):
            yield Fault(self.line, torn[:200], "not a block and not a separator")
            torn = b""
        if torn == _BAR:
            self._close(self.offset + len(torn))
            yield from self._flush()
        torn_line = self.line
        if self._header is not None:
            torn, torn_line = self._header[2] + b"\n" + torn, self._header[0]
        yield End(size, lines, self.round_line, torn or None, torn_line)

    def _may_go_on(self, torn: bytes) -> bool:
        """Whether a last line without newline is the beginning of one that may stand here."""
        if self._header is not None:
            return _BODY.startswith(torn[: len(_BODY)])
        if self.round_line and torn == _BAR[: len(torn)]:
            return True
        return _TORN_HEADER.fullmatch(torn) is not None


def _printable(joined: bytes) -> bool:
    try:
        return joined.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _body_fault(body: bytes) -> str:
    """Why no node can have written this body, or nothing."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "the body is not UTF-8"
    half = len(text) // 2
    control = len(body) <= MAX_MESSAGE + 256 and (text_fault(text[:half]) or text_fault(text[half:]))
    if control:
        return f"the body {control}"
    if len(body) > MAX_MESSAGE + 256:
        return f"the body is longer than {MAX_MESSAGE:,} bytes and its heading"
    return ""


def _columns(body: bytes) -> tuple[bytes, bytes, bytes]:
    """Session, time and text of a body; empty, empty and all of it where it cannot be read."""
    try:
        parsed = parse_body(body.decode())
    except UnicodeDecodeError:
        parsed = None
    if parsed is None or len(parsed.time.partition(".")[0]) > MAX_DIGITS or not parsed.time.isascii():
        return b"", b"", body
    session = parsed.session if body.startswith(b"client ") else f"[{parsed.session}]"
    if body.startswith(b"client ") and not is_session(session):
        return b"", b"", body
    return session.encode(), parsed.time.encode(), parsed.text.encode()
