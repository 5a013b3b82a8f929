"""Finds one block of a shared file, or the blocks of one round, by reading the file once from its start. Pure.

A session's messages stand in the file in the order of their numbers and without gaps (DESIGN section 3), so the k-th block
of a session is its message k, where the session began with 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from node_runtime.records import SEPARATOR, parse_body

_HEADER = b"Container "
_BODY = b"Mensagem: "


@dataclass(frozen=True, slots=True)
class Block:
    """One message as it stands in the file: `line` is its first line, from 1, `offset` its first byte.

    `number` says which of its session's blocks it is, from 1; 0 where the body cannot be read.
    """

    line: int
    offset: int
    node: int
    session: str
    time: str
    text: str
    number: int
    body: str


class Bar(NamedTuple):
    """A separator: it ends the round that began at `start` (byte) and `first` (line)."""

    line: int
    offset: int
    start: int
    first: int


def walk(lines: Iterable[bytes]) -> Iterator[Block | Bar]:
    """The blocks and separators of a file; lines that are neither are passed over, but counted."""
    seen: Counter[str] = Counter()
    offset, start, first = 0, 0, 1
    header: tuple[int, int, int] | None = None
    for line, data in enumerate(lines, 1):
        if data == SEPARATOR:
            yield Bar(line, offset, start, first)
            start, first = offset + len(data), line + 1
        elif header is not None and data.startswith(_BODY):
            yield _block(header, data[len(_BODY) :].rstrip(b"\n").decode(errors="replace"), seen)
        header = (line, offset, int(data[10:-1])) if data.startswith(_HEADER) and data[10:-1].strip().isdigit() else None
        offset += len(data)


def _block(header: tuple[int, int, int], body: str, seen: Counter[str]) -> Block:
    line, offset, node = header
    parsed = parse_body(body)
    if parsed is None:
        return Block(line, offset, node, "", "", body, 0, body)
    seen[parsed.session] += 1
    return Block(line, offset, node, parsed.session, parsed.time, parsed.text, seen[parsed.session], body)


@dataclass(slots=True)
class Neighbourhood:
    """A round in the file: its blocks, and which of them is meant (None: the round as a whole)."""

    start: int
    first: int
    end: int | None = None  # None: the round is not closed
    last: int | None = None
    ordinal: int = 0  # which round of the file it is, from 1
    blocks: tuple[Block, ...] = ()
    block: Block | None = None


class Wanted(NamedTuple):
    """What to look for; exactly one of them is given."""

    line: int | None = None
    offset: int | None = None
    message: tuple[str, int] | None = None

    def fits(self, item: Block | Bar) -> bool:
        """Whether this is what is looked for."""
        if self.line is not None:
            return item.line in (self.line, self.line - 1) if isinstance(item, Block) else item.line == self.line
        if self.offset is not None:
            return item.offset == self.offset if isinstance(item, Block) else item.start == self.offset
        return isinstance(item, Block) and (item.session, item.number) == self.message


def find(lines: Iterable[bytes], wanted: Wanted) -> Neighbourhood | None:
    """The round in which the wanted thing stands; an offset names the round that begins there (or a block in one)."""
    blocks: list[Block] = []
    found: Block | None = None
    start, first, ordinal, hit = 0, 1, 1, False
    for item in walk(lines):
        if wanted.fits(item):
            hit = True
            if isinstance(item, Block) and (wanted.offset is None or item.offset != start):
                found = found or item
        if isinstance(item, Block):
            blocks.append(item)
            continue
        end = item.offset + len(SEPARATOR)
        if hit:
            return Neighbourhood(start, first, end, item.line, ordinal, tuple(blocks), found)
        start, first, ordinal, blocks = end, item.line + 1, ordinal + 1, []
    return Neighbourhood(start, first, None, None, ordinal, tuple(blocks), found) if hit else None
