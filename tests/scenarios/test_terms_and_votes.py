"""Rules 1 to 8: terms, votes, and what is durable before it is said; one core is fed by hand."""

from __future__ import annotations

from dataclasses import fields

import pytest

from node_runtime import election
from node_runtime.messages import (
    GENESIS,
    Forward,
    Grant,
    No,
    PeerMessage,
    TurnRefused,
    Vote,
    VoteReply,
    VoteRequest,
    Written,
)
from node_runtime.state import Candidate, Follower, HardState, Leader, Output, Persisted, Submitted
from tests.scenarios.harness import MILLI, Group, Peer, heartbeat, solo, step
from tests.unit.node_maker import log_of, msg, noops


def ask(term: int, last_term: int = 0, last_index: int = 0) -> VoteRequest:
    return VoteRequest(term, last_term, last_index, pre=False)


def late(peer: Peer, millis: int = 5000) -> Peer:
    """Its election deadline has passed long ago."""
    peer.group.now += millis * MILLI
    return peer


def candidate(nodes: int = 3) -> Peer:
    """A node that stands in term 1 and has only its own vote."""
    peer = late(solo(nodes=nodes))
    step(peer)
    step(peer, *((voter, VoteReply(0, 1, True, True)) for voter in range(1, nodes)))
    assert isinstance(peer.state.role, Candidate)
    assert (peer.state.term, peer.state.role.pre) == (1, False)
    return peer


def leader_of(peer: Peer) -> Peer:
    """It has won: the others have voted; its no-op is neither durable nor sent to anybody yet."""
    step(peer, *((voter, VoteReply(1, 1, False, True)) for voter in peer.state.peers))
    assert isinstance(peer.state.role, Leader)
    return peer


def test_rule_01_the_output_puts_the_disk_before_the_wire() -> None:
    order = [field.name for field in fields(Output)]
    assert order[:7] == ["state", "early", "rounds", "replies", "writes", "compare", "acks"]


def test_rule_01_a_vote_is_owed_to_the_disk_before_it_is_said() -> None:
    out = step(solo(), (1, ask(3)))
    assert out.state[-1] == HardState(3, 1)
    assert out.early == [(1, VoteReply(3, 3, False, True))]


def test_rule_01_a_term_is_owed_to_the_disk_before_a_rejection_is_said() -> None:
    out = step(solo(journal=noops(2), term=2), (1, ask(7, 1, 9)))
    assert out.state[-1] == HardState(7, None)
    assert out.early == [(1, VoteReply(7, 7, False, False))]


def test_rule_01_a_candidates_own_vote_is_owed_to_the_disk_before_it_asks() -> None:
    peer = late(solo())
    step(peer)
    out = step(peer, (1, VoteReply(0, 1, True, True)))
    assert out.state == [HardState(1, 0)]
    assert out.early == [(node, ask(1)) for node in (1, 2)]


def test_rule_01_a_vote_for_rounds_waits_for_the_journal() -> None:
    rounds = noops(1, 1)
    out = step(solo(), (1, heartbeat(log_of([]), 1, *rounds)))
    assert out.rounds == rounds
    assert out.early == []
    assert out.replies == [(1, Vote(1, 1, 2, No.YES))]


def test_rule_02_one_vote_a_term() -> None:
    peer = solo()
    step(peer, (1, ask(3)))
    assert step(peer, (2, ask(3))).early == [(2, VoteReply(3, 3, False, False))]
    assert step(peer, (1, ask(3))).early == [(1, VoteReply(3, 3, False, True))], "the same candidate may ask again"


def test_rule_02_stepping_down_in_the_same_term_does_not_clear_the_vote() -> None:
    peer = candidate()
    step(peer, (1, heartbeat(log_of([]), 1)))
    assert isinstance(peer.state.role, Follower)
    late(peer)
    step(peer)
    assert peer.state.voted_for == 0
    assert step(peer, (2, ask(1))).early == [(2, VoteReply(1, 1, False, False))]


def test_rule_02_a_vote_outlives_a_restart() -> None:
    group = Group(3)
    voter = group.peers[1]
    voter.obey(step(voter, (0, ask(4))))
    again = group.restart(1)
    assert step(again, (2, ask(4))).early == [(2, VoteReply(4, 4, False, False))]
    assert step(again, (0, ask(4))).early == [(0, VoteReply(4, 4, False, True))]


@pytest.mark.parametrize(
    ("last_term", "last_index", "granted"),
    [(3, 2, True), (3, 3, True), (4, 1, True), (3, 1, False), (2, 9, False)],
)
def test_rule_03_no_vote_for_a_candidate_that_is_behind_the_term_first(last_term: int, last_index: int, granted: bool) -> None:
    for pre in (True, False):
        peer = solo(journal=noops(1, 3), term=3)
        out = step(peer, (1, VoteRequest(9, last_term, last_index, pre)))
        assert [message.granted for _, message in out.early if isinstance(message, VoteReply)] == [granted]


def test_rule_04_a_double_vote_counts_once() -> None:
    peer = candidate(nodes=5)
    step(peer, *[(1, VoteReply(1, 1, False, True))] * 3)
    assert isinstance(peer.state.role, Candidate)
    step(peer, (2, VoteReply(1, 1, False, True)))
    assert isinstance(peer.state.role, Leader)


def test_rule_04_a_strangers_vote_counts_nothing() -> None:
    peer = candidate()
    step(peer, (7, VoteReply(1, 1, False, True)), (0, VoteReply(1, 1, False, True)))
    assert isinstance(peer.state.role, Candidate)


@pytest.mark.parametrize("reply", [VoteReply(1, 0, False, True), VoteReply(0, 1, True, True), VoteReply(1, 1, False, False)])
def test_rule_04_a_vote_of_another_term_or_of_the_asking_before_or_a_no_counts_nothing(reply: VoteReply) -> None:
    peer = candidate()
    step(peer, (1, reply), (2, reply))
    assert isinstance(peer.state.role, Candidate)
    assert not peer.state.role.pre


def test_rule_04_an_acknowledgement_counts_once_however_often_it_comes() -> None:
    peer = leader_of(candidate(nodes=5))
    step(peer, *[(1, Vote(1, 1, 1, No.YES))] * 4)
    peer.core.step(peer.group.now, [Persisted(1, 1)])
    assert peer.state.log.decided == 0
    step(peer, (7, Vote(1, 1, 1, No.YES)))
    assert peer.state.log.decided == 0
    step(peer, (2, Vote(1, 1, 1, No.YES)))
    assert peer.state.log.decided == 1


def test_rule_05_a_term_never_falls() -> None:
    peer = solo(term=8)
    for message in (ask(3), heartbeat(log_of([]), 3), VoteReply(3, 3, False, True), Vote(3, 1, 0, No.YES)):
        out = step(peer, (1, message))
        assert (peer.state.term, out.state) == (8, [])
    with pytest.raises(AssertionError, match="rule 5"):
        election.follow(peer.state, 7, 1, "")


OF_A_PEER: list[PeerMessage] = [
    ask(9),
    VoteReply(9, 1, True, False),
    heartbeat(log_of([]), 9),
    Vote(9, 1, 0, No.YES),
    Forward(9, ()),
    Grant(9, 1, GENESIS, 0, 0, frozenset()),
    Written(9, 1, GENESIS, 0, 0, True),
    TurnRefused(9, 1, 0, 0, False),
]


@pytest.mark.parametrize("message", OF_A_PEER, ids=lambda message: type(message).__name__)
def test_rule_06_a_higher_term_in_any_message_is_taken_and_saved(message: PeerMessage) -> None:
    peer = candidate()
    out = step(peer, (1, message))
    assert isinstance(peer.state.role, Follower)
    assert peer.state.term == 9
    assert out.state[0] == HardState(9, None)


def test_rule_06_what_is_of_a_lower_term_is_ignored_but_a_stale_leader_is_answered() -> None:
    peer = solo(term=5)
    stale = heartbeat(log_of([]), 3, *noops(3))
    out = step(peer, (1, stale))
    assert out.replies == [(1, Vote(5, 1, 0, No.STALE_TERM))]
    assert (peer.state.leader, peer.state.log.last.index, out.rounds) == (None, 0, [])


def test_rule_06_a_stale_leader_steps_down_when_it_is_answered() -> None:
    peer = leader_of(candidate())
    step(peer, (2, Vote(5, 1, 0, No.STALE_TERM)))
    assert isinstance(peer.state.role, Follower)
    assert peer.state.term == 5


def test_rule_06_a_reply_of_an_older_term_moves_nothing() -> None:
    peer = solo(term=1)
    late(peer)
    step(peer)
    step(peer, (1, VoteReply(1, 2, True, True)))
    step(peer, (1, VoteReply(2, 2, False, True)))
    assert isinstance(peer.state.role, Leader)
    step(peer, (1, Vote(1, 1, 1, No.YES)))
    assert peer.leading.peers[1].match == 0


@pytest.mark.parametrize(
    "message",
    [
        VoteRequest(1, 0, 0, pre=True),  # granted, but only asked for
        VoteRequest(1, 0, 0, pre=False),  # refused: behind
        heartbeat(log_of([]), 0),  # a stale leader
        Vote(1, 1, 0, No.YES),
        Forward(1, (msg(),)),
    ],
    ids=["pre-vote", "refused vote", "stale ballot", "vote", "forward"],
)
def test_rule_07_only_a_granted_vote_or_the_leaders_word_puts_the_election_off(message: PeerMessage) -> None:
    peer = solo(journal=noops(1), term=1)
    before = peer.deadline
    peer.group.now += 100 * MILLI
    step(peer, (1, message))
    assert peer.deadline == before


@pytest.mark.parametrize("message", [ask(1), heartbeat(log_of([]), 1)], ids=["granted vote", "ballot"])
def test_rule_07_a_granted_vote_and_the_leaders_word_put_it_off(message: PeerMessage) -> None:
    peer = solo()
    before = peer.deadline
    peer.group.now += 100 * MILLI
    step(peer, (1, message))
    assert peer.deadline > before


def test_rule_08_the_leader_counts_its_own_copy_only_when_it_is_durable() -> None:
    peer = leader_of(candidate())
    step(peer, (1, Vote(1, 1, 1, No.YES)))
    assert peer.state.log.decided == 0
    peer.core.step(peer.group.now, [Persisted(1, 1)])
    assert peer.state.log.decided == 1


def test_rule_08_the_others_may_hold_a_round_before_the_leader_does() -> None:
    peer = leader_of(candidate())
    step(peer, (1, Vote(1, 1, 1, No.YES)), (2, Vote(1, 1, 1, No.YES)))
    assert peer.state.log.decided == 1
    assert peer.state.persisted == 0


def test_rule_08_ballots_leave_while_the_leaders_own_disk_is_at_work() -> None:
    peer = leader_of(candidate())
    peer.core.step(peer.group.now, [Persisted(1, 1)])
    step(peer, (1, Vote(1, 1, 1, No.YES)), (2, Vote(1, 1, 1, No.YES)))
    peer.core.step(peer.group.now, [Submitted([msg()], "x")])
    peer.group.now += 10 * MILLI
    out = step(peer)
    assert [round_.index for round_ in out.rounds] == [2]
    assert [node for node, _ in out.early] == [1, 2]
    assert out.replies == []


def test_rule_21_a_node_with_a_damaged_journal_gives_no_vote_and_does_not_stand() -> None:
    peer = solo(term=5, recovering=True)
    out = step(peer, (1, ask(6, 9, 9)), (2, VoteRequest(9, 9, 9, pre=True)))
    assert [message.granted for _, message in out.early if isinstance(message, VoteReply)] == [False, False]
    assert step(late(peer)).early == []
    assert isinstance(peer.state.role, Follower)


def test_rule_21_it_is_a_voter_again_when_it_holds_a_leaders_log_through_a_round_of_the_leaders_own_term() -> None:
    peer = solo(term=5, recovering=True)
    rounds = noops(2, 3, 6)
    for count, restored in ((2, False), (3, True)):
        out = step(peer, (1, heartbeat(log_of([]), 6, *rounds[:count])))
        assert peer.state.recovering, "not before it is durable"
        last = out.rounds[-1]
        out = peer.core.step(peer.group.now, [Persisted(last.index, last.term)])
        assert peer.state.recovering is not restored
    assert out.state[-1] == HardState(6, None, False)


def test_rule_04_a_stranger_is_not_heard_at_all() -> None:
    peer = solo()
    for sender in (0, 3, 77):
        out = step(peer, (sender, heartbeat(log_of([]), 1, *noops(1))), (sender, ask(4)))
        assert (out.early, out.replies, out.rounds, out.state) == ([], [], [], [])
    assert (peer.state.term, peer.state.leader) == (0, None)
