"""The clocks of a node: the only place that reads one (rule 48), and where the fault `skew` sits.

Ticks are integer microseconds of the monotonic clock. A skewed clock still never runs backwards: after a skew to the
past it stands for as long, two seconds at most, and then goes on from where it stood.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MOST_STANDING = 2_000_000  # ticks; without an end, mending a clock that was an hour ahead would stop the node for an hour


def steady_ticks() -> int:
    """The machine's own monotonic time in ticks, which no fault touches: for deadlines of sockets and of faults."""
    return time.monotonic_ns() // 1000


class Clock:
    """What the node takes for the time; `skew` makes it wrong."""

    def __init__(self, steady: Callable[[], int] = steady_ticks) -> None:
        self._steady = steady
        self._skew = 0
        self._shift = 0  # of the ticks; like the skew, but for the time that they did not stand
        self._last = 0

    def ticks(self) -> int:
        """Monotonic ticks, skewed; never less than the call before returned."""
        now = self._steady() + self._shift
        if now > self._last:
            self._last = now
        elif now < self._last - MOST_STANDING:
            self._shift += self._last - MOST_STANDING - now
        return self._last

    def wall(self) -> float:
        """Unix seconds, skewed."""
        return time.time() + self._skew / 1_000_000

    def skew(self, microseconds: int) -> None:
        """Shift both clocks by so much, counted from the right time; 0 mends them."""
        self._shift += microseconds - self._skew
        self._skew = microseconds
