"""Rules 48 to 50: time in the core is what it is told, late timers wait for the news, keys are total."""

from __future__ import annotations

import random

from node_runtime.messages import VoteRequest
from node_runtime.state import Follower, Leader, Received
from tests.scenarios.harness import MILLI, Group, heartbeat, solo, step
from tests.unit.node_maker import log_of, msg


def run(offset: int) -> list[str]:
    """A little life of three nodes whose clocks start at `offset`."""
    group = Group(3)
    for me in range(3):
        group.now = offset
        group.restart(me)
    for seq in range(1, 6):
        group.submit(seq % 3, msg(f"s{seq % 3}", 1 + seq // 4, seq, seq % 3))
        group.advance(300)
    group.asleep.add(0)
    group.advance(2000)
    return [f"{sender}>{receiver} {message}" for sender, receiver, message in group.said]


def test_rule_48_the_core_reads_no_clock_and_draws_nothing_itself() -> None:
    random.seed(1)
    first = run(0)
    random.seed(2)
    assert run(0) == first
    assert len(first) > 100


def test_rule_48_what_ticks_count_from_does_not_matter() -> None:
    assert run(987_654_321_000) == run(0)


def test_rule_48_time_that_steps_back_stands_still() -> None:
    peer = solo()
    peer.core.step(100 * MILLI, [])
    deadline = peer.deadline
    peer.core.step(0, [Received(1, heartbeat(log_of([]), 1))])
    assert peer.state.now == 100 * MILLI
    assert peer.deadline >= deadline


def test_rule_49_a_follower_that_wakes_late_hears_its_leader_first() -> None:
    peer = solo()
    step(peer, (1, heartbeat(log_of([]), 1)))
    peer.group.now += 60_000 * MILLI
    out = step(peer, (1, heartbeat(log_of([]), 1, request=2)))
    assert not [message for _, message in out.early if isinstance(message, VoteRequest)]
    assert isinstance(peer.state.role, Follower)
    assert peer.state.role.leader == 1


def test_rule_49_a_leader_that_wakes_late_looks_at_the_term_first() -> None:
    group = Group(3)
    leader = group.elect(0)
    group.submit(0, msg())
    group.now += 60_000 * MILLI
    out = step(leader, (1, heartbeat(leader.state.log, 2)))
    assert not isinstance(leader.state.role, Leader)
    assert (out.rounds, out.writes, out.compare) == ([], [], [])


def test_rule_49_a_leader_that_was_paused_and_hears_old_votes_does_not_fall_at_once() -> None:
    group = Group(3)
    leader = group.elect(0)
    group.asleep.add(0)
    group.advance(300)
    group.now += 100 * MILLI
    group.asleep.clear()
    group.deliver()
    leader.feed()
    assert isinstance(leader.state.role, Leader)


def test_rule_50_one_time_for_all_gives_one_order_on_all() -> None:
    files = set()
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        group = Group(3)
        group.elect(0)
        for node in order:
            group.submit(node, msg("xyz"[node], 1, 7, node), msg("abc"[node], 1, 7, node))
        group.advance(50)
        files.add(bytes(group.file))
    assert len(files) == 1
