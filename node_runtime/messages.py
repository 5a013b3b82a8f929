"""The nouns of the protocol: messages, rounds, turns, and what peers say to each other.

Everything here is immutable. A `Message` is a tuple in the order of its sort key, so that `sorted()` is the
order inside a round. Times are integer microseconds of the client's clock; ticks are integer microseconds of
the node's monotonic clock; offsets and sizes are bytes in the shared file.
"""

from __future__ import annotations

from array import array
from dataclasses import field
from enum import IntEnum
from typing import NamedTuple

from node_runtime.values import value

NodeId = int
Digest = bytes

DIGEST_SIZE = 16
GENESIS: Digest = bytes(DIGEST_SIZE)

MAX_NODES = 64
MAX_MESSAGE = 16 * 1024
MAX_SESSION = 64
MAX_SEQ = 2**53
MAX_TIME = 2**53

Row = tuple[int, int | None, int | None]
"""An acknowledged message: seq, round, offset in the file; the last two are None for an old duplicate."""


class Message(NamedTuple):
    """One client message; `block` is its two lines in the shared file, rendered once where it was taken in."""

    time: int
    node: NodeId
    session: str
    seq: int
    block: bytes


class Policy(IntEnum):
    """Who writes a round: each node its own messages in order, or the node with the earliest message all."""

    TURNS = 0
    WINNER = 1


class SessionSpan(NamedTuple):
    """The messages of one session in one round: `length` sequence numbers from `first` on."""

    session: str
    first: int
    length: int


@value
class Round:
    """One entry of the replicated log: the sorted messages that are voted on together.

    `encoded` is the exact byte string that is digested, sent and stored; the columns are views of it, one item
    a message. `size` counts the separator too; a no-op has no messages and size 0. `parent` is the digest of
    the round before, so equal digests mean equal logs (rule 16).
    """

    index: int
    term: int
    parent: Digest
    policy: Policy
    offset: int
    size: int
    sessions: tuple[SessionSpan, ...]
    times: array[int]
    nodes: array[int]
    session_of: array[int]
    lengths: array[int]
    blocks: bytes
    encoded: bytes = field(repr=False)
    digest: Digest = GENESIS

    @property
    def count(self) -> int:
        """Number of messages."""
        return len(self.times)

    @property
    def end(self) -> int:
        """Offset in the shared file where the next round starts."""
        return self.offset + self.size


class Turn(NamedTuple):
    """One permission to write: messages [first, last) of a round, bytes [start, end) of the shared file."""

    number: int
    writer: NodeId
    first: int
    last: int
    start: int
    end: int


# --- what peers say to each other (each carries the sender's term; compare it first, rule 6) ---


@value
class VoteRequest:
    """A (pre-)candidate asks for a vote in `term` (Raft section 3.4; PreVote: thesis section 9.6)."""

    term: int
    last_term: int
    last_index: int
    pre: bool


@value
class VoteReply:
    """The answer; `asked` is the term that the request named, so that old answers count nothing (rule 4)."""

    term: int
    asked: int
    pre: bool
    granted: bool


@value
class Ballot:
    """The leader proposes rounds that follow (`prev_index`, `prev_digest`); without rounds it is a heartbeat.

    `decided`, `written` and `synced` are the leader's, each the index of a round: the last one decided, the last
    one known to be in the shared file, the last one known to be fsynced there.
    """

    term: int
    request: int
    prev_index: int
    prev_term: int
    prev_digest: Digest
    decided: int
    written: int
    synced: int
    rounds: tuple[Round, ...]


class No(IntEnum):
    """Why a node votes no."""

    YES = 0
    STALE_TERM = 1
    GAP = 2
    CONFLICT = 3
    UNSORTED = 4
    SESSION = 5
    OFFSET = 6
    PARENT = 7


@value
class Vote:
    """The answer to a ballot, sent after the rounds are fsynced.

    Yes: `index` is the last round confirmed by that ballot. No: `index` is the last round that the leader may
    try next as `prev_index`.
    """

    term: int
    request: int
    index: int
    reason: No


@value
class Forward:
    """A node hands messages of its clients to the leader, in order; a repeat does no harm (rule 35)."""

    term: int
    messages: tuple[Message, ...]


@value
class Grant:
    """Hands a turn to its writer. Only decided rounds are granted; `digest` proves that both hold the same one.

    `attempt` counts the leader's grants anew of this round; `absent` are nodes whose turns the leader writes.
    """

    term: int
    round: int
    digest: Digest
    turn: int
    attempt: int
    absent: frozenset[NodeId]


@value
class Written:
    """A writer reports: turn `turn` of `round` and all before it are in the file; `last`: that was its last turn.

    As in a grant, `digest` proves to a receiver that holds the same round that the round is decided.
    """

    term: int
    round: int
    digest: Digest
    turn: int
    attempt: int
    last: bool


@value
class TurnRefused:
    """A writer cannot take its turn: it lacks the round, or the file is shorter (`short`) than the turn's start."""

    term: int
    round: int
    turn: int
    attempt: int
    short: bool


PeerMessage = VoteRequest | VoteReply | Ballot | Vote | Forward | Grant | Written | TurnRefused
