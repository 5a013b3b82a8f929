"""From time to place: an axis on which stretches where nothing happens take little room. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise


class Axis:
    """Maps times to 0..`length`. Idle stretches longer than three times what nine in ten are become that long (`breaks`)."""

    def __init__(self, times: Sequence[int], length: float, *, squeeze: bool = True) -> None:
        self._times = sorted(set(times)) or [0]
        gaps = sorted(b - a for a, b in pairwise(self._times))
        self._most = 3 * gaps[(len(gaps) - 1) * 9 // 10] if gaps and squeeze else max(gaps, default=1)
        self._places = [0.0]
        for gap in (b - a for a, b in pairwise(self._times)):
            self._places.append(self._places[-1] + min(gap, self._most))
        whole = self._places[-1] or 1.0
        self._places = [place / whole * length for place in self._places]

    @property
    def breaks(self) -> list[tuple[float, int]]:
        """Where idle time was cut short: the place in the middle, and how long it was."""
        return [
            ((p + q) / 2, b - a)
            for (a, b), (p, q) in zip(pairwise(self._times), pairwise(self._places), strict=True) if b - a > self._most
        ]  # fmt: skip

    def at(self, t: int) -> float:
        """The place of a time."""
        times, places = self._times, self._places
        if len(times) == 1:
            return 0.0
        right = min(max(1, bisect_left(times, t)), len(times) - 1)
        a, b = times[right - 1], times[right]
        return places[right - 1] + (t - a) / (b - a) * (places[right] - places[right - 1])
