"""Reading the services' log files: all of them in the order of time once, then what is added, over restarts too.

A vote event carries its own time; any other line has none and keeps its place behind the line before it.
"""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from node_runtime import votelog
from votesync_cli.engines.base import LogLine

_POLL = 0.05  # seconds between two looks at the files
_LIVENESS = 0.5  # seconds between two questions whether anybody still runs
_LONGEST = 1 << 20  # bytes of a line; what is longer is cut into lines of that length


class _Placed(NamedTuple):
    """A line and the time it sorts by: its own, or that of the last line before it that has one."""

    at: float
    line: LogLine


class Tail:
    """One growing file. A file that was replaced or cut is read again from its start."""

    def __init__(self, service: str, path: Path) -> None:
        self._service = service
        self._path = path
        self._file: BinaryIO | None = None
        self._half = b""
        self._at = 0.0

    def read(self) -> Iterator[_Placed]:
        """The whole lines that are there and were not given before."""
        while True:
            if self._file is None and not self._open():
                return
            yield from self._rest()
            if not self._replaced():
                return
            yield from self._rest()  # what came between the last read and the replacement
            yield from self.last()
            self.close()

    def last(self) -> Iterator[_Placed]:
        """The line that has no end, if there is one; to be asked for when nobody writes any more."""
        half, self._half = self._half, b""
        if half:
            yield self._placed(half)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _rest(self) -> Iterator[_Placed]:
        assert self._file is not None
        while piece := self._file.readline(_LONGEST):
            self._half += piece
            if piece.endswith(b"\n") or len(self._half) >= _LONGEST:
                yield from self.last()

    def _replaced(self) -> bool:
        assert self._file is not None
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(self._file.fileno())
        return not os.path.samestat(here, there) or there.st_size < self._file.tell()

    def _placed(self, raw: bytes) -> _Placed:
        event = votelog.decode(raw)
        ts = float(event["ts"]) if event is not None else 0.0
        self._at = ts or self._at
        return _Placed(self._at, LogLine(self._service, raw.decode(errors="replace").rstrip("\r\n"), ts))


def read(paths: Mapping[str, Path], since: float | None, running: Callable[[], bool] | None) -> Iterator[LogLine]:
    """The lines of these files (service -> path) from `since` (Unix seconds) on.

    With `running` given, goes on until it says False and all that was written has been read. Without it, a last line
    without an end is given too.
    """
    tails = [Tail(service, path) for service, path in paths.items()]
    start = since or 0.0
    try:
        yield from _after(start, heapq.merge(*(tail.read() for tail in tails), key=_time))
        if running is not None:
            yield from _follow(tails, start, running)
        yield from _after(start, heapq.merge(*(tail.last() for tail in tails), key=_time))
    finally:
        for tail in tails:
            tail.close()


def _follow(tails: list[Tail], start: float, running: Callable[[], bool]) -> Iterator[LogLine]:
    asked = -_LIVENESS
    while True:
        now = time.monotonic()
        ended = False
        if now - asked >= _LIVENESS:
            # Asked before the files are read: whatever an ended service wrote is there by then.
            asked, ended = now, not running()
        news = sorted((placed for tail in tails for placed in tail.read()), key=_time)
        yield from (placed.line for placed in news if placed.line.ts >= start or not placed.line.ts)
        if ended:
            return
        time.sleep(_POLL)


def _after(start: float, lines: Iterable[_Placed]) -> Iterator[LogLine]:
    return (placed.line for placed in lines if placed.at >= start)


def _time(placed: _Placed) -> float:
    return placed.at
