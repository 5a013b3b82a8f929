"""Checkers of terms, votes, logs and journals (RULES A, B and C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from node_runtime.messages import Ballot, NodeId, PeerMessage, Round, VoteReply, VoteRequest
from tests.simulation.checkers import Checker, Violation

if TYPE_CHECKING:
    from tests.simulation.process import SimNode
    from tests.simulation.world import World


class OneLeaderATerm(Checker):
    """Rules 2 and 6: no term has two leaders, nor the same one twice over a restart; only the leader sends ballots."""

    def __init__(self) -> None:
        self.leaders: dict[int, tuple[NodeId, int]] = {}

    def on_trace(self, world: World, node: SimNode, event: dict[str, Any]) -> None:
        if event["event"] == "leader":
            self._lead(event["term"], node)

    def on_send(self, world: World, node: SimNode, receiver: NodeId, message: PeerMessage) -> None:
        if isinstance(message, Ballot):
            self._lead(message.term, node)

    def _lead(self, term: int, node: SimNode) -> None:
        leader = self.leaders.setdefault(term, (node.id, node.starts))
        if leader != (node.id, node.starts):
            raise Violation(self, f"term {term} is led by {leader} and by {(node.id, node.starts)} (node, start)")


class OneVoteATerm(Checker):
    """Rules 1, 2 and 5, over restarts: a node's term never falls, its vote of a term never changes, and disks know both."""

    def __init__(self) -> None:
        self.terms: dict[NodeId, int] = {}
        self.votes: dict[tuple[NodeId, int], NodeId] = {}

    def on_send(self, world: World, node: SimNode, receiver: NodeId, message: PeerMessage) -> None:
        if not isinstance(message, VoteRequest | VoteReply | Ballot) or (isinstance(message, VoteRequest) and message.pre):
            return  # what was taken in an older term may be answered in the same step, behind a vote of a newer one
        if message.term < self.terms.get(node.id, 0):
            raise Violation(self, f"the term of node {node.id} fell from {self.terms[node.id]} to {message.term}")
        self.terms[node.id] = message.term
        if isinstance(message, VoteRequest):
            self._vote(node.id, message.term, node.id)
        elif isinstance(message, VoteReply) and message.granted and not message.pre:
            self._vote(node.id, message.asked, receiver)
        stored = node.journal.state
        if stored.term < message.term:
            raise Violation(self, f"node {node.id} speaks in term {message.term}, but its disk says {stored.term}")

    def on_boot(self, world: World, node: SimNode, before: dict[int, bytes]) -> None:
        state = node.state
        said = self.terms.get(node.id, 0)
        vote = self.votes.get((node.id, state.term))
        if state.term < said or (vote is not None and vote != state.voted_for):
            now = f"term {state.term}, vote {state.voted_for}"
            raise Violation(self, f"node {node.id} has forgotten: {now} after term {said}, vote {vote}")

    def _vote(self, voter: NodeId, term: int, candidate: NodeId) -> None:
        before = self.votes.setdefault((voter, term), candidate)
        if before != candidate:
            raise Violation(self, f"node {voter} voted for {before} and for {candidate} in term {term}")


class LogMatching(Checker):
    """Raft's log matching, rule 16: in all journals, whatever became of them, (index, term) names one round."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], bytes] = {}

    def on_durable(self, world: World, node: SimNode, rounds: list[Round]) -> None:
        for round_ in rounds:
            if self.known.setdefault((round_.index, round_.term), round_.digest) != round_.digest:
                raise Violation(self, f"there are two rounds {round_.index} of term {round_.term}")


class LeaderCompleteness(Checker):
    """Raft 5.4: a leader's log holds every round that was decided in an earlier term."""

    def on_trace(self, world: World, node: SimNode, event: dict[str, Any]) -> None:
        if event["event"] != "leader":
            return
        log, truth = node.state.log, world.truth
        decided = sum(term < event["term"] for term in truth.terms)
        if log.last.index < decided or (decided and log.point(decided).digest != truth.rounds[decided - 1].digest):
            raise Violation(self, f"node {node.id} leads term {event['term']} without decided round {decided}")


class MajorityHolds(Checker):
    """Promise 1, rules 8, 9 and 18: when a round is first decided, a majority of all nodes has had it on disk.

    A vote may be under way while rot robs its voter: that voter knows it (DurableStays) and gives no vote to a candidate
    (RecoveringIsSilent), so its word still holds.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.robbed: dict[NodeId, dict[int, bytes]] = {}

    def on_boot(self, world: World, node: SimNode, before: dict[int, bytes]) -> None:
        if node.rot and node.state.recovering:
            self.robbed.setdefault(node.id, {}).update(before)

    def on_decided(self, world: World, node: SimNode, round_: Round) -> None:
        if round_.index <= self.seen:
            return
        self.seen = round_.index
        held = {other.id: (other.durable, self.robbed.get(other.id, {})) for other in world.nodes}
        holders = [name for name, logs in held.items() if round_.digest in (log.get(round_.index) for log in logs)]
        if len(holders) * 2 <= len(world.nodes):
            raise Violation(self, f"round {round_.index} was decided with only {holders} holding it on disk")


class DurableStays(Checker):
    """Rules 15, 20 to 25: what a journal said it holds is there after any restart; a node that rot has robbed knows it."""

    def on_boot(self, world: World, node: SimNode, before: dict[int, bytes]) -> None:
        gone = [index for index, digest in before.items() if node.durable.get(index) != digest]
        if not gone:
            return
        if not node.rot:
            raise Violation(self, f"node {node.id} had round {min(gone)} on disk and starts without it")
        if not node.state.recovering:
            raise Violation(self, f"node {node.id} lost round {min(gone)} to rot and does not know it")


class RecoveringIsSilent(Checker):
    """Rule 21: a node that lost rounds gives no vote and asks for none."""

    def on_send(self, world: World, node: SimNode, receiver: NodeId, message: PeerMessage) -> None:
        votes = isinstance(message, VoteRequest) or (isinstance(message, VoteReply) and message.granted)
        if votes and node.state.recovering:
            raise Violation(self, f"node {node.id} takes part in an election while it is recovering")


def log_checkers() -> list[Checker]:
    """One of each."""
    return [
        OneLeaderATerm(), OneVoteATerm(), LogMatching(), LeaderCompleteness(), MajorityHolds(), DurableStays(),
        RecoveringIsSilent(),
    ]  # fmt: skip
