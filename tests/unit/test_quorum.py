"""Majorities are of the configured nodes, and votes are counted as sets (rules 4 and 18)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.quorum import Tally, majority, reached_by_majority


@pytest.mark.parametrize(("nodes", "wanted"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4), (9, 5), (64, 33)])
def test_rule_18_a_majority_is_more_than_half(nodes: int, wanted: int) -> None:
    assert majority(nodes) == wanted


@given(st.lists(st.integers(0, 20), min_size=1, max_size=9))
def test_rule_18_what_a_majority_has_reached(positions: list[int]) -> None:
    reached = reached_by_majority(positions)
    assert sum(position >= reached for position in positions) >= majority(len(positions))
    assert sum(position > reached for position in positions) < majority(len(positions))


@given(st.integers(1, 9), st.lists(st.integers(-2, 12)))
def test_rule_04_votes_are_a_set_of_configured_nodes(nodes: int, voters: list[int]) -> None:
    tally = Tally(range(nodes))
    for voter in voters:
        tally.add(voter)
    assert tally.won == (len(set(voters) & set(range(nodes))) * 2 > nodes)


def test_rule_04_a_double_vote_counts_once() -> None:
    tally = Tally(range(3))
    tally.add(1)
    tally.add(1)
    assert not tally.won
    tally.add(2)
    assert tally.won


def test_rule_04_a_stranger_counts_nothing() -> None:
    tally = Tally(range(3))
    tally.add(0)
    tally.add(3)
    assert not tally.won
