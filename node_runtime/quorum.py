"""Majorities of the configured nodes, never of the live connections (rules 4 and 18)."""

from __future__ import annotations

from collections.abc import Iterable


def majority(nodes: int) -> int:
    """How many of `nodes` make a majority."""
    return nodes // 2 + 1


def reached_by_majority(positions: Iterable[int]) -> int:
    """The highest position that a majority has reached; one position for each configured node."""
    ordered = sorted(positions)
    return ordered[(len(ordered) - 1) // 2]


class Tally:
    """Votes counted as a set of configured nodes: doubles and strangers count nothing (rule 4)."""

    def __init__(self, voters: Iterable[int]) -> None:
        self._voters = frozenset(voters)
        self.granted: set[int] = set()

    def add(self, voter: int) -> None:
        """Count one yes."""
        if voter in self._voters:
            self.granted.add(voter)

    @property
    def won(self) -> bool:
        """Whether a majority said yes."""
        return len(self.granted) >= majority(len(self._voters))
