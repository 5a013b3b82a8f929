"""A node's queue: order, doubles, gaps, answers exactly once, the bound and the end of patience (rules 17, 35 to 37)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.intake import Intake
from node_runtime.messages import Round
from node_runtime.rounds import turns_of
from node_runtime.sessions import Place, SessionTable
from tests.unit.node_maker import chain, msg

NEW = Place(0, 0)


def queue_of(*messages: tuple[str, int], client: str = "x", most: int = 100) -> Intake:
    intake = Intake(most)
    for session, seq in messages:
        assert intake.add(msg(session, seq, seq), client, NEW, now=seq) is None
    return intake


def waiting(intake: Intake) -> list[tuple[str, int]]:
    intake.send_again()
    return [(message.session, message.seq) for message in intake.outbox]


def test_messages_leave_in_order_and_only_once() -> None:
    intake = queue_of(("a", 1), ("b", 1), ("a", 2))
    assert [(message.session, message.seq) for message in intake.outbox] == [("a", 1), ("b", 1), ("a", 2)]
    assert intake.count == 3
    assert (intake.queued("a"), intake.queued("b"), intake.queued("c")) == (2, 1, 0)


def test_rule_36_a_gap_is_refused_with_the_number_that_is_expected() -> None:
    intake = queue_of(("a", 1))
    assert intake.add(msg("a", 3), "x", NEW, 0) == 2
    assert intake.add(msg("b", 2), "x", NEW, 0) == 1
    assert intake.add(msg("c", 9), "x", Place(7, 3), 0) == 8
    assert intake.add(msg("d", 8), "x", Place(7, 3), 0) is None
    assert waiting(intake) == [("a", 1), ("d", 8)]


def test_rule_36_a_number_before_the_first_that_waits_must_wait_for_its_turn() -> None:
    intake = Intake(10)
    intake.add(msg("a", 5), "x", Place(4, 1), 0)
    assert intake.add(msg("a", 4), "y", Place(4, 1), 0) == 5
    assert waiting(intake) == [("a", 5)]


def test_rule_35_a_double_is_queued_once_and_answers_the_newest_client() -> None:
    intake = queue_of(("a", 1), ("a", 2), client="old")
    assert intake.add(msg("a", 1, 1), "new", NEW, 9) is None
    assert (intake.count, len(intake.outbox)) == (2, 2)
    round_ = chain((1, [msg("a", 1, 1), msg("a", 2, 2)]))[0]
    assert intake.settle(round_, 2, 9) == [("new", "a", [(1, 1, 0)]), ("old", "a", [(2, 1, len(msg("a", 1, 1).block))])]


@given(st.data())
def test_rule_37_a_round_settled_in_any_steps_answers_each_message_once_with_its_place(data: st.DataObject) -> None:
    nodes = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=12))
    seqs = dict.fromkeys("012", 0)
    messages = []
    for time, node in enumerate(nodes):
        seqs[str(node)] += 1
        messages.append(msg(str(node), seqs[str(node)], time, node))
    round_ = chain((1, [msg("z", 1)]), (1, messages))[1]
    own = [message for message in messages if message.node < 2]
    intake = Intake(100)
    for message in own:
        intake.add(message, f"client {message.session}", NEW, 0)
    got = []
    stops = data.draw(st.sets(st.integers(0, len(messages)))) | {len(messages)}
    for last in sorted(stops):
        for client, session, rows in intake.settle(round_, last, 5):
            assert client == f"client {session}"
            got += [(session, *row) for row in rows]
            assert all(row[0] <= messages[last - 1].time + 1 for row in rows)
    wanted, offset = [], round_.offset
    for message in messages:
        if message.node < 2:
            wanted.append((message.session, message.seq, 2, offset))
        offset += len(message.block)
    assert sorted(got) == sorted(wanted)
    assert intake.count == 0
    assert waiting(intake) == []


def test_rule_37_a_turn_answers_only_what_it_wrote() -> None:
    round_ = chain((1, [msg("a", 1, 1, 0), msg("b", 1, 2, 1), msg("a", 2, 3, 0)]))[0]
    intake = queue_of(("a", 1), ("a", 2))
    assert [rows[2] for rows in intake.settle(round_, turns_of(round_)[0].last, 0)] == [[(1, 1, 0)]]
    assert waiting(intake) == [("a", 2)]
    assert [rows[2][0][0] for rows in intake.settle(round_, round_.count, 0)] == [2]


def test_an_older_number_that_was_decided_elsewhere_is_answered_without_its_place() -> None:
    intake = queue_of(("a", 1), ("a", 2))
    later = chain((1, [msg("a", 1, 1)]), (1, [msg("a", 2, 2)]))[1]
    assert intake.settle(later, 1, 0) == [("x", "a", [(1, None, None), (2, 2, later.offset)])]


def test_settling_a_round_of_strangers_changes_nothing() -> None:
    intake = queue_of(("a", 1))
    assert intake.settle(chain((1, [msg("b", 1)]))[0], 1, 0) == []
    assert waiting(intake) == [("a", 1)]


def test_what_is_in_the_file_already_is_answered_and_the_rest_waits() -> None:
    rounds: list[Round] = chain((1, [msg("a", 1)]), (1, [msg("a", 2, 2)]))
    sessions = SessionTable()
    sessions.apply(rounds[0])
    intake = queue_of(("a", 1), ("a", 2), ("b", 1))
    assert intake.settle_old(sessions, 0, 0) == [], "decided, but not in the file yet"
    assert intake.settle_old(sessions, 1, 0) == [("x", "a", [(1, None, None)])]
    assert waiting(intake) == [("a", 2), ("b", 1)]
    assert intake.count == 2


def test_rule_17_the_queue_is_full_at_its_bound_and_open_again_below_it() -> None:
    intake = queue_of(("a", 1), ("a", 2), most=2)
    assert intake.full
    intake.settle(chain((1, [msg("a", 1, 1)]))[0], 1, 0)
    assert not intake.full


def test_rule_36_what_is_given_up_takes_the_sessions_later_messages_along() -> None:
    intake = Intake(100)
    intake.add(msg("a", 1), "x", NEW, now=10)
    intake.add(msg("a", 2), "x", NEW, now=90)
    intake.add(msg("b", 1), "y", NEW, now=90)
    assert intake.oldest() == 10
    assert intake.expire(10) == []
    assert intake.expire(11) == [("x", "a", 1), ("x", "a", 2)]
    assert (intake.count, intake.oldest(), intake.queued("a")) == (1, 90, 0)
    assert [message.session for message in intake.outbox] == ["b"], "what was given up is not sent any more"


@pytest.mark.parametrize("seq", [1, 2])
def test_a_session_starts_over_after_it_was_given_up(seq: int) -> None:
    intake = queue_of(("a", 1))
    intake.expire(99)
    assert intake.add(msg("a", seq), "x", NEW, 100) == (None if seq == 1 else 1)
