"""Rules 9 to 18: proposing, matching, deciding; one core is fed by hand, or a few talk to each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node_runtime.log import point_of
from node_runtime.messages import Ballot, Grant, Message, No, PeerMessage, Policy, Round, Vote, VoteReply
from node_runtime.replication import WINDOW
from node_runtime.rounds import build_round
from node_runtime.state import LinkChanged, Persisted, Submitted
from tests.scenarios.harness import MILLI, Group, Peer, heartbeat, solo, step
from tests.scenarios.transcript import script, transcript
from tests.unit.node_maker import chain, log_of, msg, noops


def yes(index: int, term: int, request: int = 1) -> Vote:
    return Vote(term, request, index, No.YES)


def lead(peer: Peer) -> Peer:
    """It stands and wins; its no-op is durable with itself only."""
    peer.group.now += 5000 * MILLI
    step(peer)
    term = peer.state.term + 1
    step(peer, *((node, VoteReply(peer.state.term, term, True, True)) for node in peer.state.peers))
    step(peer, *((node, VoteReply(term, term, False, True)) for node in peer.state.peers))
    durable(peer)
    return peer


def durable(peer: Peer) -> None:
    last = peer.state.log.last
    peer.core.step(peer.group.now, [Persisted(last.index, last.term)])


def seated(nodes: int = 3, rounds_in_flight: int = 4) -> Peer:
    """A leader that has decided its no-op."""
    peer = lead(solo(nodes=nodes, rounds_in_flight=rounds_in_flight))
    last = peer.state.log.last
    step(peer, *((node, yes(last.index, peer.state.term)) for node in peer.state.peers))
    assert peer.state.leads
    return peer


def propose(peer: Peer, *messages: Message) -> list[Round]:
    """Its clients send these; the window passes."""
    peer.core.step(peer.group.now, [Submitted(list(messages), "x")])
    peer.group.now += 10 * MILLI
    return step(peer).rounds


# --- deciding ---


def test_rule_09_a_round_of_an_older_term_is_not_decided_by_counting() -> None:
    """Raft's figure 8: round 2 of term 2 is with a majority, and yet it may still be replaced."""
    peer = lead(solo(nodes=5, term=3, journal=chain((1, []), (2, [msg()]))))
    step(peer, (1, yes(2, 4)), (2, yes(2, 4)), (3, yes(2, 4)), (4, yes(2, 4)))
    assert peer.state.log.decided == 0
    step(peer, (1, yes(3, 4)), (2, yes(3, 4)))
    assert peer.state.log.decided == 3


def test_rule_10_a_new_leader_proposes_a_noop_of_its_term() -> None:
    peer = lead(solo(term=3, journal=noops(1, 2)))
    assert (peer.state.log.last.index, peer.state.log.last.term, peer.state.log.round(3).count) == (3, 4, 0)


def test_rule_10_a_new_leader_gives_no_turn_before_its_noop_is_decided() -> None:
    rounds = chain((1, [msg("b", 1, node=1)]))
    peer = lead(solo(term=1, journal=rounds, decided=1))
    out = step(peer)
    assert (out.replies, out.writes, out.compare, peer.state.leads) == ([], [], [], False)
    out = step(peer, (1, yes(2, 2)))
    assert peer.state.leads
    assert len(out.compare) == 1


def test_rule_13_a_followers_decided_is_bounded_by_what_the_ballot_confirmed() -> None:
    rounds = noops(1, 1, 1)
    peer = solo(term=1, journal=[*rounds[:2], build_round(point_of(rounds[1]), 1, Policy.TURNS, [msg()])])
    step(peer, (1, heartbeat(log_of(rounds[:1]), 2, decided=3)))
    assert peer.state.log.decided == 1, "rounds 2 and 3 stand here, but this leader has not confirmed them"
    step(peer, (1, heartbeat(log_of(rounds[:1]), 2, *rounds[1:2], decided=3)))
    assert peer.state.log.decided == 2


def test_rule_18_a_majority_is_of_the_configured_nodes_not_of_those_in_touch() -> None:
    peer = seated(nodes=5)
    peer.core.step(peer.group.now, [LinkChanged(node, False) for node in (2, 3, 4)])
    propose(peer, msg())
    durable(peer)
    step(peer, (1, yes(2, 1)))
    assert peer.state.log.decided == 1
    step(peer, (2, yes(2, 1)))
    assert peer.state.log.decided == 2


def test_rule_18_four_nodes_need_three() -> None:
    peer = lead(solo(nodes=4))
    step(peer, (1, yes(1, 1)))
    assert peer.state.log.decided == 0
    step(peer, (2, yes(1, 1)))
    assert peer.state.log.decided == 1


# --- a follower's log ---


def test_rule_11_a_delayed_ballot_that_matches_shortens_nothing() -> None:
    rounds = noops(1, 1, 1)
    peer = solo()
    step(peer, (1, heartbeat(log_of([]), 1, *rounds)))
    out = step(peer, (1, heartbeat(log_of([]), 1, rounds[0])), (1, heartbeat(log_of([]), 1)))
    assert peer.state.log.last == point_of(rounds[2])
    assert out.rounds == []
    assert [vote for _, vote in out.replies] == [yes(1, 1), yes(0, 1)]


def test_rule_11_the_log_is_cut_from_the_first_conflict_on() -> None:
    old, new = noops(1, 1, 1, 1), noops(1, 1)
    new += noops(2, 2, after=point_of(new[-1]))
    peer = solo(term=1, journal=old)
    out = step(peer, (1, heartbeat(log_of([]), 2, *new[:3])))
    assert out.rounds == new[2:3]
    assert peer.state.log.last == point_of(new[2])
    assert peer.state.persisted == 2


def test_rule_11_rounds_that_are_replaced_within_a_step_are_not_owed_any_more() -> None:
    old = noops(1, 1)
    new = [old[0], *noops(2, after=point_of(old[0]))]
    peer = solo()
    out = step(peer, (1, heartbeat(log_of([]), 1, *old)), (2, heartbeat(log_of([]), 2, *new)))
    assert out.rounds == new


def test_rule_12_a_conflict_below_the_decided_index_stops_the_process() -> None:
    ours, theirs = noops(1, 1), noops(2, 2)
    for ballot in (heartbeat(log_of(theirs), 2), heartbeat(log_of([]), 2, *theirs)):
        peer = solo(term=1, journal=ours, decided=2)
        with pytest.raises(AssertionError, match="decided"):
            step(peer, (1, ballot))


def test_a_gap_is_refused_with_where_the_log_ends() -> None:
    rounds = noops(1, 1, 1)
    out = step(solo(term=1, journal=rounds[:1]), (1, heartbeat(log_of(rounds), 1)))
    assert out.replies == [(1, Vote(1, 1, 1, No.GAP))]


def test_rule_16_a_digest_that_differs_is_a_conflict_though_index_and_term_agree() -> None:
    ours, theirs = chain((1, [msg(text="ours")])), chain((1, [msg(text="theirs")]))
    peer = solo(term=1, journal=ours)
    out = step(peer, (1, heartbeat(log_of(theirs), 1)))
    assert out.replies == [(1, Vote(1, 1, 0, No.CONFLICT))]
    assert peer.state.log.decided == 0


def test_rule_16_a_round_of_another_parent_gets_no_vote() -> None:
    ours, theirs = noops(1), chain((1, [msg()]))
    stranger = replace(build_round(point_of(theirs[0]), 1, Policy.TURNS, []), offset=0)
    out = step(solo(term=1, journal=ours), (1, replace(heartbeat(log_of(ours), 1), rounds=(stranger,))))
    assert out.replies == [(1, Vote(1, 1, 1, No.PARENT))]
    assert out.rounds == []


def test_a_follower_steps_back_a_whole_term_at_a_conflict_but_not_below_what_is_decided() -> None:
    ours = noops(1, 2, 2, 2, 2)
    theirs = [*ours[:1], *noops(3, 3, 3, 3, after=point_of(ours[0]))]
    for decided, wanted in ((0, 1), (3, 3)):
        peer = solo(term=2, journal=ours, decided=decided)
        out = step(peer, (1, heartbeat(log_of(theirs), 3)))
        assert out.replies == [(1, Vote(3, 1, wanted, No.CONFLICT))]


def test_a_leader_finds_where_a_peer_that_conflicts_agrees_and_fills_it() -> None:
    group = Group(3)
    same = noops(1)
    group.restart(0, hard=replace(group.peers[0].hard, term=5), journal=[*same, *noops(5, 5, after=point_of(same[0]))])
    group.restart(1, hard=replace(group.peers[1].hard, term=4), journal=[*same, *noops(2, 3, 4, 4, after=point_of(same[0]))])
    group.elect(0)
    group.advance(200)
    assert len({peer.state.log.last.digest for peer in group.peers}) == 1
    assert [peer.journal for peer in group.peers[1:]] == [group.peers[0].journal] * 2
    assert group.peers[1].state.log.decided == 4


# --- what the leader believes ---


def test_rule_14_the_match_index_only_grows() -> None:
    peer = seated()
    propose(peer, msg())
    step(peer, (1, yes(2, 1)))
    step(peer, (1, yes(1, 1)), (1, yes(0, 1)))
    assert peer.leading.peers[1].match == 2
    assert peer.leading.peers[1].next == 3


def test_rule_14_a_no_never_takes_back_what_was_confirmed() -> None:
    peer = seated()
    propose(peer, msg())
    step(peer, (1, yes(2, 1)))
    step(peer, (1, Vote(1, 99, 0, No.GAP)))
    assert (peer.leading.peers[1].match, peer.leading.peers[1].next) == (2, 3)


def test_rule_14_a_stale_no_is_dropped() -> None:
    peer = lead(solo(journal=noops(*[1] * 9), term=1))
    progress = peer.leading.peers[1]
    asked = peer.leading.request
    step(peer, (1, Vote(2, asked, 6, No.CONFLICT)))
    assert progress.next == 7
    step(peer, (1, Vote(2, asked, 3, No.CONFLICT)))
    assert progress.next == 7, "the answer to a ballot that was sent before the step back says nothing new"
    step(peer, (1, Vote(2, progress.valid_from, 3, No.CONFLICT)))
    assert progress.next == 4


def test_rule_14_a_vote_for_what_the_leader_does_not_have_is_dropped() -> None:
    peer = seated()
    step(peer, (1, yes(9, 1)))
    assert peer.leading.peers[1].match == 1


def test_rule_15_durable_up_to_is_a_pair() -> None:
    old = noops(1, 1)
    new = [old[0], *noops(2, after=point_of(old[0]))]
    peer = solo()
    step(peer, (1, heartbeat(log_of([]), 1, *old)))
    step(peer, (2, heartbeat(log_of([]), 2, *new)))
    peer.core.step(0, [Persisted(2, 1)])
    assert peer.state.persisted == 0, "the round 2 of term 1 that reached the disk is not the round 2 of now"
    peer.core.step(0, [Persisted(2, 2)])
    assert peer.state.persisted == 2


# --- bounds ---


def test_rule_17_rounds_in_flight_are_bounded() -> None:
    peer = seated(rounds_in_flight=2)
    for seq in range(1, 6):
        propose(peer, msg(seq=seq, time=seq))
    assert peer.state.log.last.index - peer.state.log.decided == 2
    assert peer.leading.gathering.count == 3


def test_rule_17_rounds_that_are_decided_but_not_written_are_bounded_too() -> None:
    group = Group(3, rounds_in_flight=2)
    group.elect(0)
    group.drop = lambda sender, receiver, message: isinstance(message, Grant)
    for seq in range(1, 30):
        group.submit(1, msg("b", seq, seq, 1))
        group.advance(11)
        assert group.peers[0].state.log.last.index - group.peers[0].state.written <= 4


def test_rule_17_a_peer_that_does_not_answer_gets_a_window_and_no_more() -> None:
    group = Group(3, rounds_in_flight=64)
    leader = group.elect(0)
    group.advance(100)
    group.drop = lambda sender, receiver, message: sender == 2 and isinstance(message, Vote)
    group.said.clear()
    for seq in range(1, 3 * WINDOW):
        group.submit(0, msg("a", seq, seq))
        group.advance(10)
    progress = leader.leading.peers[2]
    assert leader.state.log.last.index - progress.match > 2 * WINDOW
    assert progress.next - progress.match <= WINDOW + 1


def test_rule_17_a_peer_whose_log_is_not_known_gets_one_ballot_at_a_time() -> None:
    peer = seated()
    peer.core.step(peer.group.now, [LinkChanged(1, False), LinkChanged(1, True)])

    def to_one(out: list[tuple[int, PeerMessage]]) -> int:
        return sum(node == 1 and isinstance(message, Ballot) and bool(message.rounds) for node, message in out)

    sent = 0
    for seq in range(1, 5):
        peer.core.step(peer.group.now, [Submitted([msg(seq=seq, time=seq)], "x")])
        peer.group.now += 10 * MILLI
        sent += to_one(step(peer).early)
    assert sent == 1


def test_a_lost_ballot_is_sent_again_with_the_heartbeat() -> None:
    group = Group(3)
    group.elect(0)
    group.advance(100)
    lost: list[PeerMessage] = []

    def drop(sender: int, receiver: int, message: PeerMessage) -> bool:
        if isinstance(message, Ballot) and message.rounds and len(lost) < 2:
            lost.append(message)
            return True
        return False

    group.drop = drop
    group.submit(1, msg("b", 1, 1, 1))
    group.advance(400)
    assert len(lost) == 2
    assert [peer.state.log.decided for peer in group.peers] == [2, 2, 2]


# --- when a round closes ---


def test_a_round_closes_at_once_when_all_who_took_part_before_are_there() -> None:
    group = Group(3)
    group.elect(0)
    group.submit(1, msg("b", 1, 1, 1))
    group.submit(2, msg("c", 1, 2, 2))
    group.advance(30)
    leader = group.peers[0].state
    assert leader.log.round(2).count == 2
    group.submit(1, msg("b", 2, 3, 1))
    group.deliver()
    assert leader.log.last.index == 2, "node 2 took part in the round before"
    group.submit(2, msg("c", 2, 4, 2))
    group.deliver()
    assert leader.log.last.index == 3
    group.submit(1, msg("b", 3, 5, 1))
    group.deliver()
    group.advance(9)
    assert leader.log.last.index == 3
    group.advance(2)
    assert leader.log.last.index == 4, "the window closes a round that nobody else joins"


def test_a_round_closes_at_its_size_limit() -> None:
    group = Group(3, round_messages=3)
    group.elect(0)
    group.submit(0, *(msg("a", seq, seq) for seq in range(1, 8)))
    assert [group.peers[0].state.log.round(index).count for index in (2, 3)] == [3, 3]


def test_a_ballot_is_voted_on_and_decided() -> None:
    group = Group(3)
    group.elect(0)
    group.said.clear()
    group.submit(0, msg())
    group.advance(10)
    assert transcript(group, Ballot, Vote) == script("""
        0>1 ballot t1 after r1: r2; decided r1
        0>2 ballot t1 after r1: r2; decided r1
        1>0 yes to r2
        2>0 yes to r2
    """)
