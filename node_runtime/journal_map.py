"""Where the rounds stand in the journal: a sparse index, and which stored rounds a later leader has replaced.

Memory is one entry per 64 KiB of journal, so it stays flat for millions of messages.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import NamedTuple

_STEP = 64 * 1024
_ENDLESS = 2**63


class Place(NamedTuple):
    """A frame: its segment's number and its offset there."""

    segment: int
    offset: int


class RoundMap:
    """Knows the last live round and finds the frame to start reading from."""

    def __init__(self) -> None:
        self.last = 0
        self._since = _STEP
        self._firsts = array("Q")
        self._segments = array("I")
        self._offsets = array("Q")
        self._cut_frames = array("Q")  # numbers of the frames that cut, ascending
        self._cut_afters = array("Q")  # the last round that each left, ascending

    def cut(self, number: int, after: int) -> None:
        """Frame `number` replaces every round behind `after`."""
        while self._firsts and self._firsts[-1] > after:
            for column in (self._firsts, self._segments, self._offsets):
                column.pop()
        while self._cut_afters and self._cut_afters[-1] >= after:
            self._cut_frames.pop()
            self._cut_afters.pop()
        self._cut_frames.append(number)
        self._cut_afters.append(after)
        self.last = after
        self._since = _STEP

    def add(self, first: int, last: int, segment: int, offset: int, size: int) -> None:
        """A frame of `size` bytes holds the rounds first..last."""
        if self._since >= _STEP:
            self._firsts.append(first)
            self._segments.append(segment)
            self._offsets.append(offset)
            self._since = 0
        self._since += size
        self.last = last

    def find(self, index: int) -> Place:
        """A frame at or before the one that holds the live round `index`, which must exist."""
        at = bisect_right(self._firsts, index) - 1
        return Place(self._segments[at], self._offsets[at])

    def live_to(self, number: int) -> int:
        """The highest round of frame `number` that no later frame has replaced."""
        at = bisect_right(self._cut_frames, number)
        return self._cut_afters[at] if at < len(self._cut_afters) else _ENDLESS

    def __len__(self) -> int:
        return len(self._firsts)
