"""The checkers notice: each is shown a run in which its promise is kept, then one thing that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from node_runtime.codec import encode_round, messages_of
from node_runtime.messages import Ballot, Message, Round, VoteReply, VoteRequest
from node_runtime.state import WriteTurn
from tests.simulation.checkers import Violation
from tests.simulation.log_checkers import MajorityHolds
from tests.simulation.node_disk import OUTPUT
from tests.simulation.plan import SECOND, Plan
from tests.simulation.truth import block_of
from tests.simulation.world import World


@pytest.fixture
def world() -> World:
    """Three nodes and two clients, all answered; no checker has complained."""
    world = World(Plan.calm(5, clients=2, messages=4))
    world.run()
    return world


def other_round(world: World, change: Callable[[Message], Message], term: int = 1) -> Round:
    """A round like the last one with messages, with its first message changed, where the next one belongs."""
    last = world.truth.rounds[-1]
    model = next(round_ for round_ in reversed(world.truth.rounds) if round_.count)
    first, *rest = messages_of(model)
    return encode_round(last.index + 1, term, last.digest, model.policy, last.end, [change(first), *rest])


def node_in(term: int, **more: Any) -> SimpleNamespace:
    """As much of a node as a checker looks at."""
    state = SimpleNamespace(term=term, voted_for=None, recovering=False, **more)
    return SimpleNamespace(id=1, starts=9, state=state, journal=SimpleNamespace(state=state), rot=0, durable={})


def test_promise_2_a_message_that_is_decided_twice(world: World) -> None:
    with pytest.raises(Violation, match=r"Truth: c.:4 follows c.:4"):
        world.tell.on_decided(node_in(1), other_round(world, lambda message: message))


def test_promise_3_a_text_that_nobody_sent(world: World) -> None:
    def forged(message: Message) -> Message:
        world.truth.last[message.session] = message.seq - 1
        return message._replace(block=message.block.replace(b"message: ", b"message: x"))

    with pytest.raises(Violation, match="which its client never sent"):
        world.tell.on_decided(node_in(1), other_round(world, forged))


def test_promise_4_a_decided_round_that_changes(world: World) -> None:
    known = world.truth.rounds[1]
    with pytest.raises(Violation, match="Truth: round 2 was decided as"):
        world.tell.on_decided(node_in(1), replace(known, digest=b"another digest!!"))


def test_rule_23_a_node_that_starts_with_more_than_was_decided(world: World) -> None:
    log = SimpleNamespace(decided=len(world.truth.rounds) + 1)
    with pytest.raises(Violation, match="starts with"):
        world.tell.on_boot(node_in(99, log=log), {})


def test_rule_2_two_leaders_and_two_votes(world: World) -> None:
    term = world.nodes[0].state.term
    with pytest.raises(Violation, match="OneLeaderATerm"):
        world.tell.on_trace(node_in(term), {"event": "leader", "term": term})
    with pytest.raises(Violation, match="OneLeaderATerm"):
        world.tell.on_send(node_in(term), 2, Ballot(term, 1, 0, 0, bytes(16), 0, 0, 0, ()))
    world.tell.on_send(node_in(50), 2, VoteReply(50, 50, False, True))
    with pytest.raises(Violation, match="OneVoteATerm: node 1 voted for 2 and for 0"):
        world.tell.on_send(node_in(50), 0, VoteReply(50, 50, False, True))


def test_rules_1_and_5_terms_that_fall_or_are_not_on_the_disk(world: World) -> None:
    world.tell.on_send(node_in(50), 2, VoteRequest(50, 1, 1, False))
    with pytest.raises(Violation, match="fell from 50 to 49"):
        world.tell.on_send(node_in(50), 2, VoteRequest(49, 1, 1, False))
    with pytest.raises(Violation, match="but its disk says 50"):
        world.tell.on_send(node_in(50), 2, VoteRequest(51, 1, 1, False))
    log = world.nodes[0].state.log
    with pytest.raises(Violation, match="has forgotten"):
        world.tell.on_boot(node_in(49, log=log), {})


def test_rule_16_two_rounds_of_one_place_and_term(world: World) -> None:
    known = world.truth.rounds[0]
    with pytest.raises(Violation, match="LogMatching"):
        world.tell.on_durable(node_in(1), [replace(known, digest=b"another digest!!")])


def test_leader_without_a_decided_round(world: World) -> None:
    log = SimpleNamespace(last=SimpleNamespace(index=1))
    with pytest.raises(Violation, match="LeaderCompleteness"):
        world.tell.on_trace(node_in(99, log=log), {"event": "leader", "term": 99})


def test_rule_18_a_round_that_only_one_node_holds(world: World) -> None:
    last = world.truth.rounds[-1]
    round_ = encode_round(last.index + 1, last.term, last.digest, last.policy, last.end, [])
    world.nodes[0].durable[round_.index] = round_.digest
    with pytest.raises(Violation, match=r"MajorityHolds.*only \[0\]"):
        world.tell.on_decided(node_in(last.term), round_)


def test_rule_18_counts_the_vote_of_a_node_that_rot_robbed_meanwhile_but_not_of_one_that_only_forgot(world: World) -> None:
    checker, last = MajorityHolds(), world.truth.rounds[-1]
    leader: Any = node_in(last.term)
    round_ = encode_round(last.index + 1, last.term, last.digest, last.policy, last.end, [])
    world.nodes[0].durable[round_.index] = round_.digest
    robbed = world.nodes[1]
    for _ in range(len(world.nodes) // 2):
        checker.on_boot(world, robbed, {round_.index: round_.digest})
    with pytest.raises(Violation, match=r"only \[0\]"):
        checker.on_decided(world, leader, round_)
    for robbed in world.nodes[1 : len(world.nodes) // 2 + 1]:
        robbed.rot, robbed.state.recovering = 1, True
        checker.on_boot(world, robbed, {round_.index: round_.digest})
    checker.seen = 0
    checker.on_decided(world, leader, round_)


def test_rules_20_and_21_a_durable_round_that_is_gone(world: World) -> None:
    node = world.nodes[0]
    before = {**node.durable, len(node.durable) + 1: b"x" * 16}
    with pytest.raises(Violation, match=r"DurableStays.*starts without it"):
        world.tell.on_boot(node, before)
    node.rot = 1
    with pytest.raises(Violation, match="does not know it"):
        world.tell.on_boot(node, before)
    node.state.recovering = True
    world.tell.on_boot(node, before)
    with pytest.raises(Violation, match="RecoveringIsSilent"):
        world.tell.on_send(node, 1, VoteRequest(node.state.term, 1, 1, True))


def test_rules_39_and_41_wrong_bytes_and_holes(world: World) -> None:
    with pytest.raises(Violation, match="FileFollowsLog: node 0 wrote at 3 what is not decided there"):
        world.tell.on_write(world.nodes[0], 3, b"anything")
    end = world.file_size
    del world.shared.names[OUTPUT].seen[end - 10 :]
    with pytest.raises(Violation, match="behind the end"):
        world.tell.on_write(world.nodes[0], end - 5, bytes(world.truth.file[end - 5 :]))


@pytest.mark.parametrize("call", ["truncate", "allocate"])
def test_rule_40_a_call_that_may_shorten_or_stretch_the_file(world: World, call: str) -> None:
    storage = world.nodes[0].storage
    handle = storage.open(OUTPUT)
    with pytest.raises(Violation, match="OnlyWrites"):
        getattr(storage, call)(handle, 4)


def test_rule_40_a_rename_over_the_file(world: World) -> None:
    with pytest.raises(Violation, match="OnlyWrites"):
        world.nodes[0].storage.rename("/shared/other", OUTPUT)


def test_promise_7_readers_that_see_too_little_or_something_else(world: World) -> None:
    whole = world.content()
    world.tell.on_read(whole)
    with pytest.raises(Violation, match=r"AlwaysAPrefix.*after it had seen"):
        world.tell.on_read(whole[:-1])
    with pytest.raises(Violation, match="what is not decided"):
        world.tell.on_read(whole[:20] + b"\0" + whole[21:])
    with pytest.raises(Violation, match="what is not decided"):
        world.tell.on_read(whole + b"C")
    world.lose_power()
    world.tell.on_read(whole[:5])
    world.tell.on_trace(world.nodes[0], {"event": "grant", "term": 90})
    assert world.power_lost, "the first word of the vote log only says which term was the newest"
    world.tell.on_trace(world.nodes[0], {"event": "grant", "term": 91})
    world.tell.on_read(whole)


def test_promise_6_turns_out_of_order_and_two_writers_of_one(world: World) -> None:
    def turn(number: int, attempt: int = 0) -> WriteTurn:
        return WriteTurn(7, 90, number, number, attempt, 0, b"")

    first, second = world.nodes[0], world.nodes[1]
    world.tell.on_turn(first, turn(0))
    world.tell.on_turn(second, turn(1))
    world.tell.on_turn(first, turn(0))
    with pytest.raises(Violation, match=r"OneWriter: turn 1 of .* was written by 1 and 0"):
        world.tell.on_turn(first, turn(1))
    with pytest.raises(Violation, match="of which 2 is next"):
        world.tell.on_turn(first, turn(3))
    world.tell.on_turn(first, turn(2, attempt=1))
    with pytest.raises(Violation, match="OneWriter"):
        world.tell.on_turn(first, turn(4, attempt=2))


def test_rule_44_written_and_synced_are_what_the_disk_has(world: World) -> None:
    node, rounds = world.nodes[0], len(world.truth.rounds)
    with pytest.raises(Violation, match="WrittenIsTrue"):
        world.tell.on_written(node, rounds + 1, 0)
    file = world.shared.names[OUTPUT]
    file.sync()
    world.tell.on_written(node, rounds, rounds)
    file.stored[3] ^= 1
    with pytest.raises(Violation, match="the disk has less"):
        world.tell.on_written(node, rounds, rounds)
    del file.seen[-1:]
    with pytest.raises(Violation, match="but the file has"):
        world.tell.on_written(node, rounds, 0)


def test_rule_37_acknowledgements_that_are_not_true(world: World) -> None:
    client = world.clients[0]
    line, placed = client.line, world.truth.placed[client.session, 2]
    line.answered = 0
    world.tell.on_ack(line, 1, None, None)
    world.tell.on_ack(line, 2, placed.round, placed.offset)
    with pytest.raises(Violation, match="RepliesInOrder"):
        world.tell.on_ack(line, 2, None, None)
    with pytest.raises(Violation, match="is not decided"):
        world.tell.on_ack(line, 5, None, None)
    with pytest.raises(Violation, match="it stands at"):
        world.tell.on_ack(line, 3, placed.round, placed.offset)
    world.shared.names[OUTPUT].seen[placed.offset] ^= 1
    with pytest.raises(Violation, match="does not stand at"):
        world.tell.on_ack(line, 2, None, None)
    for node in world.nodes[:2]:
        node.durable.clear()
    with pytest.raises(Violation, match=r"while only \[2\] hold its round"):
        world.tell.on_ack(line, 2, None, None)


@pytest.mark.parametrize("what", ["lost", "doubled", "invented"])
def test_promises_1_to_3_on_the_file_alone(world: World, what: str) -> None:
    (session, seq), (time, text) = next(iter(world.texts.items()))
    placed = world.truth.placed[session, seq]
    if what == "lost":
        world.truth.file = world.shared.names[OUTPUT].seen = bytearray(world.content().replace(placed.block, b""))
    else:
        extra = placed.block if what == "doubled" else block_of(0, session, time + 1, text)
        world.truth.file = world.shared.names[OUTPUT].seen = bytearray(world.content() + extra)
    with pytest.raises(Violation, match="NothingLost"):
        world.tell.at_end()


def test_promise_5_the_order_of_what_was_acknowledged_before(world: World) -> None:
    first, second = sorted(world.truth.placed, key=lambda key: world.truth.placed[key].place)[:2]
    world.invoked[first] = world.acked[second] + SECOND
    with pytest.raises(Violation, match="RealTime"):
        world.tell.at_end()


def test_promise_8_and_rule_34_at_the_end(world: World) -> None:
    world.tell.at_end()
    node, client = world.nodes[2], world.clients[0]
    node.state.recovering = True
    with pytest.raises(Violation, match="never recovered"):
        world.tell.at_end()
    world.truth.last[client.session] += 1
    with pytest.raises(Violation, match="has the sessions"):
        world.tell.at_end()
    node.state.log.decided -= 1
    with pytest.raises(Violation, match="logs end differently"):
        world.tell.at_end()
    node.kill()
    with pytest.raises(Violation, match=r"nodes \[2\] do not run"):
        world.tell.at_end()
    client.unanswered[9] = (1, "x")
    with pytest.raises(Violation, match="were not answered"):
        world.tell.at_end()
