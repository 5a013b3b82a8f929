"""The replicated log in memory: matching, cutting, deciding, reading back (rules 11, 12, 16, 23, 34)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime import log as log_module
from node_runtime.log import ORIGIN, Log, point_of
from node_runtime.messages import Round
from tests.unit.node_maker import chain, log_of, msg, noops

BIG = "x" * 16_000


def numbered(count: int, text: str | None = None) -> list[Round]:
    return chain(*((1, [msg("a", seq, seq, text=text)]) for seq in range(1, count + 1)))


def test_an_empty_log_stands_at_the_origin() -> None:
    log = log_of([])
    assert (log.last, log.decided, log.point(0), log.batch(1, 99), log.find_offset(10)) == (ORIGIN, 0, ORIGIN, (), 0)


def test_rule_16_only_the_round_that_follows_is_appended() -> None:
    rounds, others = numbered(3), numbered(3, "other")
    log = log_of(rounds[:1])
    for wrong in (rounds[0], rounds[2], others[1]):
        with pytest.raises(AssertionError):
            log.append(wrong)
    log.append(rounds[1])
    assert log.last == point_of(rounds[1])


def test_rule_12_a_decided_round_is_never_cut() -> None:
    log = log_of(numbered(4), decided=3)
    with pytest.raises(AssertionError, match="3 is decided"):
        log.cut_after(2)
    log.cut_after(3)
    assert log.last.index == 3


def test_rule_34_a_cut_takes_the_sessions_back() -> None:
    rounds = numbered(4)
    log = log_of(rounds)
    log.cut_after(2)
    assert log.sessions.last("a") == 2
    assert log.last == point_of(rounds[1])
    log.append(rounds[2])
    assert log.sessions.last("a") == 3


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_a_log_that_was_cut_equals_one_that_was_shorter(count: int, decided: int, keep: int) -> None:
    rounds = numbered(count)
    decided = min(decided, count)
    keep = max(decided, min(keep, count))
    log = log_of(rounds, decided)
    log.cut_after(keep)
    assert log.last == log_of(rounds[:keep]).last
    assert log.sessions.snapshot() == log_of(rounds[:keep]).sessions.snapshot()
    assert [round_.index for round_ in log.batch(1, 1 << 30)] == list(range(1, keep + 1))


def test_decide_gives_the_fresh_rounds_in_order_and_never_falls() -> None:
    rounds = numbered(4)
    log = log_of(rounds)
    assert log.decide(2) == rounds[:2]
    assert log.decide(4) == rounds[2:]
    with pytest.raises(AssertionError):
        log.decide(3)
    with pytest.raises(AssertionError):
        log.decide(5)


def test_rule_23_a_stored_decided_index_is_never_above_the_last_round() -> None:
    assert log_of(numbered(3), decided=9).decided == 3


def test_memory_is_bounded_and_old_rounds_come_from_the_journal() -> None:
    rounds = numbered(400, BIG)
    log = log_of(rounds)
    reads: list[int] = []
    log._read = lambda first, most: reads.append(first) or rounds[first - 1 :]  # type: ignore[func-returns-value]
    log.decide(400)
    log.trim(401)
    assert log.round(400) == rounds[399]
    assert reads == []
    assert (log.round(3), log.point(3)) == (rounds[2], point_of(rounds[2]))
    assert reads == [3, 3]
    assert sum(len(round_.encoded) for round_ in log._rounds) <= log_module.KEPT_BYTES


def test_what_is_undecided_or_still_wanted_stays_in_memory() -> None:
    rounds = numbered(400, BIG)
    log = log_of(rounds)
    log.trim(401)
    assert log._rounds[0].index == 1
    log.decide(400)
    log.trim(50)
    assert log._rounds[0].index == 50


def test_a_restored_log_keeps_memory_flat_and_can_still_be_cut_a_window_deep() -> None:
    rounds = chain(*((1, [msg("a", seq, seq, text=BIG)]) for seq in range(1, 1500)))
    log = Log(lambda first, most: rounds[first - 1 :])
    for round_ in rounds:
        log.restore(round_)
    assert sum(len(round_.encoded) for round_ in log._rounds) <= log_module.KEPT_BYTES
    assert len(log._undo) <= log_module.UNDO_KEPT
    log.restored(len(rounds) - 66)
    log.cut_after(len(rounds) - 66)
    assert log.sessions.last("a") == len(rounds) - 66
    assert log.last == point_of(rounds[-67])


def test_a_batch_has_one_round_at_least_and_no_more_than_asked() -> None:
    rounds = numbered(10, BIG)
    log = log_of(rounds)
    assert log.batch(4, 1) == (rounds[3],)
    assert log.batch(4, 3 * len(rounds[0].encoded)) == tuple(rounds[3:6])
    assert log.batch(11, 1 << 20) == ()


def test_a_batch_from_the_journal_ends_where_the_log_ends() -> None:
    rounds = numbered(400, BIG)
    log = log_of(rounds)
    log.decide(390)
    log.trim(391)
    log.cut_after(395)
    assert [round_.index for round_ in log.batch(1, 1 << 30)] == list(range(1, 396))


@given(st.lists(st.booleans(), max_size=20), st.integers(0, 2000))
def test_find_offset_is_the_last_round_that_ends_there_or_before(empty: list[bool], offset: int) -> None:
    seqs = iter(range(1, 99))
    rounds = chain(*((1, [] if none else [msg("a", next(seqs))]) for none in empty))
    found = log_of(rounds).find_offset(offset)
    assert found == max([0, *(round_.index for round_ in rounds if round_.end <= offset)])


def test_noops_take_no_room_in_the_file() -> None:
    rounds = noops(1, 2, 2)
    assert [round_.end for round_ in rounds] == [0, 0, 0]
    assert len({round_.digest for round_ in rounds}) == 3
