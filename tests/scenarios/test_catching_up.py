"""A node that comes back: the leader finds out what it holds before it sends anything, and sends what it lacks."""

from __future__ import annotations

from node_runtime.messages import Ballot
from node_runtime.state import LinkChanged
from tests.scenarios.harness import Group
from tests.unit.node_maker import msg


def absent_at_the_election(rounds: int, missed: int) -> Group:
    """Node 1 leads a group in which node 2 has been dead since before the election, `missed` rounds ago."""
    group = Group(3)
    group.elect(0)
    for seq in range(1, rounds + missed + 1):
        if seq == rounds + 1:
            group.asleep.add(2)
        group.submit(0, msg(seq=seq))
        group.advance(30)
    group.restart(0)
    group.peers[1].feed(LinkChanged(2, False))
    group.wire = [item for item in group.wire if item[1] != 2]
    group.elect(1)
    group.wire = [item for item in group.wire if item[1] != 2]
    return group


def test_a_new_leader_does_not_send_the_whole_log_to_a_node_that_comes_back() -> None:
    """It knows nothing of that node yet. To begin with round 1 kept a real node busy for minutes with what it had."""
    group = absent_at_the_election(rounds=40, missed=3)
    held = group.peers[2].state.log.last.index
    assert group.peers[1].state.log.last.index > held > 40
    group.asleep.discard(2)
    group.restart(2)
    group.said.clear()
    group.peers[1].feed(LinkChanged(2, True))
    group.advance(300)
    sent = [
        round_.index
        for sender, receiver, message in group.said
        if (sender, receiver) == (1, 2) and isinstance(message, Ballot)
        for round_ in message.rounds
    ]
    assert sent
    assert min(sent) == held + 1
    assert group.peers[2].state.log.last == group.peers[1].state.log.last


def test_a_node_whose_link_broke_for_a_moment_is_sent_what_it_has_not_confirmed() -> None:
    group = Group(3)
    leader = group.elect(0)
    group.submit(0, msg(seq=1))
    group.advance(100)
    confirmed = leader.leading.peers[2].match
    group.drop = lambda sender, receiver, message: receiver == 2
    group.submit(0, msg(seq=2))
    group.advance(50)
    group.drop = lambda sender, receiver, message: False
    group.said.clear()
    leader.feed(LinkChanged(2, False), LinkChanged(2, True))
    group.deliver()
    firsts = [m.prev_index for s, r, m in group.said if (s, r) == (0, 2) and isinstance(m, Ballot) and m.rounds]
    assert firsts[0] == confirmed
    assert group.peers[2].state.log.last == leader.state.log.last
