"""Gathering, sorting, checking and the turns of a round (rules 16, 36, 50 and DESIGN section 4)."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.codec import encode_round, messages_of, rendered
from node_runtime.log import ORIGIN, Log, point_of
from node_runtime.messages import Message, No, Policy, Round
from node_runtime.records import SEPARATOR
from node_runtime.rounds import Gathering, build_round, check_round, is_sorted, summary, turn_bytes, turns_of
from node_runtime.sessions import SessionTable
from tests.unit.node_maker import chain, log_of, msg

NODES = st.integers(0, 4)


@st.composite
def streams(draw: st.DrawFn) -> list[Message]:
    """Messages of a few sessions, each numbered from 1, with any times, in the order in which they arrive."""
    seqs: dict[str, int] = {}
    made = []
    for session, time, node in draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), NODES), max_size=25)):
        seqs[session] = seqs.get(session, 0) + 1
        made.append(msg(session, seqs[session], time, node))
    return made


def drain(pool: Gathering, most: int) -> list[list[Message]]:
    taken = []
    while pool.count:
        taken.append(pool.take(most))
        assert taken[-1], "a pool that is not empty gives a round"
    return taken


@given(streams(), st.integers(1, 8))
def test_rounds_are_sorted_and_sessions_stay_in_order(messages: list[Message], most: int) -> None:
    pool = Gathering()
    assert pool.offer(messages, SessionTable()) == len(messages)
    rounds = drain(pool, most)
    table, last = SessionTable(), ORIGIN
    for taken in rounds:
        assert len(taken) <= most
        round_ = build_round(last, 1, Policy.TURNS, taken)
        assert check_round(round_, last, table) is No.YES
        assert list(messages_of(round_)) == taken, "sorting by time keeps each session's numbers ascending"
        table.apply(round_)
        last = point_of(round_)
    assert sorted(message for taken in rounds for message in taken) == sorted(messages)


def test_a_message_with_a_smaller_time_than_the_one_before_waits_for_the_next_round() -> None:
    pool = Gathering()
    pool.offer([msg("a", 1, 9), msg("a", 2, 5), msg("b", 1, 7)], SessionTable())
    assert pool.take(10) == [msg("b", 1, 7), msg("a", 1, 9)]
    assert pool.take(10) == [msg("a", 2, 5)]


def test_rule_50_equal_times_are_ordered_by_node_then_session_then_number() -> None:
    pool = Gathering()
    pool.offer([msg("c", 1, 3, 1), msg("a", 1, 3, 2), msg("b", 1, 3, 1), msg("b", 2, 3, 1)], SessionTable())
    order = [(message.node, message.session, message.seq) for message in pool.take(10)]
    assert order == [(1, "b", 1), (1, "b", 2), (1, "c", 1), (2, "a", 1)]


def test_rules_35_36_doubles_and_what_follows_a_gap_are_not_taken() -> None:
    pool, table = Gathering(), SessionTable()
    table.apply(chain((1, [msg("a", 1), msg("a", 2, 2)]))[0])
    assert pool.offer([msg("a", 1), msg("a", 2), msg("a", 4, 4), msg("b", 2)], table) == 0
    assert pool.offer([msg("a", 3, 3), msg("a", 3, 3, node=2), msg("a", 5, 5), msg("a", 4, 4), msg("a", 5, 5)], table) == 3
    assert [message.seq for message in pool.take(10)] == [3, 4, 5]


def test_a_round_has_a_bound_in_messages_and_in_bytes() -> None:
    pool = Gathering()
    pool.offer([msg("a", seq, seq, text="x" * 16_000) for seq in range(1, 101)], SessionTable())
    assert [len(taken) for taken in drain(pool, 4096)] == [65, 35]
    pool.offer([msg("b", seq, seq) for seq in range(1, 11)], SessionTable())
    assert [len(taken) for taken in drain(pool, 4)] == [4, 4, 2]


def test_one_busy_session_does_not_keep_the_others_out() -> None:
    pool = Gathering()
    pool.offer([msg("a", seq, seq) for seq in range(1, 101)] + [msg("b", 1, 500), msg("c", 1, 600)], SessionTable())
    assert {message.session for message in pool.take(9)} == {"a", "b", "c"}


def test_has_all_asks_for_a_message_of_each_node() -> None:
    pool = Gathering()
    pool.offer([msg("a", 1, 1, 0), msg("b", 1, 1, 2)], SessionTable())
    assert pool.has_all([0, 2])
    assert not pool.has_all([0, 1])
    pool.take(10)
    assert not pool.has_all([0])


# --- what a node checks before it votes ---


def second(last: Log, **changes: object) -> Round:
    """A round that follows `last`, spoilt in one field."""
    return replace(build_round(last.last, 1, Policy.TURNS, [msg("a", 2, 2), msg("b", 1, 5)]), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, No.YES),
        ({"index": 3}, No.GAP),
        ({"index": 1}, No.GAP),
        ({"parent": b"?" * 16}, No.PARENT),
        ({"term": 0}, No.PARENT),
        ({"offset": 7}, No.OFFSET),
    ],
)
def test_a_vote_is_a_check(changes: dict[str, object], reason: No) -> None:
    log = log_of(chain((1, [msg("a", 1)])))
    assert check_round(second(log, **changes), log.last, log.sessions) is reason


@pytest.mark.parametrize("messages", [[msg("a", 1)], [msg("a", 3)], [msg("b", 2)]], ids=["double", "gap", "new gap"])
def test_rule_36_a_session_that_does_not_continue_gets_no_vote(messages: list[Message]) -> None:
    log = log_of(chain((1, [msg("a", 1)])))
    round_ = build_round(log.last, 1, Policy.TURNS, messages)
    assert check_round(round_, log.last, log.sessions) is No.SESSION


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from("ab")), max_size=6))
def test_rule_50_sorted_means_by_the_whole_key(keys: list[tuple[int, int, str]]) -> None:
    seqs = {"a": 0, "b": 0}
    messages = []
    for time, node, session in keys:
        seqs[session] += 1
        messages.append(msg(session, seqs[session], time, node))
    round_ = encode_round(1, 1, ORIGIN.digest, Policy.TURNS, 0, messages)
    assert is_sorted(round_) == (messages == sorted(messages))
    if not is_sorted(round_):
        assert check_round(round_, ORIGIN, SessionTable()) is No.UNSORTED


# --- turns ---


@given(streams(), st.sampled_from(Policy))
def test_turns_cover_a_round_byte_by_byte(messages: list[Message], policy: Policy) -> None:
    before = chain((1, [msg("z", 1)]))[0]
    round_ = build_round(point_of(before), 1, policy, sorted(messages))
    turns = turns_of(round_)
    assert b"".join(turn_bytes(round_, turn) for turn in turns) == rendered(round_)
    edges = [round_.offset, *(turn.end for turn in turns)]
    assert [turn.start for turn in turns] == edges[:-1]
    assert edges[-1] == round_.end
    assert [turn.number for turn in turns] == list(range(len(turns)))
    if policy is Policy.WINNER:
        assert [turn.writer for turn in turns] == [min(messages).node for _ in messages[:1]]
    else:
        runs = [(node, len(list(run))) for node, run in groupby(round_.nodes)]
        assert [(turn.writer, turn.last - turn.first) for turn in turns] == runs


def test_the_last_turn_writes_the_separator() -> None:
    round_ = chain((1, [msg("a", 1, 1, 0), msg("b", 1, 2, 1)]))[0]
    first, last = turns_of(round_)
    assert turn_bytes(round_, first) == msg("a", 1, 1, 0).block
    assert turn_bytes(round_, last) == msg("b", 1, 2, 1).block + SEPARATOR


def test_a_noop_has_no_turns() -> None:
    assert turns_of(chain((1, []))[0]) == ()


def test_the_summary_counts_messages_and_tells_the_earliest_time() -> None:
    round_ = chain((1, [msg("a", 1, 7, 2), msg("a", 2, 9, 2), msg("b", 1, 8, 0)]))[0]
    assert summary(round_) == {"0": [1, 8], "2": [2, 7]}
