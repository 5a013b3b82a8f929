"""Rules 29 to 33: who may disturb a leader, when a leader gives up, and what partial links leave possible."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest

from node_runtime.messages import Ballot, No, PeerMessage, Vote, VoteReply, VoteRequest
from node_runtime.state import Candidate, Follower, Leader
from tests.scenarios.harness import MILLI, Group, heartbeat, solo, step
from tests.scenarios.transcript import script, transcript
from tests.unit.node_maker import log_of, msg

Links = set[tuple[int, int]]


def test_an_election_as_it_is_spoken() -> None:
    group = Group(3)
    group.advance(399)
    assert transcript(group, VoteRequest, VoteReply) == script("""
        0>1 would you vote t1? last r0 of t0
        0>2 would you vote t1? last r0 of t0
        1>0 yes t0
        2>0 yes t0
        0>1 vote t1? last r0 of t0
        0>2 vote t1? last r0 of t0
        1>0 yes t1
        2>0 yes t1
    """)
    assert group.leaders == [0]


# --- PreVote ---


def test_rule_29_asking_changes_no_term_gives_no_vote_and_puts_nothing_off() -> None:
    peer = solo(term=4)
    before = peer.deadline
    peer.group.now += 10 * MILLI
    out = step(peer, (1, VoteRequest(5, 9, 9, pre=True)))
    assert out.early == [(1, VoteReply(4, 5, True, True))]
    assert (out.state, peer.state.term, peer.state.voted_for) == ([], 4, None)
    assert peer.deadline == before
    assert step(peer, (2, VoteRequest(5, 9, 9, pre=True))).early == [(2, VoteReply(4, 5, True, True))]


def test_rule_29_a_node_that_could_not_win_does_not_raise_its_term() -> None:
    group = Group(3)
    group.elect(0)
    group.drop = lambda sender, receiver, message: 2 in (sender, receiver)
    group.advance(20_000)
    assert isinstance(group.peers[2].state.role, Candidate)
    assert [peer.state.term for peer in group.peers] == [1, 1, 1]
    group.drop = lambda sender, receiver, message: False
    group.advance(500)
    assert group.leaders == [0]
    assert isinstance(group.peers[2].state.role, Follower)
    assert group.peers[2].state.term == 1, "it comes back without a disturbance"


def test_rule_29_no_yes_to_the_term_that_is() -> None:
    peer = solo(term=5)
    assert step(peer, (1, VoteRequest(5, 9, 9, pre=True))).early == [(1, VoteReply(5, 5, True, False))]


# --- CheckQuorum ---


def test_rule_30_a_leader_that_hears_no_majority_steps_down() -> None:
    group = Group(5)
    leader = group.elect(0)
    group.advance(100)
    group.drop = lambda sender, receiver, message: receiver == 0 and sender != 1
    group.advance(700)
    assert isinstance(leader.state.role, Leader)
    group.advance(700)
    assert not isinstance(leader.state.role, Leader)
    assert [event["event"] for event in leader.events if event["event"] == "step_down"] == ["step_down"]


def test_rule_30_a_leader_that_hears_a_majority_stays() -> None:
    group = Group(5)
    leader = group.elect(0)
    group.drop = lambda sender, receiver, message: bool({3, 4} & {sender, receiver})
    group.advance(10_000)
    assert leader.state.term == 1
    assert group.leaders == [0]


# --- stickiness ---


def test_rule_31_while_a_leader_is_heard_no_vote_is_given_and_no_term_taken() -> None:
    peer = solo()
    step(peer, (1, heartbeat(log_of([]), 1)))
    peer.group.now += 399 * MILLI
    for pre in (True, False):
        out = step(peer, (2, VoteRequest(7, 9, 9, pre)))
        assert out.early == [(2, VoteReply(1, 7, pre, False))]
        assert (peer.state.term, out.state) == (1, [])
    peer.group.now += 2 * MILLI
    out = step(peer, (2, VoteRequest(7, 9, 9, pre=False)))
    assert out.early == [(2, VoteReply(7, 7, False, True))]


def test_rule_31_a_leader_is_not_unseated_by_a_request_alone() -> None:
    group = Group(3)
    leader = group.elect(0)
    step(leader, (2, VoteRequest(9, 9, 9, pre=False)))
    assert isinstance(leader.state.role, Leader)
    assert leader.state.term == 1


def test_rule_31_a_node_with_a_higher_term_is_not_stuck() -> None:
    """Its term came from an election that nobody else noticed: the leader learns it from the answer to its heartbeat."""
    group = Group(3)
    group.elect(0)
    group.restart(2, hard=group.peers[2].hard.__class__(9, 2, False))
    group.advance(3000)
    assert len(group.leaders) == 1
    assert {peer.state.term for peer in group.peers} == {group.peers[2].state.term}
    assert group.peers[2].state.term >= 10
    group.submit(2, msg("c", 1, 1, 2))
    group.advance(500)
    assert [peer.state.log.sessions.last("c") for peer in group.peers] == [1, 1, 1]


def test_rule_31_a_low_ballot_and_a_low_question_are_answered() -> None:
    peer = solo(term=9)
    out = step(peer, (1, heartbeat(log_of([]), 2)), (2, VoteRequest(3, 0, 0, pre=True)))
    assert out.replies == [(1, Vote(9, 1, 0, No.STALE_TERM))]
    assert out.early == [(2, VoteReply(9, 3, True, False))]


# --- partial links ---


def only(links: Links) -> Group:
    """Three nodes that worked, when all links but these break."""
    group = Group(3)
    group.elect(0)
    group.submit(0, msg("a", 1))
    group.advance(100)
    group.drop = lambda sender, receiver, message: (sender, receiver) not in links
    return group


ALL_LINKS = list(permutations(range(3), 2))
GRAPHS: list[Links] = [set(links) for count in range(7) for links in combinations(ALL_LINKS, count)]


def pairs(links: Links, nodes: int) -> list[tuple[int, int]]:
    """Who hears whom both ways."""
    return [(one, other) for one in range(nodes) for other in range(one) if {(one, other), (other, one)} <= links]


@pytest.mark.parametrize("links", GRAPHS, ids=lambda links: " ".join(f"{a}>{b}" for a, b in sorted(links)) or "none")
def test_rule_32_three_nodes_do_what_their_links_allow(links: Links) -> None:
    """Two that hear each other are a majority: one of them leads and their messages are decided and written."""
    group = only(links)
    group.advance(3000)
    able = pairs(links, 3)
    term = max(peer.state.term for peer in group.peers)
    for one in {node for pair in able for node in pair}:
        group.submit(one, msg(f"s{one}", 1, 1, one))
    group.advance(4000)
    if not able:
        assert group.leaders == []
        return
    assert len(group.leaders) == 1
    assert any(group.leaders[0] in pair for pair in able)
    near = {group.leaders[0]} | {node for pair in able if group.leaders[0] in pair for node in pair}
    for one in near:
        assert f"client s{one} ".encode() in group.file, f"node {one}'s message is written"
    assert max(peer.state.term for peer in group.peers) <= term + 1, "no endless elections"


FIVE: dict[str, list[tuple[int, int]]] = {
    "bridge: two islands that share one node": [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 4)],
    "ring": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)],
    "chain": [(0, 1), (1, 2), (2, 3), (3, 4)],
    "star with the leader at a tip": [(2, 0), (2, 1), (2, 3), (2, 4)],
    "quorum of three": [(2, 3), (3, 4), (2, 4)],
}


@pytest.mark.parametrize("shape", FIVE)
def test_rule_32_five_nodes_with_partial_links_go_on(shape: str) -> None:
    links = {pair for one, other in FIVE[shape] for pair in ((one, other), (other, one))}
    group = Group(5)
    group.elect(0)
    group.advance(100)
    group.drop = lambda sender, receiver, message: (sender, receiver) not in links
    group.advance(6000)
    assert len(group.leaders) == 1
    leader = group.leaders[0]
    assert sum(leader in pair for pair in pairs(links, 5)) >= 2
    group.submit(leader, msg("x", 1, 1, leader))
    group.advance(1000)
    assert (b"client x " in group.file) is True


def test_a_leader_that_dies_is_followed_by_another_and_nothing_is_lost() -> None:
    group = Group(5)
    group.elect(0)
    group.submit(1, msg("b", 1, 1, 1))
    group.advance(100)
    group.asleep.add(0)
    group.advance(2000)
    assert [leader for leader in group.leaders if leader != 0] == [1]
    group.submit(1, msg("b", 2, 2, 1))
    group.advance(500)
    assert [row[2] for row in group.peers[1].acks] == [1, 2]
    group.asleep.clear()
    group.advance(500)
    assert group.leaders == [1]
    assert group.peers[0].state.log.last == group.peers[1].state.log.last


def test_rule_33_a_leader_whose_loop_stands_still_sends_no_heartbeat() -> None:
    group = Group(3)
    group.elect(0)
    group.asleep.add(0)
    group.said.clear()
    group.advance(300)
    assert not [said for said in group.said if isinstance(said[2], Ballot)]


def test_two_nodes_need_each_other() -> None:
    group = Group(2)
    group.elect(0)
    group.drop = lambda sender, receiver, message: True
    group.advance(3000)
    assert group.leaders == []
    group.drop = lambda sender, receiver, message: False
    group.advance(3000)
    assert len(group.leaders) == 1


def test_one_node_alone_is_a_cluster() -> None:
    group = Group(1)
    group.advance(1000)
    group.submit(0, msg())
    group.advance(20)
    assert [row[2:] for row in group.peers[0].acks] == [(1, 2, 0)]


def drop_requests(sender: int, receiver: int, message: PeerMessage) -> bool:
    return isinstance(message, VoteRequest) and not message.pre


def test_an_election_without_a_winner_is_tried_again() -> None:
    group = Group(3)
    group.drop = drop_requests
    group.advance(3000)
    assert group.leaders == []
    group.drop = lambda sender, receiver, message: False
    group.advance(3000)
    assert len(group.leaders) == 1
