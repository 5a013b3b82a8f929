"""Turns and the shared file: rules 39 and 41 to 44, and how the permission to write goes from hand to hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node_runtime.codec import rendered
from node_runtime.messages import Grant, NodeId, PeerMessage, Policy, Round, TurnRefused, Vote, Written
from node_runtime.state import LinkChanged, Submitted, TurnDone
from tests.scenarios.harness import MILLI, Group, Peer, heartbeat, solo, step
from tests.scenarios.transcript import script, turns
from tests.unit.node_maker import chain, log_of, msg


def seated(nodes: int = 3, policy: Policy = Policy.TURNS, **options: int) -> Group:
    """Node 0 leads, all is quiet, nothing of it is in the transcript."""
    group = Group(nodes, policy, **options)
    group.elect(0)
    group.advance(50)
    group.said.clear()
    return group


def three(group: Group, base: int = 0) -> None:
    """One message of each node, 2 before 1 before 0."""
    for place, node in enumerate((2, 1, 0)):
        group.submit(node, msg(f"s{node}", base + 1, base * 10 + place, node))


def truth(group: Group, node: int = 0) -> bytes:
    log = group.peers[node].state.log
    return b"".join(rendered(log.round(index)) for index in range(1, log.decided + 1))


def grant(round_: Round, turn: int = 0, term: int = 1, attempt: int = 0, absent: frozenset[NodeId] = frozenset()) -> Grant:
    return Grant(term, round_.index, round_.digest, turn, attempt, absent)


def follower(*rounds: Round, me: int = 1, decided: int = 0) -> Peer:
    """Node `me` follows node 0 in term 1 and holds these rounds."""
    peer = solo(me, term=1, journal=rounds, decided=decided)
    step(peer, (0, heartbeat(log_of(list(rounds)), 1)))
    return peer


# --- the chain ---


def test_the_permission_goes_from_writer_to_writer_and_back_to_the_leader() -> None:
    group = seated()
    three(group)
    group.advance(20)
    assert turns(group) == script("""
        0>2 grant r2 turn 0
        2>0 written r2 turn 0
        2>1 grant r2 turn 1
        1>0 written r2 turn 1
        1>0 grant r2 turn 2
    """)
    assert group.file == truth(group)
    assert group.file.count(b"Mensagem") == 3


def test_the_last_writer_reports_to_the_leader_which_starts_the_next_round() -> None:
    group = seated()
    group.submit(2, msg("c", 1, 5, 2))
    group.submit(1, msg("b", 1, 7, 1), msg("b", 2, 6, 1))
    group.advance(40)
    assert turns(group) == script("""
        0>2 grant r2 turn 0
        2>0 written r2 turn 0
        2>1 grant r2 turn 1
        1>0 written r2 turn 1 last
        0>1 grant r3 turn 0
        1>0 written r3 turn 0 last
    """)
    assert group.file == truth(group)


def test_the_winner_writes_the_whole_round_and_tells_everybody() -> None:
    group = seated(policy=Policy.WINNER)
    three(group)
    group.advance(20)
    assert turns(group) == script("""
        0>2 grant r2 turn 0
        2>0 written r2 turn 0 last
        2>1 written r2 turn 0 last
    """)
    assert group.file == truth(group)
    assert [len(peer.acks) for peer in group.peers] == [1, 1, 1]


def test_a_run_of_one_node_is_one_write() -> None:
    group = seated()
    group.submit(1, msg("b", 1, 1, 1), msg("x", 1, 2, 1), msg("b", 2, 3, 1))
    group.advance(20)
    assert turns(group).splitlines() == ["0>1 grant r2 turn 0", "1>0 written r2 turn 0 last"]


def test_clients_of_a_writer_are_answered_when_its_turn_is_written() -> None:
    group = seated()
    group.drop = lambda sender, receiver, message: isinstance(message, Grant) and sender == 2
    three(group)
    group.advance(20)
    assert [len(peer.acks) for peer in group.peers] == [0, 0, 1]


def test_rule_37_a_turn_answers_its_own_messages_and_not_the_later_ones_of_the_round() -> None:
    rounds = chain((1, [msg("b", 1, 1, 1), msg("c", 1, 2, 2), msg("b", 2, 3, 1)]))
    peer = solo(1, term=1, journal=rounds)
    peer.core.step(0, [Submitted([msg("b", 1, 1, 1), msg("b", 2, 3, 1)], "x")])
    step(peer, (0, heartbeat(log_of(rounds), 1)))
    write = step(peer, (0, grant(rounds[0]))).writes[0]
    assert peer.core.step(0, [TurnDone(write, short=False)]).acks == [("x", "b", [(1, 1, 0)])]
    write = step(peer, (0, grant(rounds[0], turn=2))).writes[0]
    acks = peer.core.step(0, [TurnDone(write, short=False)]).acks
    assert [rows[0][0] for _, _, rows in acks] == [2]


# --- a grant that does not fit ---


def test_a_grant_that_comes_before_its_round_waits_for_it() -> None:
    rounds = chain((1, []), (1, [msg("b", 1, 1, 1)]))
    peer = follower(rounds[0])
    out = step(peer, (0, grant(rounds[1])))
    assert (out.writes, out.replies) == ([], [])
    out = step(peer, (0, heartbeat(log_of(rounds[:1]), 1, rounds[1])))
    assert [write.data for write in out.writes] == [rendered(rounds[1])]
    assert peer.state.parked is None


def test_rule_42_a_parked_grant_of_an_older_term_is_forgotten() -> None:
    rounds = chain((1, []), (1, [msg("b", 1, 1, 1)]))
    peer = follower(rounds[0])
    step(peer, (0, grant(rounds[1])))
    out = step(peer, (2, heartbeat(log_of(rounds[:1]), 2, rounds[1])))
    assert out.writes == []
    assert peer.state.parked is None


def test_rule_42_a_grant_of_an_older_term_is_not_obeyed() -> None:
    rounds = chain((1, [msg("b", 1, 1, 1)]))
    peer = follower(*rounds)
    step(peer, (2, heartbeat(log_of(rounds), 2)))
    assert step(peer, (0, grant(rounds[0]))).writes == []
    assert len(step(peer, (2, grant(rounds[0], term=2))).writes) == 1


def test_rule_42_a_writer_that_lost_its_term_while_it_wrote_passes_nothing_on() -> None:
    rounds = chain((1, [msg("b", 1, 1, 1), msg("c", 1, 2, 2)]))
    peer = follower(*rounds)
    order = step(peer, (0, grant(rounds[0]))).writes[0]
    step(peer, (2, heartbeat(log_of(rounds), 2)))
    out = peer.core.step(0, [TurnDone(order, short=False)])
    assert (out.replies, out.acks) == ([], [])


def test_rule_39_a_grant_for_a_round_that_stands_differently_here_writes_nothing() -> None:
    ours, theirs = chain((1, [msg("b", 1, 1, 1)])), chain((1, [msg("b", 1, 1, 1, "theirs")]))
    out = step(follower(*ours), (0, grant(theirs[0])))
    assert out.writes == []
    assert out.replies == [(0, TurnRefused(1, 1, 0, 0, False))]


def test_rule_39_no_turn_of_a_round_is_granted_or_written_before_the_round_is_decided() -> None:
    group = seated()
    group.drop = lambda sender, receiver, message: isinstance(message, Vote)
    three(group)
    group.advance(60)
    assert group.peers[0].state.log.last.index == 2
    assert (turns(group), bytes(group.file)) == ("", b"")


def test_rule_39_a_turn_is_written_at_its_agreed_place() -> None:
    rounds = chain((1, [msg("a", 1)]), (1, [msg("a", 2, 2, 0), msg("b", 1, 3, 1), msg("c", 1, 4, 2)]))
    peer = follower(*rounds, decided=1)
    write = step(peer, (0, grant(rounds[1], turn=1))).writes[0]
    assert write.start == rounds[0].end + len(msg("a", 2, 2, 0).block)
    assert write.data == msg("b", 1, 3, 1).block


def test_a_grant_that_was_done_is_not_done_again_but_a_new_attempt_is() -> None:
    rounds = chain((1, [msg("b", 1, 1, 1)]))
    peer = follower(*rounds)
    assert len(step(peer, (0, grant(rounds[0]))).writes) == 1
    assert step(peer, (0, grant(rounds[0]))).writes == []
    assert len(step(peer, (0, grant(rounds[0], attempt=1))).writes) == 1


def test_a_grant_decides_its_round_and_all_before_it_here_too() -> None:
    rounds = chain((1, [msg("a", 1)]), (1, [msg("b", 1, 1, 1)]))
    peer = follower(*rounds)
    assert peer.state.log.decided == 0
    step(peer, (0, grant(rounds[1])))
    assert peer.state.log.decided == 2


@pytest.mark.parametrize("turn", [1, 99])
def test_a_turn_that_the_round_does_not_have_is_ignored(turn: int) -> None:
    rounds = chain((1, [msg("b", 1, 1, 1)]))
    out = step(follower(*rounds), (0, grant(rounds[0], turn=turn)))
    assert (out.writes, out.replies) == ([], [])


# --- a turn that stalls ---


def test_rule_43_a_writer_that_sleeps_is_replaced_by_the_leader_after_the_turn_timeout() -> None:
    group = seated()
    group.submit(1, msg("b", 1, 5, 1))
    group.submit(2, msg("c", 1, 7, 2))
    group.drop = lambda sender, receiver, message: isinstance(message, Grant) and receiver == 1
    group.advance(255)
    assert group.file == b""
    group.advance(10)
    assert group.file == truth(group)
    assert b"client c " in group.file
    assert turns(group) == script("""
        0>1 grant r2 turn 0
        0>1 written r2 turn 2 last
        0>2 written r2 turn 2 last
    """)
    assert [len(peer.acks) for peer in group.peers] == [0, 1, 1]


def test_after_a_stall_each_turn_answers_to_the_leader_and_the_one_that_stalls_again_is_left_out() -> None:
    group = seated()

    def drop(sender: int, receiver: int, message: PeerMessage) -> bool:
        return isinstance(message, Grant) and receiver == 1

    group.drop = drop
    for base in range(2):
        three(group, base)
        group.advance(300)
    group.said.clear()
    three(group, 2)
    group.advance(100)
    assert turns(group) == script("""
        0>2 grant r4 turn 0 absent [0, 1]
        2>0 written r4 turn 0
        2>0 grant r4 turn 1 absent [0, 1]
        0>1 written r4 turn 3 last
        0>2 written r4 turn 3 last
    """)
    assert group.file == truth(group)


def test_a_node_that_is_down_costs_no_timeout() -> None:
    group = seated()
    group.submit(1, msg("b", 1, 1, 1))
    group.submit(2, msg("c", 1, 2, 2))
    group.deliver()
    group.asleep.add(2)
    group.peers[0].feed(LinkChanged(2, False))
    group.advance(20)
    assert group.file == truth(group)
    assert group.file.count(b"Mensagem") == 2


def test_the_turns_of_absent_nodes_come_back_to_the_leader() -> None:
    rounds = chain((1, [msg("b", 1, 1, 1), msg("c", 1, 2, 2), msg("b", 2, 3, 1)]))
    peer = follower(*rounds)
    write = step(peer, (0, grant(rounds[0], absent=frozenset({2})))).writes[0]
    out = peer.core.step(0, [TurnDone(write, short=False)])
    assert out.replies[-1] == (0, grant(rounds[0], turn=1, absent=frozenset({2})))


def test_a_late_writer_of_an_old_attempt_repeats_the_same_bytes() -> None:
    """Promise 6: both write; the file is the same."""
    group = seated()
    three(group)
    group.asleep.add(2)
    group.advance(400)
    before = bytes(group.file)
    assert before == truth(group)
    group.asleep.clear()
    group.advance(500)
    assert group.file == before


def test_what_comes_back_late_of_an_older_attempt_moves_nothing() -> None:
    group = seated()
    three(group)
    group.drop = lambda sender, receiver, message: isinstance(message, Grant) and receiver == 1
    group.advance(20)
    leader = group.peers[0]
    round_ = leader.state.log.round(2)
    chain_ = leader.leading.chain
    assert chain_ is not None
    assert (chain_.turn, chain_.attempt) == (1, 0)
    leader.leading.chain = replace(chain_, attempt=1)
    out = step(leader, (1, grant(round_, turn=2, attempt=0)))
    assert (out.writes, leader.leading.chain) == ([], replace(chain_, attempt=1))


def test_a_writer_that_lacks_the_round_says_so_and_the_leader_writes_at_once() -> None:
    group = seated()
    three(group)
    group.drop = lambda sender, receiver, message: isinstance(message, Grant)
    group.advance(15)
    leader = group.peers[0]
    leader.feed()
    group.drop = lambda sender, receiver, message: False
    group.send(2, [(0, TurnRefused(1, 2, 0, 0, False))])
    group.advance(1)
    assert group.file == truth(group)


# --- reports ---


def test_written_of_a_round_that_stands_differently_here_says_nothing() -> None:
    ours, theirs = chain((1, [msg("b", 1, 1, 1)])), chain((1, [msg("b", 1, 1, 1, "theirs")]))
    peer = follower(*ours)
    step(peer, (0, Written(1, 1, theirs[0].digest, 0, 0, last=True)))
    assert (peer.state.log.decided, peer.state.written) == (0, 0)
    step(peer, (0, Written(1, 1, ours[0].digest, 0, 0, last=True)))
    assert (peer.state.log.decided, peer.state.written) == (1, 1)


def test_progress_reports_keep_a_long_round_from_timing_out() -> None:
    group = seated()
    held: list[tuple[int, int, PeerMessage]] = []

    def hold(sender: int, receiver: int, message: PeerMessage) -> bool:
        if isinstance(message, Grant):
            held.append((sender, receiver, message))
        return isinstance(message, Grant)

    group.drop = hold
    for node in (1, 2):
        group.submit(node, *(msg(f"s{node}", seq, seq * 2 + node, node) for seq in range(1, 21)))
    started = group.now
    leader = group.peers[0].state
    while leader.written < 2 and group.now < started + 2000 * MILLI:
        group.advance(15)
        group.wire, held[:] = held[:], []
    assert group.now - started > 2 * 250 * MILLI, "the round took longer than a turn may"
    assert (leader.written, leader.counters.get("timeouts")) == (2, None)
    assert group.file == truth(group)
