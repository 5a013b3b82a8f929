"""The promises as checkers, a class each; every one sees the run from outside the nodes and fails loudly.

`World` tells them what happens: `on_trace`, `on_send`, `on_decided`, `on_write`, `on_ack`, and at the end `at_end`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from node_runtime.codec import messages_of
from node_runtime.messages import Ballot, PeerMessage, Round, VoteReply, VoteRequest
from node_runtime.records import SEPARATOR, native_body, render_block

if TYPE_CHECKING:
    from tests.simulation.world import SimNode, World


class Violation(AssertionError):
    """A promise was broken; the first word names the checker."""

    def __init__(self, checker: object, text: str) -> None:
        super().__init__(f"{type(checker).__name__}: {text}")
        self.checker = type(checker).__name__


class Checker:
    """The events that a checker may watch; each is ignored unless a subclass says otherwise."""

    def on_trace(self, world: World, node: SimNode, event: dict[str, Any]) -> None:
        """A vote log event of a node."""

    def on_send(self, world: World, node: SimNode, receiver: int, message: PeerMessage) -> None:
        """A message leaves a node."""

    def on_decided(self, world: World, node: SimNode, round_: Round) -> None:
        """A node takes a round for decided."""

    def on_write(self, world: World, node: SimNode, start: int, data: bytes) -> None:
        """A node wrote into the shared file."""

    def on_ack(self, world: World, session: str, seq: int, round_: int | None, offset: int | None) -> None:
        """A client got an acknowledgement."""

    def at_end(self, world: World) -> None:
        """Everything has healed and settled."""


class OneLeaderATerm(Checker):
    """Rules 2 and 6: no term has two leaders."""

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}

    def on_trace(self, world: World, node: SimNode, event: dict[str, Any]) -> None:
        if event["event"] == "leader" and self.leaders.setdefault(event["term"], node.id) != node.id:
            raise Violation(self, f"term {event['term']} is led by {self.leaders[event['term']]} and by {node.id}")


class OneVoteATerm(Checker):
    """Rules 1, 2 and 5, as the others see it: a node's term never falls, and its vote of a term never changes."""

    def __init__(self) -> None:
        self.terms: dict[int, int] = {}
        self.votes: dict[tuple[int, int], int] = {}

    def on_send(self, world: World, node: SimNode, receiver: int, message: PeerMessage) -> None:
        if not isinstance(message, VoteRequest | VoteReply | Ballot) or (isinstance(message, VoteRequest) and message.pre):
            return  # what was taken in an older term may be answered in the same step, behind a vote of a newer one
        if message.term < self.terms.get(node.id, 0):
            raise Violation(self, f"the term of node {node.id} fell from {self.terms[node.id]} to {message.term}")
        self.terms[node.id] = message.term
        if isinstance(message, VoteRequest):
            self._vote(node.id, message.term, node.id)
        elif isinstance(message, VoteReply) and message.granted and not message.pre:
            self._vote(node.id, message.asked, receiver)

    def _vote(self, voter: int, term: int, candidate: int) -> None:
        before = self.votes.setdefault((voter, term), candidate)
        if before != candidate:
            raise Violation(self, f"node {voter} voted for {before} and for {candidate} in term {term}")


@dataclass
class DecidedLog(Checker):
    """Promise 4, log matching: a decided round never changes and all nodes decide the same; `rounds` is the truth."""

    rounds: list[Round] = field(default_factory=list)
    file: bytearray = field(default_factory=bytearray)

    def on_decided(self, world: World, node: SimNode, round_: Round) -> None:
        if round_.index <= len(self.rounds):
            known = self.rounds[round_.index - 1]
            if known.digest != round_.digest:
                raise Violation(self, f"round {round_.index} was decided as {known.digest.hex()[:8]} and {round_.digest.hex()[:8]}")
            return
        if round_.index != len(self.rounds) + 1:
            raise Violation(self, f"round {round_.index} is decided before {len(self.rounds) + 1}")
        if round_.offset != len(self.file):
            raise Violation(self, f"round {round_.index} starts at {round_.offset}, not at {len(self.file)}")
        self.rounds.append(round_)
        self.file += world.render(round_)


class LeaderCompleteness(Checker):
    """Raft 5.4: a leader's log holds every round that was decided in an earlier term."""

    def on_trace(self, world: World, node: SimNode, event: dict[str, Any]) -> None:
        if event["event"] != "leader":
            return
        log = node.core.state.log
        decided = world.truth.rounds
        if log.last.index < len(decided) or (decided and log.point(len(decided)).digest != decided[-1].digest):
            raise Violation(self, f"node {node.id} leads term {event['term']} without decided round {len(decided)}")


class MajorityHolds(Checker):
    """Promise 1: when a round is first decided, a majority has it on disk."""

    def __init__(self) -> None:
        self.seen = 0

    def on_decided(self, world: World, node: SimNode, round_: Round) -> None:
        if round_.index <= self.seen:
            return
        self.seen = round_.index
        holders = [other.id for other in world.nodes if other.durable.get(round_.index) == round_.digest]
        if len(holders) * 2 <= len(world.nodes):
            raise Violation(self, f"round {round_.index} was decided with only {holders} holding it on disk")


class FileFollowsLog(Checker):
    """Promises 3, 6 and 7: each write puts decided bytes at their place and leaves no hole."""

    def on_write(self, world: World, node: SimNode, start: int, data: bytes) -> None:
        truth = world.truth.file
        if bytes(truth[start : start + len(data)]) != data:
            raise Violation(self, f"node {node.id} wrote at {start} what is not decided there: {data[:60]!r}")
        if start > world.file_size:
            raise Violation(self, f"node {node.id} wrote at {start}, behind the end {world.file_size}")

    def at_end(self, world: World) -> None:
        found = world.content()
        if found != bytes(world.truth.file):
            at = next((i for i, (a, b) in enumerate(zip(found, world.truth.file, strict=False)) if a != b), len(found))
            raise Violation(self, f"the file differs from the log at byte {at} ({len(found)} of {len(world.truth.file)} bytes)")


class OneWriter(Checker):
    """Promise 6: one writer a grant. Two nodes never write the same turn under the same (term, attempt)."""

    def __init__(self) -> None:
        self.writers: dict[tuple[int, int, int, int], int] = {}

    def on_trace(self, world: World, node: SimNode, event: dict[str, Any]) -> None:
        if event["event"] != "turn":
            return
        for turn, _, _ in event["turns"]:
            key = (event["term"], event["round"], event["attempt"], turn)
            if self.writers.setdefault(key, node.id) != node.id:
                raise Violation(self, f"{key} (term, round, attempt, turn) was written by {self.writers[key]} and {node.id}")


class AckedIsWritten(Checker):
    """Promise 1 and rule 37: what is acknowledged is decided and stands in the file at that moment."""

    def on_ack(self, world: World, session: str, seq: int, round_: int | None, offset: int | None) -> None:
        if round_ is None or offset is None or world.cut_by_hand:
            return
        if round_ > len(world.truth.rounds):
            raise Violation(self, f"{session}:{seq} was acknowledged before round {round_} was decided")
        block = world.block_of(session, seq)
        if not any(bytes(world.seen(offset, len(option))) == option for option in block):
            raise Violation(self, f"{session}:{seq} was acknowledged, but does not stand at byte {offset}")


class ExactlyOnce(Checker):
    """Promises 1 to 4 on the final file: each acknowledged message once, none twice, none invented, sessions in order."""

    def at_end(self, world: World) -> None:
        placed: dict[tuple[str, int], int] = {}
        last: dict[str, int] = {}
        position = 0
        for round_ in world.truth.rounds:
            before: tuple[int, int, str, int] | None = None
            for message in messages_of(round_):
                key = (message.session, message.seq)
                self._check_one(world, message.session, message.seq, message.block, last)
                if before is not None and message[:4] < before:
                    raise Violation(self, f"round {round_.index} is not sorted at {key}")
                before = message[:4]
                placed[key] = position
                last[message.session] = message.seq
                position += 1
        for key in world.acked:
            if key not in placed:
                raise Violation(self, f"{key} was acknowledged and is not in the file")
        RealTime().check(world, placed)

    def _check_one(self, world: World, session: str, seq: int, block: bytes, last: dict[str, int]) -> None:
        if seq != last.get(session, 0) + 1:
            raise Violation(self, f"{session}:{seq} follows {session}:{last.get(session, 0)}")
        if block not in world.block_of(session, seq):
            raise Violation(self, f"{session}:{seq} stands as {block!r}, which its client never sent")


class RealTime(Checker):
    """Promise 5: what was acknowledged before another message was sent stands before it."""

    def check(self, world: World, placed: dict[tuple[str, int], int]) -> None:
        """`placed` maps messages to their place in the file."""
        order = sorted(placed, key=lambda key: placed[key])
        latest_invoke = -1
        for key in order:
            acked = world.acked.get(key)
            if acked is not None and acked < latest_invoke:
                raise Violation(self, f"{key}, acknowledged at {acked}, stands behind a message sent at {latest_invoke}")
            latest_invoke = max(latest_invoke, world.invoked[key])


class Converged(Checker):
    """Promise 8: when all has healed, all clients are answered and all nodes agree, sessions included (rule 34)."""

    def at_end(self, world: World) -> None:
        waiting = [client.session for client in world.clients if not client.finished]
        if waiting:
            raise Violation(self, f"clients {waiting} were not answered within {world.plan.heal_for} us of healing")
        live = [node for node in world.nodes if node.core is not None and not node.lost]
        ends = {node.core.state.log.last.digest for node in live}
        if len(ends) > 1:
            raise Violation(self, f"logs end differently: {[(node.id, node.core.state.log.last.index) for node in live]}")
        tables = [node.core.state.log.sessions.snapshot() for node in live]
        if any(table != tables[0] for table in tables):
            raise Violation(self, "the session tables of equal logs differ")


def expected_blocks(nodes: int, session: str, time: int, text: str) -> tuple[bytes, ...]:
    """The block of a message as each node would render it, made without the nodes' own code path."""
    return tuple(render_block(node, native_body(session, time, text)) for node in range(nodes))


def render_anew(blocks: list[bytes]) -> bytes:
    """A round's bytes from its blocks."""
    return b"".join(blocks) + SEPARATOR if blocks else b""


def all_checkers(truth: DecidedLog) -> list[Checker]:
    """One of each, the truth first."""
    return [
        truth, OneLeaderATerm(), OneVoteATerm(), LeaderCompleteness(), MajorityHolds(), FileFollowsLog(), OneWriter(),
        AckedIsWritten(), ExactlyOnce(), Converged(),
    ]  # fmt: skip
