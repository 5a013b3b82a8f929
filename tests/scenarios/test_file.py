"""The shared file: found short, compared anew, gone on with by the next leader (rules 41 and 44)."""

from __future__ import annotations

from dataclasses import replace

from node_runtime.codec import rendered
from node_runtime.log import Log
from node_runtime.messages import Grant, No, TurnRefused, Vote, VoteReply
from node_runtime.state import Compare, Compared, HardState, Persisted, Submitted
from tests.scenarios.harness import MILLI, Group, heartbeat, solo, step
from tests.scenarios.transcript import turns
from tests.unit.node_maker import chain, log_of, msg, noops


def seated(nodes: int = 3) -> Group:
    """Node 0 leads, all is quiet, nothing of it is in the transcript."""
    group = Group(nodes)
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


def test_rule_41_a_file_that_is_too_short_is_said_and_compared_again() -> None:
    group = seated()
    three(group)
    group.advance(100)
    whole = bytes(group.file)
    del group.file[20:]
    group.submit(2, msg("s2", 2, 50, 2))
    group.advance(100)
    assert "2>0 refused r3 turn 0 short" in turns(group)
    assert group.file == truth(group)
    assert group.file.startswith(whole)


def test_rule_41_a_leader_whose_own_turn_finds_the_file_short_compares_again() -> None:
    group = seated()
    three(group)
    group.advance(100)
    del group.file[20:]
    group.submit(0, msg("s0", 2, 50, 0))
    group.advance(100)
    assert group.file == truth(group)
    assert b"\0" not in group.file


def test_rule_41_a_leader_that_hears_of_a_short_file_compares_at_once_and_blames_nobody() -> None:
    group = seated()
    group.drop = lambda sender, receiver, message: isinstance(message, Grant)
    group.submit(2, msg("c", 1, 5, 2))
    group.advance(20)
    leader = group.peers[0]
    out = step(leader, (2, TurnRefused(1, 2, 0, 0, short=True)))
    assert out.compare == [Compare(0, 2)]
    assert (out.writes, leader.leading.absent_until) == ([], {})


def test_rule_44_a_new_leader_compares_from_what_is_known_to_be_fsynced_not_from_the_size() -> None:
    rounds = chain((1, [msg("a", 1)]), (1, [msg("a", 2, 2)]), (1, [msg("a", 3, 3)]))
    group = Group(3)
    for me in range(3):
        group.restart(me, journal=rounds, decided=3, hard=replace(group.peers[me].hard, term=1), synced=1)
    for round_ in rounds:
        group.put(round_.offset, rendered(round_))
    group.file[rounds[1].offset] ^= 255
    group.elect(0)
    assert group.file == truth(group)
    assert [event["start"] for event in group.peers[0].events if event["event"] == "repair"] == [rounds[0].end]


def test_rule_44_what_the_last_leader_wrote_and_did_not_fsync_is_compared_too() -> None:
    rounds = chain((1, []), (1, [msg("a", 1)]), (1, [msg("a", 2, 2)]))
    peer = solo(term=1, journal=rounds, decided=3)
    ballot = heartbeat(log_of(rounds), 1, decided=3, written=3)
    step(peer, (1, replace(ballot, synced=2)))
    assert (peer.state.written, peer.state.synced) == (3, 2)
    peer.group.now += 5000 * MILLI
    step(peer)
    step(peer, (1, VoteReply(1, 2, True, True)))
    step(peer, (1, VoteReply(2, 2, False, True)))
    peer.core.step(peer.group.now, [Persisted(4, 2)])
    assert step(peer, (1, Vote(2, 1, 4, No.YES))).compare == [Compare(2, 4)]


def test_rule_44_a_follower_learns_from_the_leader_what_is_fsynced() -> None:
    group = seated()
    three(group)
    group.advance(3000)
    assert [peer.state.synced for peer in group.peers] == [2, 2, 2]


def test_rule_44_a_new_leader_gives_no_turn_before_the_file_is_compared() -> None:
    rounds = chain((1, [msg("a", 1), msg("b", 1, 2, 1)]), (1, [msg("a", 2, 2)]))
    group = Group(1)
    peer = group.restart(0, journal=rounds, hard=HardState(1, 0), decided=2, synced=1)
    group.now += 5000 * MILLI
    assert peer.core.step(group.now, []).writes == []
    out = peer.core.step(group.now, [Persisted(3, 2)])
    assert out.compare == [Compare(1, 3)]
    assert out.writes == []
    peer.core.step(group.now, [Submitted([msg("a", 3, 3)], "x")])
    group.now += 20 * MILLI
    peer.core.step(group.now, [])
    out = peer.core.step(group.now, [Persisted(4, 2)])
    assert (out.writes, out.compare, peer.state.log.decided) == ([], [], 4)
    out = peer.core.step(group.now, [Compared(1, 3, 0)])
    assert (out.writes, out.compare) == ([], [Compare(3, 4)]), "what was decided meanwhile is compared too"
    assert peer.core.step(group.now, [Compared(3, 4, 0)]).acks == [("x", "a", [(3, 4, rounds[1].end)])]


def test_a_new_leader_goes_on_where_the_old_one_stopped() -> None:
    group = seated(nodes=5)
    group.drop = lambda sender, receiver, message: isinstance(message, Grant) and receiver != 0
    for node in (1, 2, 3):
        group.submit(node, msg(f"s{node}", 1, node, node))
    group.advance(100)
    assert group.file == b""
    group.asleep.add(0)
    group.drop = lambda sender, receiver, message: False
    group.advance(3000)
    assert group.leaders[-1] == 1
    assert group.file == truth(group, 1)
    assert group.file.count(b"Mensagem") == 3
    assert [len(group.peers[node].acks) for node in (1, 2, 3)] == [1, 1, 1]


def test_a_cut_file_is_noticed_without_traffic() -> None:
    group = seated()
    three(group)
    group.advance(2500)
    whole = bytes(group.file)
    del group.file[10:]
    group.advance(2500)
    assert group.file == whole


def test_noops_are_passed_over() -> None:
    peer = solo(journal=noops(1, 1, 1), term=1)
    log: Log = peer.state.log
    assert [log.round(index).size for index in (1, 2, 3)] == [0, 0, 0]
    group = Group(1)
    group.restart(0, journal=noops(1, 1, 1), hard=replace(group.peers[0].hard, term=1))
    group.advance(1000)
    group.submit(0, msg())
    group.advance(30)
    assert group.file == truth(group)
    assert group.peers[0].state.written == 5
