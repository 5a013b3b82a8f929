"""What the votes of many nodes come to: rounds, and what happened between them. Values only, each with its JSON.

A `RoundView` is one round as all nodes saw it; a `Happening` is one event of one node that belongs to no round:
an election, a lost peer, a stalled turn. `Selection` says which of them somebody wants to see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

VoteKind = Literal["yes", "late", "no", "silent"]
KINDS: tuple[VoteKind, ...] = ("yes", "late", "no", "silent")
RoundState = Literal["written", "decided", "open", "replaced"]

ROUND = "round"  # what `--event` and JSON call a round
HAPPENINGS = frozenset(
    {
        "start", "stop", "peer_up", "peer_down", "election", "voted", "leader", "follow", "step_down", "timeout",
        "repair", "restored", "no_quorum", "refused", "fault", "heal",
    }
)  # fmt: skip
MINOR = frozenset({"voted", "follow", "peer_up"})
ALWAYS = frozenset({"ts", "mono", "node", "event", "term"})


class Gathered(NamedTuple):
    """What one node brought into a round: how many messages, and the earliest time among them."""

    many: int
    earliest: int


class VoteView(NamedTuple):
    """One node's vote on one round.

    `yes` came before the decision (`us` microseconds after the ballot, None where only the voter's own log tells);
    `late` came after it; `no` has its `reason`; `silent` is all that is known of a node that said nothing in time.
    """

    kind: VoteKind
    us: int | None = None
    reason: str = ""


class TurnView(NamedTuple):
    """One permission to write, in turn order: whose messages, how many, which bytes, and who wrote in the owner's place."""

    owner: int
    messages: int
    start: int
    end: int
    stand_in: int | None = None

    @property
    def writer(self) -> int:
        """The node that was told to write."""
        return self.owner if self.stand_in is None else self.stand_in


@dataclass(frozen=True, slots=True)
class RoundView:
    """One round: what was proposed, who voted how, who wrote.

    `state`: `written` (in the shared file), `decided` (a majority has it; the logs end before it was written),
    `open` (proposed; the logs tell no more), `replaced` (proposed in a lower term, and another round was decided at
    its index). `term` and `leader` are the proposal's, None where the logs begin after it; `finisher` is the node
    whose log says that it was written. `ts` is that moment, in Unix seconds of the finisher's clock. `attempts`
    counts grants, `stalls` turns that timed out, `unlisted` turns beyond those a log line lists.
    """

    round: int
    digest: str
    state: RoundState
    term: int | None
    leader: int | None
    ts: float
    count: int | None
    start: int | None
    end: int | None
    messages: Mapping[int, Gathered] = field(default_factory=dict)
    votes: Mapping[int, VoteView] = field(default_factory=dict)
    quorum_us: int | None = None
    written_us: int | None = None
    turns: tuple[TurnView, ...] = ()
    unlisted: int = 0
    attempts: int = 0
    stalls: int = 0
    finisher: int | None = None
    finished_term: int | None = None

    @property
    def size(self) -> int | None:
        """Bytes of the round in the shared file, its separator included."""
        return None if self.start is None or self.end is None else self.end - self.start

    @property
    def inherited(self) -> bool:
        """Whether a later leader completed it: the one that proposed it died or stepped down half way."""
        return self.finisher is not None and self.leader is not None and self.finisher != self.leader

    @property
    def earliest(self) -> int | None:
        """The earliest time of a message in it."""
        return min((gathered.earliest for gathered in self.messages.values()), default=None)

    def to_json(self) -> dict[str, Any]:
        """The row as `tail --json` prints it."""
        return {
            "event": ROUND, "round": self.round, "state": self.state, "term": self.term, "leader": self.leader, "ts": self.ts,
            "digest": self.digest, "count": self.count, "start": self.start, "end": self.end, "bytes": self.size,
            "messages": {str(node): {"count": g.many, "earliest": g.earliest} for node, g in sorted(self.messages.items())},
            "votes": {str(node): _vote_json(vote) for node, vote in sorted(self.votes.items())},
            "quorum_us": self.quorum_us, "written_us": self.written_us,
            "turns": [_turn_json(turn) for turn in self.turns], "unlisted": self.unlisted,
            "attempts": self.attempts, "stalls": self.stalls,
            "finisher": self.finisher, "finished_term": self.finished_term,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of one node between the rounds; `detail` holds the event's own fields (docs/VOTELOG.md)."""

    event: str
    node: int
    term: int
    ts: float
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_minor(self) -> bool:
        """Whether it is hardly news: votes of an election, PreVotes, links that came up, comparisons that found nothing."""
        pre = self.event == "election" and bool(self.detail.get("pre"))
        return self.event in MINOR or pre or (self.event == "repair" and not self.detail.get("changed"))

    def to_json(self) -> dict[str, Any]:
        """The happening as `tail --json` prints it: the event as the node logged it."""
        return {"event": self.event, "node": self.node, "term": self.term, "ts": self.ts, **self.detail}


Item = RoundView | Happening


@dataclass(frozen=True, slots=True)
class Selection:
    """Which items to show. Empty sets mean all; `since` is in Unix seconds."""

    nodes: frozenset[int] = frozenset()
    events: frozenset[str] = frozenset()
    since: float | None = None

    def has(self, item: Item) -> bool:
        """Whether `item` is wanted: a round belongs to the nodes that lead it, have messages in it, write it or refuse it."""
        if self.since is not None and item.ts < self.since:
            return False
        if isinstance(item, Happening):
            return (not self.events or item.event in self.events) and (not self.nodes or bool(self.nodes & subjects(item)))
        return (not self.events or ROUND in self.events) and (not self.nodes or bool(self.nodes & involved(item)))


def subjects(item: Happening) -> frozenset[int]:
    """The nodes that a happening is about: the one that logged it, and the peer, leader, candidate or writer it names."""
    named = (item.detail.get(key) for key in ("peer", "leader", "candidate", "writer"))
    return frozenset({item.node, *(node for node in named if isinstance(node, int))})


def involved(view: RoundView) -> frozenset[int]:
    """The nodes without which the round would have looked different: all but those that only voted yes."""
    odd: Collection[int] = [node for node, vote in view.votes.items() if vote.kind != "yes"]
    ends = [node for node in (view.leader, view.finisher) if node is not None]
    return frozenset({*view.messages, *odd, *ends, *(turn.writer for turn in view.turns)})


def _vote_json(vote: VoteView) -> dict[str, Any]:
    shown: dict[str, Any] = {"vote": vote.kind}
    if vote.us is not None:
        shown["us"] = vote.us
    if vote.reason:
        shown["reason"] = vote.reason
    return shown


def _turn_json(turn: TurnView) -> dict[str, Any]:
    return {"writer": turn.writer, "owner": turn.owner, "messages": turn.messages, "start": turn.start, "end": turn.end}
