"""Copying what a run left behind: within a budget of bytes and time, without following links, never half a file.

What is too large or comes too late is not copied, and a note says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_BYTES = 1024 * 1024 * 1024  # that one run keeps
MOST_SECONDS = 15.0  # that gathering takes, so that `down` is not held up
_LAST_SECONDS = 5.0
_CHUNK = 1024 * 1024
_PAGE = 4096
_BLOCK = b"\nContainer "
_ROUND = b"\n" + b"#" * 56


class OutOfTime(Exception):
    """The budget's time is over."""


@dataclass(slots=True)
class Budget:
    """What is left: bytes, and time until `deadline` on the monotonic clock. `missing` says what was not kept."""

    bytes: int
    deadline: float
    missing: list[str] = field(default_factory=list)

    @classmethod
    def usual(cls, place: Path) -> Budget:
        """A run's: at most a quarter of what is free on the disk of `place`.

        Raises: OSError.
        """
        return cls(min(MOST_BYTES, shutil.disk_usage(place).free // 4), time.monotonic() + MOST_SECONDS)

    @classmethod
    def whole(cls) -> Budget:
        """No limit."""
        return cls(2**63, float("inf"))

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.deadline

    @contextlib.contextmanager
    def spared(self, size: int) -> Iterator[None]:
        """Hold back this many bytes, if there are so many, and a while for copying them."""
        size = size if size <= self.bytes else 0
        self.bytes -= size
        try:
            yield
        finally:
            self.bytes += size
            self.deadline = max(self.deadline, time.monotonic() + _LAST_SECONDS)

    @property
    def seconds_left(self) -> float:
        """How long gathering may go on; below 0 when the time is over."""
        return self.deadline - time.monotonic()

    def refuses(self, what: str, size: int) -> bool:
        """Whether this many bytes are too many; notes it."""
        if self.is_late:
            self.missing.append(f"{what} ({size:,} bytes): the time to gather was over")
        elif size > self.bytes:
            self.missing.append(f"{what} ({size:,} bytes): it is more than a run keeps")
        else:
            return False
        return True


class Counter:
    """Counts the blocks and the rounds of a shared file that passes by in pieces."""

    def __init__(self) -> None:
        self.blocks = 0
        self.rounds = 0
        self._end = b"\n"

    def feed(self, piece: bytes) -> None:
        """The next piece."""
        data = self._end + piece
        self.blocks += data.count(_BLOCK) - self._end.count(_BLOCK)
        self.rounds += data.count(_ROUND) - self._end.count(_ROUND)
        self._end = data[-(len(_ROUND) - 1) :]


def copy(
    source: Path, target: Path, budget: Budget, *, what: str, size: int | None = None, count: Counter | None = None
) -> bool:
    """Copy a regular file, or its first `size` bytes; whether it was copied. What grows meanwhile is not followed.

    Raises: OSError.
    """
    with open(source, "rb", opener=_no_links) as stream:
        there = os.fstat(stream.fileno())
        wanted = there.st_size if size is None else min(size, there.st_size)
        if budget.refuses(what, wanted):
            return False
        try:
            with target.open("xb") as out:
                for piece in _pieces(stream.fileno(), wanted, budget):
                    out.write(piece)
                    if count is not None:
                        count.feed(piece)
        except OutOfTime:
            target.unlink()
            budget.missing.append(f"{what} ({wanted:,} bytes): the time to gather was over")
            return False
    budget.bytes -= wanted
    return True


def copy_head(source: Path, target: Path, budget: Budget, *, what: str) -> None:
    """Copy a log; of one that is too long the beginning, up to the end of a line, for a node that fell silent is understood.

    Raises: OSError.
    """
    size = source.stat().st_size
    if size <= budget.bytes:
        copy(source, target, budget, what=what, size=size)
        return
    with open(source, "rb", opener=_no_links) as stream, target.open("xb") as out:
        for piece in _pieces(stream.fileno(), budget.bytes, Budget.whole()):
            out.write(piece)
    kept = cut_to_lines(target, budget.bytes)
    budget.missing.append(f"{what} from byte {kept:,} of {size:,} on: it is more than a run keeps")
    budget.bytes -= kept


def link_or_copy(source: Path, target: Path, budget: Budget, *, what: str) -> None:
    """The same for a log to which nobody adds any more: a second name for it costs nothing.

    Raises: OSError.
    """
    size = source.stat().st_size
    if size > budget.bytes:
        copy_head(source, target, budget, what=what)
        return
    try:
        os.link(source, target, follow_symlinks=False)
        budget.bytes -= size
    except OSError:  # another file system, or one without links
        copy(source, target, budget, what=what)


def copy_journal(source: Path, target: Path, budget: Budget, *, what: str) -> bool:
    """Copy the segments of a journal without the room at their ends that was only set aside; all of them or none.

    Raises: OSError.
    """
    files = [entry for entry in sorted(source.iterdir()) if entry.is_file() and not entry.is_symlink()]
    if budget.refuses(what, sum(file.stat().st_blocks * 512 for file in files)):
        return False
    target.mkdir(parents=True)
    try:
        for file in files:
            _copy_trimmed(file, target / file.name, budget)
    except OutOfTime:
        shutil.rmtree(target)
        budget.missing.append(f"{what}: the time to gather was over")
        return False
    return True


def _copy_trimmed(source: Path, target: Path, budget: Budget) -> None:
    at = end = 0
    with open(source, "rb", opener=_no_links) as stream, target.open("xb") as out:
        for piece in _pieces(stream.fileno(), os.fstat(stream.fileno()).st_size, budget):
            if filled := len(piece.rstrip(b"\0")):
                out.seek(at)
                out.write(piece[:filled])
                end = at + filled
            at += len(piece)
        out.truncate(min(at, -(-end // _PAGE) * _PAGE))
    budget.bytes -= end


def _pieces(handle: int, size: int, budget: Budget) -> Iterator[bytes]:
    """The first `size` bytes.

    Raises: OutOfTime, OSError.
    """
    at = 0
    while at < size and (piece := os.pread(handle, min(_CHUNK, size - at), at)):
        if budget.is_late:
            raise OutOfTime
        yield piece
        at += len(piece)


def cut_to_lines(path: Path, most: int) -> int:
    """Cut a file to at most so many bytes of whole lines; its size.

    Raises: OSError.
    """
    with path.open("rb+") as stream:
        size = min(most, stream.seek(0, os.SEEK_END))
        stream.seek(max(0, size - _CHUNK))
        tail = stream.read(size - stream.tell())
        kept = size - len(tail) + tail.rfind(b"\n") + 1
        stream.truncate(kept)
    return kept


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
