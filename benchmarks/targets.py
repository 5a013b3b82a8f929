"""The targets as ratios between medians of one run, and whether they are met. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.stats import Spread, spread

WRITERS = ("turns", "winner")


class Medians:
    """The repetitions of `compare`, looked up by system, mode and figure."""

    def __init__(self, repetitions: Sequence[Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> None:
        self._repetitions = repetitions

    def of(self, system: str, mode: str, figure: str = "rate") -> Spread | None:
        """The spread of a figure over the repetitions that have it."""
        found = (repetition.get(system, {}).get(mode, {}).get(figure) for repetition in self._repetitions)
        return spread([float(value) for value in found if value is not None])

    def best(self, systems: Sequence[str], mode: str) -> float | None:
        """The greatest median rate of several systems."""
        found = [self.of(system, mode) for system in systems]
        return max((one.median for one in found if one is not None), default=None)


class Target(NamedTuple):
    """One line of the table. `ratio` gives it for a system of votesync; a limit of None: nothing is asked for.

    `at_least`: whether greater is better.
    """

    title: str
    ratio: Callable[[Medians, str], float | None]
    turns: float | None
    winner: float | None
    stretch: float
    at_least: bool = True

    def limit(self, writer: str) -> float | None:
        """What is asked for of this writer."""
        return self.turns if writer == "turns" else self.winner

    def is_met(self, writer: str, ratio: float) -> bool | None:
        """Whether the ratio is good enough; None where nothing is asked for."""
        limit = self.limit(writer)
        if limit is None:
            return None
        return ratio >= limit if self.at_least else ratio <= limit


def _over(mode: str, *others: str, their_mode: str | None = None) -> Callable[[Medians, str], float | None]:
    """The rate of votesync in a mode over the best of the others."""

    def ratio(medians: Medians, ours: str) -> float | None:
        mine, theirs = medians.of(ours, mode), medians.best(others, their_mode or mode)
        return mine.median / theirs if mine is not None and theirs else None

    return ratio


def _latency(medians: Medians, ours: str) -> float | None:
    """The median latency over one fdatasync and two round trips, which is what a vote takes at least."""
    mine = medians.of(ours, "closed", "p50_us")
    sync, trip = (medians.of(limit, "alone", "p50_us") for limit in ("fdatasync", "loopback"))
    if mine is None or sync is None or trip is None:
        return None
    return mine.median / (sync.median + 2 * trip.median)


_PYSYNCOBJ = ("pysyncobj", "pysyncobj-unbatched")

TARGETS = (
    Target("closed ×5 / etcd lock", _over("closed", "etcd-lock"), 40, 60, 100),
    Target("closed ×5 / etcd lock, one client alone", _over("closed", "etcd-lock", their_mode="alone"), 6, 10, 25),
    Target("closed ×5 / etcd puts", _over("closed", "etcd-puts"), 1.5, 2.5, 4.5),
    Target("closed ×5 / PySyncObj's best", _over("closed", *_PYSYNCOBJ), 1, 1.5, 2.2),
    Target("closed ×5 / flock of one machine", _over("closed", "flock"), 0.4, 0.7, 1.1),
    Target("p50 closed ×5 / (fdatasync + two loopback round trips)", _latency, 8, 4, 2.5, at_least=False),
    Target("256 × 5 / etcd puts 256 × 5", _over("pipelined", "etcd-puts"), 1, 10, 20),
    Target("256 × 5 / PySyncObj's best", _over("pipelined", *_PYSYNCOBJ), 1.5, 15, 35),
    Target(
        "256 × 5 / one process, group commit of 256",
        _over("pipelined", "group-commit-256", their_mode="alone"),
        None, 0.12, 0.25,
    ),
    Target("closed ×5 / Redis lock", _over("closed", "redis-lock"), None, None, 0),
)  # fmt: skip
