"""Sampling: all lines of a round are kept or left out together, and the share follows the rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.votelog import encode
from votesync_cli.sampling import Sampler, share


def line(event: str, index: int, **more: object) -> str:
    return encode({"ts": 1.0, "mono": 1, "node": 0, "event": event, "term": 1, "round": index, **more}).decode()


def hurry(sampler: Sampler, rounds: int, start: float = 0.0) -> None:
    """Let `rounds` rounds come within one second."""
    sampler.look(start)
    sampler.wants(line("decided", sampler.highest + rounds))
    sampler.look(start + 1.0)


def test_everything_is_wanted_while_rounds_are_few() -> None:
    sampler = Sampler()
    hurry(sampler, 199)
    assert sampler.every == 1
    assert all(sampler.wants(line("written", index)) for index in range(1, 300))


@pytest.mark.parametrize(("rate", "every"), [(10, 1), (40, 1), (80, 2), (201, 10), (1000, 50), (5000, 200), (0, 1)])
def test_the_share_keeps_what_can_be_read(rate: float, every: int) -> None:
    assert share(rate) == every


def test_many_rounds_are_sampled_and_few_again_are_not() -> None:
    sampler = Sampler()
    hurry(sampler, 2000)
    assert sampler.every == 50
    assert sampler.rate == pytest.approx(2000)
    hurry(sampler, 2000, start=2.0)
    assert sampler.every == 50
    hurry(sampler, 50, start=4.0)
    assert sampler.every == 1


@given(st.integers(1, 100), st.integers(0, 400), st.integers(0, 8))
def test_a_vote_on_many_rounds_is_wanted_if_one_of_them_is(first: int, beyond: int, length: int) -> None:
    sampler = Sampler()
    hurry(sampler, 2000)
    begin = sampler.highest + beyond + first
    shown = any(sampler.wants(line("decided", index)) for index in range(begin, begin + length + 1))
    assert sampler.wants(line("vote", begin + length, first=begin)) == shown


def test_all_events_of_a_round_share_its_fate() -> None:
    sampler = Sampler()
    hurry(sampler, 3000)
    for index in range(sampler.highest + 1, sampler.highest + 300):
        kept = {sampler.wants(line(event, index)) for event in ("ballot", "decided", "grant", "written")}
        assert kept == {index % sampler.every == 0}


def test_a_new_share_holds_from_the_next_round_on() -> None:
    sampler = Sampler()
    hurry(sampler, 1000)
    old = sampler.highest
    assert all(sampler.wants(line("written", index)) for index in range(old - 20, old + 1))
    assert not sampler.wants(line("written", old + 1))


def test_happenings_are_always_wanted() -> None:
    sampler = Sampler(floor=100)
    hurry(sampler, 5000)
    assert sampler.wants(line("timeout", 7))
    assert sampler.wants(line("leader", 7))
    assert sampler.wants("Traceback (most recent call last):")


def test_old_rounds_are_left_out() -> None:
    sampler = Sampler(floor=100)
    assert not sampler.wants(line("written", 100))
    assert sampler.wants(line("written", 101))
    assert sampler.wants(line("vote", 104, first=99))
