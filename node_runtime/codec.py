"""Messages to bytes and back: the only place that knows the encoding (docs/PROTOCOL.md).

Integers are little-endian. A round is a header, its sessions, four columns of integers and the blocks, so that
a follower checks and stores it without touching the messages one by one. Every length is checked against what
is left before memory is taken (rule 51).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import NamedTuple

from node_runtime.errors import PeerProtocolError
from node_runtime.messages import (
    DIGEST_SIZE,
    MAX_NODES,
    MAX_SEQ,
    MAX_TIME,
    Ballot,
    Digest,
    Forward,
    Grant,
    Message,
    No,
    PeerMessage,
    Policy,
    Round,
    SessionSpan,
    TurnRefused,
    Vote,
    VoteReply,
    VoteRequest,
    Written,
)
from node_runtime.records import SEPARATOR
from node_runtime.wire import Reader, column_bytes, name_bytes

PROTOCOL_VERSION = 1
MAGIC = b"VS"
MAX_FRAME = 8 * 1024 * 1024
MAX_ROUND_MESSAGES = 65_536

_ROUND = struct.Struct("<QQ16sBQQHI")
_SPAN = struct.Struct("<QI")
_BATCH = struct.Struct("<QHI")
FRAME = struct.Struct("<2sBB8sHII")  # magic, version, type, cluster tag, sender, length, checksum
_HEAD = struct.Struct("<2sBB8sHI")  # the part of it that the checksum covers
_KIND_AT = 3
HELLO = 0  # the type of the frame that opens a connection
_U32 = struct.Struct("<I")
_message = Message._make
_time_of, _node_of, _session_of, _seq_of, _block_of = map(attrgetter, Message._fields)

_VOTE_REQUEST = struct.Struct("<QQQ?")
_VOTE_REPLY = struct.Struct("<QQ??")
_BALLOT = struct.Struct("<QQQQ16sQQQI")
_VOTE = struct.Struct("<QQQB")
_GRANT = struct.Struct("<QQ16sIIQ")
_WRITTEN = struct.Struct("<QQ16sII?")
_REFUSED = struct.Struct("<QQII?")


# --- rounds ---


def encode_round(index: int, term: int, parent: Digest, policy: Policy, offset: int, messages: Sequence[Message]) -> Round:
    """Make a round of messages that are sorted already and whose sessions' numbers have no gaps."""
    names = list(map(_session_of, messages))
    lengths_of = Counter(names)
    first_of = dict(zip(reversed(names), map(_seq_of, reversed(messages)), strict=True))
    sessions = tuple(SessionSpan(name, first_of[name], length) for name, length in lengths_of.items())
    place_of = dict(zip(lengths_of, range(len(lengths_of)), strict=True))
    times, nodes = array("q", map(_time_of, messages)), array("H", map(_node_of, messages))
    session_of = array("I", map(place_of.__getitem__, names))
    texts = list(map(_block_of, messages))
    lengths = array("I", map(len, texts))
    blocks = b"".join(texts)
    size = len(blocks) + len(SEPARATOR) if messages else 0
    head = _ROUND.pack(index, term, parent, policy, offset, size, len(sessions), len(times))
    encoded = b"".join((head, *map(_span_bytes, sessions), *map(column_bytes, (times, nodes, session_of, lengths)), blocks))
    return Round(
        index, term, parent, policy, offset, size, sessions, times, nodes, session_of, lengths, blocks,
        encoded, digest_of(encoded),
    )  # fmt: skip


def decode_round(encoded: bytes) -> Round:
    """Read one round and check that its parts fit together.

    Raises: PeerProtocolError.
    """
    reader = Reader(encoded)
    index, term, parent, policy, offset, size, session_count, count = reader.take(_ROUND)
    if count > MAX_ROUND_MESSAGES or policy not in (0, 1):
        raise PeerProtocolError("a round's header is out of bounds")
    sessions = []
    for _ in range(session_count):
        name = reader.text()
        sessions.append(SessionSpan(name, *reader.take(_SPAN)))
    times, nodes = reader.column("q", count), reader.column("H", count)
    session_of, lengths = reader.column("I", count), reader.column("I", count)
    blocks = reader.rest()
    tally = Counter(session_of)
    whole = (
        sum(lengths) == len(blocks)
        and size == (len(blocks) + len(SEPARATOR) if count else 0)
        and len(tally) == session_count
        and all(tally[place] == span.length > 0 and _numbers_fit(span) for place, span in enumerate(sessions))
        and (not count or (max(nodes) < MAX_NODES and min(times) >= 0 and max(times) <= MAX_TIME and min(lengths) > 0))
    )
    if not whole or len({span.session for span in sessions}) != session_count:
        raise PeerProtocolError(f"round {index} contradicts itself")
    return Round(
        index, term, parent, Policy(policy), offset, size, tuple(sessions), times, nodes, session_of, lengths, blocks,
        encoded, digest_of(encoded),
    )  # fmt: skip


def digest_of(encoded: bytes) -> Digest:
    """The digest of a round; it covers the parent's digest, so it covers the whole log so far (rule 16)."""
    return hashlib.blake2b(encoded, digest_size=DIGEST_SIZE).digest()


def messages_of(round_: Round) -> Iterator[Message]:
    """The messages of a round, one by one, in order."""
    expected = [span.first for span in round_.sessions]
    ends = accumulate(round_.lengths)
    for time, node, place, length, end in zip(
        round_.times, round_.nodes, round_.session_of, round_.lengths, ends, strict=True
    ):
        yield Message(time, node, round_.sessions[place].session, expected[place], round_.blocks[end - length : end])
        expected[place] += 1


def rendered(round_: Round) -> bytes:
    """The bytes of a round in the shared file."""
    return round_.blocks + SEPARATOR if round_.size else b""


# --- frames ---


class Frame(NamedTuple):
    """One message of one peer."""

    sender: int
    message: PeerMessage


def encode_frame(tag: bytes, sender: int, message: PeerMessage) -> bytes:
    """One frame: header, then the message; the checksum covers both."""
    kind, encode = _ENCODERS[type(message)]
    return _frame(tag, sender, kind, encode(message))


def encode_hello(tag: bytes, sender: int) -> bytes:
    """The first frame on each connection: it says who speaks and nothing else."""
    return _frame(tag, sender, HELLO, b"")


def read_header(data: bytes, at: int, tag: bytes) -> tuple[int, int, int]:
    """Kind, sender and number of payload bytes of the frame that starts at `at`, checked before any byte of it is awaited.

    Raises: PeerProtocolError for a wrong magic, version, cluster, type or length (rule 51).
    """
    magic, version, kind, found, sender, length, _ = FRAME.unpack_from(data, at)
    if magic != MAGIC:
        raise PeerProtocolError("not a votesync peer (wrong magic)")
    if version != PROTOCOL_VERSION:
        raise PeerProtocolError(f"speaks version {version}, this node speaks {PROTOCOL_VERSION}")
    if found != tag:
        raise PeerProtocolError("belongs to another cluster")
    if kind not in _DECODERS and kind != HELLO:
        raise PeerProtocolError(f"unknown message type {kind}")
    if length > MAX_FRAME:
        raise PeerProtocolError(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
    return kind, sender, length


def read_message(data: bytes, at: int, stop: int) -> PeerMessage | None:
    """The message of the whole frame data[at:stop], whose header `read_header` has checked; None for a hello.

    Raises: PeerProtocolError.
    """
    payload = data[at + FRAME.size : stop]
    if zlib.crc32(payload, zlib.crc32(data[at : at + _HEAD.size])) != _U32.unpack_from(data, at + _HEAD.size)[0]:
        raise PeerProtocolError("a frame's checksum is wrong")
    kind = data[at + _KIND_AT]
    if kind == HELLO:
        if payload:
            raise PeerProtocolError("a hello carries bytes")
        return None
    try:
        return _DECODERS[kind](payload)
    except (ValueError, struct.error) as error:
        raise PeerProtocolError(f"a frame cannot be read: {error}") from error


def decode_frame(data: bytes, tag: bytes) -> Frame:
    """Read exactly one frame that carries a message.

    Raises: PeerProtocolError.
    """
    if len(data) < FRAME.size:
        raise PeerProtocolError("cut short")
    _, sender, length = read_header(data, 0, tag)
    if len(data) != FRAME.size + length:
        raise PeerProtocolError("cut short or bytes are left over")
    message = read_message(data, 0, len(data))
    if message is None:
        raise PeerProtocolError("a hello where a message is due")
    return Frame(sender, message)


def _frame(tag: bytes, sender: int, kind: int, payload: bytes) -> bytes:
    assert len(payload) <= MAX_FRAME, f"a frame of type {kind} with {len(payload)} bytes"
    head = _HEAD.pack(MAGIC, PROTOCOL_VERSION, kind, tag, sender, len(payload))
    return head + _U32.pack(zlib.crc32(payload, zlib.crc32(head))) + payload


def _numbers_fit(span: SessionSpan) -> bool:
    return 0 < span.first <= span.first + span.length - 1 <= MAX_SEQ


def _span_bytes(span: SessionSpan) -> bytes:
    return name_bytes(span.session) + _SPAN.pack(span.first, span.length)


def _encode_ballot(ballot: Ballot) -> bytes:
    head = _BALLOT.pack(
        ballot.term, ballot.request, ballot.prev_index, ballot.prev_term, ballot.prev_digest, ballot.decided, ballot.written,
        ballot.synced, len(ballot.rounds),
    )  # fmt: skip
    return head + pack_rounds(ballot.rounds)


def pack_rounds(rounds: Iterable[Round]) -> bytes:
    """Rounds one behind the other, each with its length in front."""
    return b"".join(part for round_ in rounds for part in (_U32.pack(len(round_.encoded)), round_.encoded))


def _unpack_rounds(reader: Reader, count: int) -> tuple[Round, ...]:
    rounds = []
    for _ in range(count):
        (length,) = reader.take(_U32)
        rounds.append(decode_round(reader.chunk(length)))
    reader.end()
    return tuple(rounds)


def unpack_rounds(data: bytes, count: int) -> tuple[Round, ...]:
    """The rounds that `pack_rounds` wrote.

    Raises: PeerProtocolError.
    """
    return _unpack_rounds(Reader(data), count)


def _decode_ballot(payload: bytes) -> Ballot:
    reader = Reader(payload)
    term, request, prev_index, prev_term, prev_digest, decided, written, synced, count = reader.take(_BALLOT)
    rounds = _unpack_rounds(reader, count)
    return Ballot(term, request, prev_index, prev_term, prev_digest, decided, written, synced, rounds)


def _encode_forward(forward: Forward) -> bytes:
    messages = forward.messages
    sessions = list(map(_session_of, messages))
    names = dict.fromkeys(sessions)
    place_of = dict(zip(names, range(len(names)), strict=True))
    texts = list(map(_block_of, messages))
    columns = (
        array("q", map(_time_of, messages)), array("H", map(_node_of, messages)),
        array("I", map(place_of.__getitem__, sessions)), array("Q", map(_seq_of, messages)), array("I", map(len, texts)),
    )  # fmt: skip
    head = [_BATCH.pack(forward.term, len(names), len(messages)), *map(name_bytes, names)]
    return b"".join((*head, *map(column_bytes, columns), *texts))


def _decode_forward(payload: bytes) -> Forward:
    reader = Reader(payload)
    term, name_count, count = reader.take(_BATCH)
    names = [reader.text() for _ in range(name_count)]
    times, nodes, places = reader.column("q", count), reader.column("H", count), reader.column("I", count)
    seqs, lengths, blocks = reader.column("Q", count), reader.column("I", count), reader.rest()
    fits = not count or (
        max(places) < name_count
        and max(nodes) < MAX_NODES
        and 0 <= min(times) <= max(times) <= MAX_TIME
        and 0 < min(seqs) <= max(seqs) <= MAX_SEQ
        and min(lengths) > 0
    )
    if sum(lengths) != len(blocks) or not fits:
        raise PeerProtocolError("forwarded messages contradict themselves")
    ends = list(accumulate(lengths, initial=0))
    texts = map(blocks.__getitem__, map(slice, ends, ends[1:]))
    return Forward(term, tuple(map(_message, zip(times, nodes, map(names.__getitem__, places), seqs, texts, strict=True))))


def _encode_grant(grant: Grant) -> bytes:
    absent = sum(1 << node for node in grant.absent)
    return _GRANT.pack(grant.term, grant.round, grant.digest, grant.turn, grant.attempt, absent)


def _decode_grant(payload: bytes) -> Grant:
    term, round_, digest, turn, attempt, bits = _GRANT.unpack(payload)
    return Grant(term, round_, digest, turn, attempt, frozenset(node for node in range(MAX_NODES) if bits >> node & 1))


def _decode_vote(payload: bytes) -> Vote:
    term, request, index, reason = _VOTE.unpack(payload)
    return Vote(term, request, index, No(reason))


_ENCODERS: dict[type, tuple[int, Callable[..., bytes]]] = {
    VoteRequest: (1, lambda m: _VOTE_REQUEST.pack(m.term, m.last_term, m.last_index, m.pre)),
    VoteReply: (2, lambda m: _VOTE_REPLY.pack(m.term, m.asked, m.pre, m.granted)),
    Ballot: (3, _encode_ballot),
    Vote: (4, lambda m: _VOTE.pack(m.term, m.request, m.index, m.reason)),
    Forward: (5, _encode_forward),
    Grant: (6, _encode_grant),
    Written: (7, lambda m: _WRITTEN.pack(m.term, m.round, m.digest, m.turn, m.attempt, m.last)),
    TurnRefused: (8, lambda m: _REFUSED.pack(m.term, m.round, m.turn, m.attempt, m.short)),
}
_DECODERS: dict[int, Callable[[bytes], PeerMessage]] = {
    1: lambda payload: VoteRequest(*_VOTE_REQUEST.unpack(payload)),
    2: lambda payload: VoteReply(*_VOTE_REPLY.unpack(payload)),
    3: _decode_ballot,
    4: _decode_vote,
    5: _decode_forward,
    6: _decode_grant,
    7: lambda payload: Written(*_WRITTEN.unpack(payload)),
    8: lambda payload: TurnRefused(*_REFUSED.unpack(payload)),
}
