"""The clocks of a node: the only place that reads one (rule 48), and where the fault `skew` sits.

Ticks are integer microseconds of the monotonic clock. A skewed clock still never runs backwards: after a skew
to the past it stands until the real time has caught up.
"""

from __future__ import annotations

import time


def steady_ticks() -> int:
    """The machine's own monotonic time in ticks, which no fault touches: for deadlines of sockets and of faults."""
    return time.monotonic_ns() // 1000


class Clock:
    """What the node takes for the time; `skew` makes it wrong."""

    def __init__(self) -> None:
        self._skew = 0
        self._last = 0

    def ticks(self) -> int:
        """Monotonic ticks, skewed; never less than the call before returned."""
        now = time.monotonic_ns() // 1000 + self._skew
        if now > self._last:
            self._last = now
        return self._last

    def wall(self) -> float:
        """Unix seconds, skewed."""
        return time.time() + self._skew / 1_000_000

    def skew(self, microseconds: int) -> None:
        """Shift both clocks by so much; 0 mends them."""
        self._skew = microseconds
