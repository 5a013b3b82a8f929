"""What the core takes, what it owes, and what it remembers: inputs, `Output`, the roles, `CoreState`.

A role is a type, so that a follower cannot hold a leader's data. Time is integer ticks (microseconds) that the
driver passes in; there is no clock here (rule 48).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from node_runtime.config import NodeConfig
from node_runtime.intake import Intake
from node_runtime.log import Log
from node_runtime.messages import Digest, Grant, Message, NodeId, PeerMessage, Policy, Round, Turn
from node_runtime.quorum import Tally
from node_runtime.rounds import Gathering, turns_of
from node_runtime.values import value

# --- inputs ---


@value
class Received:
    """A peer's message arrived."""

    sender: NodeId
    message: PeerMessage


@value
class Submitted:
    """Clients of this node sent messages; `client` is whatever the answer goes to."""

    messages: list[Message]
    client: Any


@value
class Persisted:
    """The journal holds everything up to this round: a pair, for the tail may have been replaced (rule 15)."""

    index: int
    term: int


@value
class TurnDone:
    """The write that was ordered for this turn is in the file; `short` is True where the file was too short for it."""

    write: WriteTurn
    short: bool


@value
class Compared:
    """The file holds the decided bytes of all rounds up to `index`; `changed` bytes had to be repaired."""

    after: int
    index: int
    changed: int


@value
class FileSynced:
    """The shared file is fsynced up to the end of round `index`."""

    index: int


@value
class FileShort:
    """The shared file is shorter than what was written: somebody cut it."""


@value
class LinkChanged:
    """The link to a peer came up or went down: a hint, never evidence."""

    peer: NodeId
    up: bool


Input = Received | Submitted | Persisted | TurnDone | Compared | FileSynced | FileShort | LinkChanged


# --- output ---


@value
class HardState:
    """What must survive a restart beside the rounds (rule 1).

    `recovering`: the journal lost rounds that this node may have voted for (rule 21).
    """

    term: int = 0
    voted_for: NodeId | None = None
    recovering: bool = False


@value
class WriteTurn:
    """Write `data` at `start`: turns `turn` to `upto` of a round, all of this writer."""

    term: int
    round: int
    turn: int
    upto: int
    attempt: int
    start: int
    data: bytes


@value
class Compare:
    """Compare the file with the rounds after `after`, at most to round `upto`, and repair what differs."""

    after: int
    upto: int


@value
class Output:
    """What the driver owes after a step. The order of the fields is the order of the obligations."""

    state: list[HardState] = field(default_factory=list)  # 1. fsync the newest before anything below
    early: list[tuple[NodeId, PeerMessage]] = field(default_factory=list)  # 2. send: rests on no round of this step (rule 8)
    rounds: list[Round] = field(default_factory=list)  # 3. replace what follows the first one's parent; fsync; feed `Persisted`
    replies: list[tuple[NodeId, PeerMessage]] = field(default_factory=list)  # 4. send: may rest on the rounds above
    writes: list[WriteTurn] = field(default_factory=list)  # 5. pwrite, in order; then feed `TurnDone`
    compare: list[Compare] = field(default_factory=list)  # 6. compare and repair; then feed `Compared`
    acks: list[tuple[Any, str, list[tuple[int, int | None, int | None]]]] = field(default_factory=list)  # 7. to clients
    failures: list[tuple[Any, str, int, str]] = field(default_factory=list)  # 8. to clients: session, seq, code
    sync: list[int] = field(default_factory=list)  # 9. fsync the shared file some time; then feed `FileSynced`
    check: list[int] = field(default_factory=list)  # 10. feed `FileShort` if the shared file is shorter than this
    trace: list[dict[str, Any]] = field(default_factory=list)  # 11. to the vote log


# --- roles ---


@dataclass(slots=True)
class Follower:
    """Follows `leader`, if it knows one; stands for election at `deadline`."""

    deadline: int
    leader: NodeId | None = None
    heard: int = -(1 << 62)


@dataclass(slots=True)
class Candidate:
    """Asks for votes of `term` (its own, or with `pre` the next one without taking it)."""

    tally: Tally
    term: int
    pre: bool
    deadline: int
    since: int


@dataclass(slots=True)
class Progress:
    """What the leader knows of one peer. `match` only grows within a term (rule 14)."""

    next: int
    match: int = 0
    heard: int = 0
    up: bool = True
    probing: bool = True
    asked: bool = False
    valid_from: int = 0


@dataclass(slots=True)
class BallotTimes:
    """When a ballot went out, whose messages it holds, and after how many ticks each node had voted for it."""

    started: int
    nodes: frozenset[NodeId]
    votes: dict[str, int] = field(default_factory=dict)
    counted: int = 0


@dataclass(slots=True)
class Chain:
    """The turns of one round while they are passed from writer to writer; `helped`: the leader writes for others."""

    round: int
    attempt: int
    turn: int
    started: int
    progress: int
    helped: bool


@dataclass(slots=True)
class Leader:
    """Proposes rounds, counts votes, grants turns."""

    noop: int
    peers: dict[NodeId, Progress]
    heartbeat: int
    check: int
    sync_at: int
    gathering: Gathering = field(default_factory=Gathering)
    participants: frozenset[NodeId] = frozenset()
    opened: int | None = None
    request: int = 0
    ballots: dict[int, BallotTimes] = field(default_factory=dict)
    compared: bool = False
    comparing: bool = False
    chain: Chain | None = None
    relay_until: int = 0
    absent_until: dict[NodeId, int] = field(default_factory=dict)


Role = Follower | Candidate | Leader


# --- the state of the core ---


@value
class Timing:
    """The tunables in ticks."""

    election_min: int
    election_max: int
    heartbeat: int
    turn_timeout: int
    round_window: int
    ack_timeout: int
    sync_every: int = 1_000_000
    retry: int = 500_000

    @classmethod
    def of(cls, config: NodeConfig) -> Timing:
        """The timing that a node's config asks for."""
        tunables = config.tunables
        milli = [
            tunables.election_min_ms, tunables.election_max_ms, tunables.heartbeat_ms, tunables.turn_timeout_ms,
            tunables.round_window_ms, tunables.ack_timeout_ms,
        ]  # fmt: skip
        return cls(*(round(value * 1000) for value in milli))


@dataclass(slots=True)
class CoreState:
    """Everything that the core remembers between two steps."""

    me: NodeId
    nodes: tuple[NodeId, ...]
    policy: Policy
    timing: Timing
    rounds_in_flight: int
    round_messages: int
    draw: Callable[[int, int], int]
    log: Log
    intake: Intake
    term: int
    voted_for: NodeId | None
    recovering: bool
    role: Role
    now: int = 0
    persisted: int = 0
    written: int = 0
    synced: int = 0
    settled: int = 0
    done: tuple[int, int, int, int] = (0, 0, 0, 0)
    held: dict[tuple[int, int, int], frozenset[NodeId]] = field(default_factory=dict)
    told: list[list[int]] = field(default_factory=list)
    reported: int = 0
    parked: tuple[NodeId, Grant] | None = None
    seen_written: bool = False
    down: set[NodeId] = field(default_factory=set)
    out: Output = field(default_factory=Output)
    counters: dict[str, int] = field(default_factory=dict)
    turn_cache: dict[Digest, tuple[Turn, ...]] = field(default_factory=dict)

    @property
    def peers(self) -> tuple[NodeId, ...]:
        """All other nodes."""
        return tuple(node for node in self.nodes if node != self.me)

    @property
    def leader(self) -> NodeId | None:
        """The node that is known to lead this term."""
        if isinstance(self.role, Leader):
            return self.me
        return self.role.leader if isinstance(self.role, Follower) else None

    @property
    def leads(self) -> bool:
        """Whether this node leads and has decided a round of its own term (rule 10)."""
        return isinstance(self.role, Leader) and self.log.decided >= self.role.noop

    def turns(self, round_: Round) -> tuple[Turn, ...]:
        """The turns of a round, computed once."""
        turns = self.turn_cache.get(round_.digest)
        if turns is None:
            if len(self.turn_cache) >= 16:
                del self.turn_cache[next(iter(self.turn_cache))]
            turns = self.turn_cache[round_.digest] = turns_of(round_)
        return turns

    def trace(self, event: str, **fields: Any) -> None:
        """Add one event to the vote log."""
        self.out.trace.append({"event": event, "term": self.term, **fields})

    def count(self, counter: str, by: int = 1) -> None:
        """Count something for `status`."""
        self.counters[counter] = self.counters.get(counter, 0) + by

    def save(self) -> None:
        """Owe the disk the term, the vote and the flag, before any message of this step leaves (rule 1)."""
        self.out.state.append(HardState(self.term, self.voted_for, self.recovering))

    def election_deadline(self) -> int:
        """A fresh, drawn election deadline."""
        return self.now + self.draw(self.timing.election_min, self.timing.election_max)
