"""The arithmetic of a report: quantiles, time cut into equal parts, logarithmic histograms, inversions. Pure.

Times and durations are whole microseconds.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import lt
from typing import NamedTuple

PARTS = 100  # of a run's time, at most
_STEPS = (1, 2, 5)
PER_DECADE = 8  # classes of a histogram between 1 ms and 10 ms


def quantile(ordered: Sequence[int], share: float) -> int | None:
    """The least of the values that this share of all does not exceed (nearest rank), 0 < share <= 1; None of nothing."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


class Spread(NamedTuple):
    """How values lie: how many, the half and 99 in 100 of them at most, the greatest."""

    many: int
    p50: int
    p99: int
    most: int


def spread(values: Iterable[int]) -> Spread | None:
    """None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(len(ordered), quantile(ordered, 0.5) or 0, quantile(ordered, 0.99) or 0, ordered[-1])


class Grid(NamedTuple):
    """Time cut into `parts` of `width` from `start` on."""

    start: int
    width: int
    parts: int

    def at(self, t: int) -> int:
        """The part in which a time lies; what is outside belongs to the first or last."""
        return min(max(0, (t - self.start) // self.width), self.parts - 1)

    def begin(self, part: int) -> int:
        """When a part begins."""
        return self.start + part * self.width


def grid(start: int, end: int, most: int = PARTS) -> Grid:
    """Cut the time from `start` to `end` into at most `most` parts whose width is 1, 2 or 5 times a power of ten."""
    span = max(1, end - start)
    scale = 1
    while True:
        for step in _STEPS:
            parts = span // (step * scale) + 1
            if parts <= most:
                return Grid(start, step * scale, parts)
        scale *= 10


def sums(cut: Grid, values: Iterable[tuple[int, int]]) -> list[int]:
    """(time, amount) -> the amounts of each part."""
    out = [0] * cut.parts
    for t, amount in values:
        out[cut.at(t)] += amount
    return out


def spreads(cut: Grid, values: Iterable[tuple[int, int]]) -> list[Spread | None]:
    """(time, value) -> how the values of each part lie."""
    parts: list[list[int]] = [[] for _ in range(cut.parts)]
    for t, value in values:
        parts[cut.at(t)].append(value)
    return [spread(part) for part in parts]


class Bucket(NamedTuple):
    """How many values are at least `least` and less than `below`."""

    least: int
    below: int
    many: int


def histogram(ordered: Sequence[int]) -> list[Bucket]:
    """Ascending values in classes of equal width on a logarithmic axis, eight to a factor of ten; none is left out between."""
    if not ordered:
        return []
    number = math.floor(PER_DECADE * math.log10(max(1, ordered[0])))
    while _edge(number) > max(1, ordered[0]):
        number -= 1
    edges = [_edge(number) if ordered[0] > 0 else 0]
    while edges[-1] <= ordered[-1]:
        number += 1
        if _edge(number) > edges[-1]:
            edges.append(_edge(number))
    return [Bucket(a, b, bisect_left(ordered, b) - bisect_left(ordered, a)) for a, b in pairwise(edges)]


def _edge(number: int) -> int:
    return round(10 ** (number / PER_DECADE))


def inversions(values: Iterable[int]) -> int:
    """How many pairs stand in falling order: the earlier one is greater. Quick where the values nearly ascend."""
    runs = _ascending(list(values))
    found = 0
    while len(runs) > 1:
        merged = []
        for place in range(0, len(runs) - 1, 2):
            left, right = runs[place], runs[place + 1]
            start = bisect_right(left, right[0])
            for value in right[: bisect_left(right, left[-1])]:
                start = bisect_right(left, value, start)
                found += len(left) - start
            merged.append(sorted(left + right))  # two ascending runs: a merge
        runs = merged + runs[len(merged) * 2 :]
    return found


def _ascending(values: list[int]) -> list[list[int]]:
    cuts = [place + 1 for place, falls in enumerate(map(lt, values[1:], values)) if falls]
    return [values[a:b] for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True) if a < b]


def evenness(values: Sequence[float]) -> float | None:
    """Jain's index: 1 where all are alike, 1/n where one has everything. None of nothing, 1 where all are 0."""
    if not values:
        return None
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0
