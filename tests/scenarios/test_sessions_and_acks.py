"""Rules 34 to 38: exactly once by (session, seq), and what an answer to a client means."""

from __future__ import annotations

import pytest

from node_runtime.messages import Ballot, Forward, Grant, No, PeerMessage, Policy, Round, Vote, Written
from node_runtime.rounds import build_round
from node_runtime.state import Persisted, Submitted
from tests.scenarios.harness import MILLI, Group, Peer, heartbeat, solo, step
from tests.unit.node_maker import chain, log_of, msg, noops


def placed(group: Group) -> list[tuple[str, int]]:
    """Every (session, seq) in the log of node 0, in order."""
    from node_runtime.codec import messages_of

    log = group.peers[0].state.log
    rounds: list[Round] = [log.round(index) for index in range(1, log.decided + 1)]
    return [(message.session, message.seq) for round_ in rounds for message in messages_of(round_)]


def acked(peer: Peer) -> list[tuple[str, int]]:
    return [(row[1], row[2]) for row in peer.acks]


def table(peer: Peer) -> dict[str, int]:
    return {session: place.last for session, place in peer.state.log.sessions.snapshot().items()}


def seated(nodes: int = 3) -> Group:
    group = Group(nodes)
    group.elect(0)
    group.advance(50)
    return group


# --- the table is part of the log ---


def test_rule_34_all_nodes_have_the_same_table_also_after_a_restart() -> None:
    group = seated()
    for seq in range(1, 4):
        group.submit(1, msg("b", seq, seq, 1))
        group.submit(2, msg("c", seq, seq, 2))
        group.advance(30)
    assert [table(peer) for peer in group.peers] == [{"b": 3, "c": 3}] * 3
    assert table(group.restart(2)) == {"b": 3, "c": 3}


def test_rule_34_what_a_new_leader_takes_off_the_log_is_taken_off_the_table() -> None:
    first = noops(1)[0]
    ours = [first, *chain((1, [msg("a", 1)]), (1, [msg("a", 2, 2)]), after=log_of([first]).last)]
    theirs = [first, *chain((2, [msg("b", 1)]), after=log_of([first]).last)]
    peer = solo(term=1, journal=ours)
    step(peer, (1, heartbeat(log_of([first]), 2, theirs[1])))
    assert table(peer) == {"b": 1}
    out = step(peer, (1, heartbeat(log_of(theirs), 2, *chain((2, [msg("a", 1)]), after=log_of(theirs).last))))
    assert [vote for _, vote in out.replies] == [Vote(2, 1, 3, No.YES)], "a1 is not a double any more"


# --- identity ---


def test_rule_35_a_message_that_comes_through_two_nodes_in_one_round_stands_once() -> None:
    group = seated()
    group.submit(1, msg("m", 1, 5, 1), client="first")
    group.submit(2, msg("m", 1, 5, 2), client="second")
    group.advance(50)
    assert placed(group) == [("m", 1)]
    assert acked(group.peers[1]) == acked(group.peers[2]) == [("m", 1)]


def test_rule_35_equal_text_and_equal_time_of_two_messages_stand_twice() -> None:
    group = seated()
    group.submit(1, msg("m", 1, 5, 1, "hello"), msg("m", 2, 5, 1, "hello"))
    group.submit(2, msg("n", 1, 5, 2, "hello"))
    group.advance(50)
    assert sorted(placed(group)) == [("m", 1), ("m", 2), ("n", 1)]


def test_rule_35_a_message_that_was_decided_is_answered_again_and_not_decided_again() -> None:
    group = seated()
    group.submit(1, msg("m", 1, 5, 1))
    group.advance(1200)
    for node in range(3):
        group.submit(node, msg("m", 1, 99, node, "other words"), client="again")
    group.advance(1000)
    assert placed(group) == [("m", 1)]
    assert [peer.acks[-1] for peer in group.peers] == [("again", "m", 1, None, None)] * 3
    assert b"other words" not in group.file


def test_rule_35_a_repeat_before_the_decision_is_answered_once_to_the_newest_client() -> None:
    group = seated()
    group.submit(1, msg("m", 1, 5, 1), client="old")
    group.submit(1, msg("m", 1, 5, 1), client="new")
    group.advance(50)
    assert placed(group) == [("m", 1)]
    assert [row[:3] for row in group.peers[1].acks] == [("new", "m", 1)]


def test_rule_35_a_repeat_of_what_is_decided_but_not_written_waits_for_the_file() -> None:
    group = seated()
    group.drop = lambda sender, receiver, message: isinstance(message, Grant | Written)
    group.submit(1, msg("m", 1, 5, 1))
    group.advance(100)
    assert table(group.peers[2]) == {"m": 1}
    group.submit(2, msg("m", 1, 5, 2), client="other")
    group.advance(50)
    assert group.peers[2].acks == []
    group.drop = lambda sender, receiver, message: False
    group.advance(1500)
    assert acked(group.peers[2]) == [("m", 1)]
    assert placed(group) == [("m", 1)]


def test_a_session_moves_between_nodes_and_its_numbers_go_on() -> None:
    group = seated()
    for seq in range(1, 7):
        group.submit(seq % 3, msg("m", seq, seq, seq % 3))
        group.advance(100)
    assert placed(group) == [("m", seq) for seq in range(1, 7)]
    assert [acked(peer) for peer in group.peers] == [[("m", 3), ("m", 6)], [("m", 1), ("m", 4)], [("m", 2), ("m", 5)]]


def test_messages_wait_for_a_leader_and_are_handed_over_again_after_each_change() -> None:
    group = Group(3)
    group.submit(2, msg("c", 1, 1, 2))
    group.elect(0)
    group.drop = lambda sender, receiver, message: isinstance(message, Forward)
    group.submit(2, msg("c", 2, 2, 2))
    group.advance(20)
    group.drop = lambda sender, receiver, message: False
    group.asleep.add(0)
    group.advance(3000)
    group.asleep.clear()
    group.advance(1000)
    assert placed(group) == [("c", 1), ("c", 2)]
    assert acked(group.peers[2]) == [("c", 1), ("c", 2)]


def test_what_waits_is_handed_to_a_new_leader_as_soon_as_it_is_heard() -> None:
    peer = solo(2)
    message = msg("c", 1, 1, 2)
    step(peer, (0, heartbeat(log_of([]), 1)))
    out = peer.core.step(0, [Submitted([message], "x")])
    assert out.early == [(0, Forward(1, (message,)))]
    assert step(peer).early == []
    out = step(peer, (1, heartbeat(log_of([]), 2)))
    assert out.early == [(1, Forward(2, (message,)))]


def test_a_forward_that_was_lost_is_sent_again() -> None:
    group = seated()
    group.drop = lambda sender, receiver, message: isinstance(message, Forward)
    group.submit(2, msg("c", 1, 1, 2))
    group.advance(100)
    group.drop = lambda sender, receiver, message: False
    group.advance(1200)
    assert acked(group.peers[2]) == [("c", 1)]


# --- gaps ---


def test_rule_36_a_gap_is_refused_at_the_door_with_the_number_that_is_expected() -> None:
    group = seated()
    group.submit(1, msg("m", 1, 1, 1), msg("m", 3, 3, 1))
    group.submit(2, msg("n", 5, 5, 2))
    group.advance(50)
    assert group.peers[1].failures == [("client", "m", 3, "gap 2")]
    assert group.peers[2].failures == [("client", "n", 5, "gap 1")]
    assert placed(group) == [("m", 1)]


def test_rule_36_a_later_message_that_overtakes_on_its_way_to_the_leader_waits() -> None:
    group = seated()
    group.peers[0].feed()
    group.send(1, [(0, Forward(1, (msg("m", 2, 2, 1),)))])
    group.advance(50)
    assert placed(group) == []
    group.send(1, [(0, Forward(1, (msg("m", 1, 1, 1),))), (0, Forward(1, (msg("m", 2, 2, 1),)))])
    group.advance(50)
    assert placed(group) == [("m", 1), ("m", 2)]


@pytest.mark.parametrize("seq", [1, 3])
def test_rule_36_a_ballot_with_a_double_or_a_gap_gets_no_vote(seq: int) -> None:
    rounds = chain((1, [msg("m", 1)]))
    bad = build_round(log_of(rounds).last, 1, Policy.TURNS, [msg("m", seq, 9)])
    peer = solo(term=1, journal=rounds)
    out = step(peer, (1, heartbeat(log_of(rounds), 1, bad)))
    assert [vote for _, vote in out.replies] == [Vote(1, 1, 1, No.SESSION)]
    assert out.rounds == []


# --- what an answer means ---


def test_rule_37_no_ack_before_the_decision() -> None:
    group = seated()
    group.drop = lambda sender, receiver, message: isinstance(message, Vote)
    group.submit(0, msg())
    group.advance(200)
    assert group.peers[0].acks == []
    group.drop = lambda sender, receiver, message: False
    group.advance(500)
    assert acked(group.peers[0]) == [("a", 1)]


def test_rule_37_no_ack_before_the_file_holds_it() -> None:
    group = seated()
    group.drop = lambda sender, receiver, message: isinstance(message, Grant)
    group.submit(2, msg("c", 1, 1, 2))
    group.advance(200)
    assert group.peers[2].state.log.sessions.last("c") == 1
    assert (group.peers[2].acks, bytes(group.file)) == ([], b"")
    group.advance(1000)
    assert acked(group.peers[2]) == [("c", 1)]
    assert b"client c " in group.file


def test_rule_37_an_ack_names_the_round_and_the_place_in_the_file() -> None:
    group = seated()
    group.submit(1, msg("b", 1, 7, 1), msg("b", 2, 9, 1))
    group.submit(2, msg("c", 1, 8, 2))
    group.advance(50)
    for peer in group.peers:
        for _, session, seq, round_, offset in peer.acks:
            block = msg(session, seq, {("b", 1): 7, ("b", 2): 9, ("c", 1): 8}[session, seq], peer.me).block
            assert offset is not None
            assert group.file[offset : offset + len(block)] == block
            assert round_ == 2


def test_rule_37_without_a_majority_the_client_is_told_to_try_again_and_its_message_may_still_be_decided() -> None:
    group = seated()
    group.drop = lambda sender, receiver, message: True
    group.submit(0, msg("a", 1), msg("a", 2, 2))
    group.advance(6000)
    assert group.peers[0].failures == [("client", "a", 1, "no_quorum"), ("client", "a", 2, "no_quorum")]
    assert group.peers[0].acks == []
    group.drop = lambda sender, receiver, message: False
    group.advance(3000)
    group.submit(0, msg("a", 1), msg("a", 2, 2), client="again")
    group.advance(1000)
    assert acked(group.peers[0]) == [("a", 1), ("a", 2)]
    assert placed(group) == [("a", 1), ("a", 2)]


def test_rule_37_a_follower_answers_when_the_leader_says_it_is_written() -> None:
    peer = solo(2)
    rounds = chain((1, []), (1, [msg("c", 1, 1, 2)]))
    peer.core.step(0, [Submitted([msg("c", 1, 1, 2)], "x")])
    out = step(peer, (0, heartbeat(log_of([]), 1, *rounds, decided=2)))
    peer.core.step(0, [Persisted(2, 1)])
    assert out.acks == []
    out = step(peer, (0, heartbeat(log_of(rounds), 1, request=2, decided=2, written=2)))
    assert out.acks == [("x", "c", [(1, 2, 0)])]


def test_rule_37_written_says_nothing_of_rounds_that_are_not_known_to_be_decided() -> None:
    """The leader's `written` may be ahead of what this ballot confirmed: another round may stand here."""
    ours = chain((1, []), (1, [msg("c", 1, 1, 2)]))
    peer = solo(2, term=1, journal=ours)
    peer.core.step(0, [Submitted([msg("c", 1, 1, 2)], "x")])
    out = step(peer, (0, heartbeat(log_of(ours[:1]), 2, decided=2, written=2)))
    assert out.acks == []


def test_rule_38_a_ballot_that_no_leader_can_have_made_is_answered_and_breaks_nothing() -> None:
    peer = solo()
    bad = build_round(log_of([]).last, 1, Policy.TURNS, [msg("a", 1, 9), msg("b", 1, 3)])
    out = step(peer, (1, heartbeat(log_of([]), 1, bad)))
    assert [vote for _, vote in out.replies] == [Vote(1, 1, 0, No.UNSORTED)]
    out = step(peer, (1, heartbeat(log_of([]), 1, *noops(1), request=2)))
    assert [vote for _, vote in out.replies] == [Vote(1, 2, 1, No.YES)]


def test_rule_17_a_full_queue_pushes_back_and_opens_again() -> None:
    group = Group(3, queue_messages=3)
    group.submit(1, *(msg("b", seq, seq, 1) for seq in range(1, 4)))
    assert group.peers[1].state.intake.full
    group.elect(0)
    group.advance(50)
    assert not group.peers[1].state.intake.full


def test_a_forward_is_cut_into_parts() -> None:
    group = seated()
    group.said.clear()
    group.submit(1, *(msg("b", seq, seq, 1, "x" * 16_000) for seq in range(1, 101)))
    parts: list[PeerMessage] = [message for _, _, message in group.said if isinstance(message, Forward)]
    assert len(parts) == 4
    group.advance(1000)
    assert len(placed(group)) == 100
    assert [said for said in group.said if isinstance(said[2], Ballot)]


def test_the_clock_of_patience_starts_anew_with_a_repeat() -> None:
    group = Group(3)
    group.submit(1, msg("b", 1, 1, 1), client="x")
    group.drop = lambda sender, receiver, message: True
    group.advance(4000)
    group.submit(1, msg("b", 1, 1, 1), client="x")
    group.advance(4000)
    assert group.peers[1].failures == []
    group.now += 2000 * MILLI
    group.peers[1].feed()
    assert group.peers[1].failures == [("x", "b", 1, "no_quorum")]
