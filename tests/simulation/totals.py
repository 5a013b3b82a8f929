"""What a run, or many, amounted to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from tests.simulation.plan import SECOND


@dataclass
class Totals:
    """Counts; `add` joins those of another run."""

    seeds: int = 0
    events: int = 0
    steps: int = 0
    virtual_us: int = 0
    sent: int = 0
    submitted: int = 0
    acked: int = 0
    refused: int = 0
    decided: int = 0
    reads: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)

    def add(self, other: Totals) -> None:
        """Join."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, each.name, mine + theirs)

    def lines(self) -> list[str]:
        """As text, a line a subject."""
        happened = self.happened
        return [
            f"{self.seeds:,} seeds, {self.events:,} events, {self.steps:,} steps of cores, {self.virtual_us // SECOND:,} s of"
            f" virtual time, clusters of {_counts(self.sizes)}",
            f"{self.sent:,} peer messages, {self.decided:,} rounds decided, {self.acked:,} client messages acknowledged,"
            f" {self.refused:,} refusals, {self.reads:,} reads of the file",
            f"{happened['leader']:,} leader changes, {happened['voted']:,} votes for others, {happened['timeout']:,} stalled"
            f" turns, {happened['repair']:,} repairs of the file, {happened['no_quorum']:,} times without a quorum",
            f"faults: {_counts(self.faults)}",
            f"partitions: {_counts(self.shapes)}",
            f"deaths in a disk call: {_counts(self.deaths)}",
        ]


def _counts(counter: Counter[Any]) -> str:
    return ", ".join(f"{name} {counter[name]:,}" for name in sorted(counter)) or "none"
