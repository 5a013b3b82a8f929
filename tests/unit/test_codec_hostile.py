"""Whatever is not a valid frame of this cluster is refused with one class of error, and costs no memory (rules 38, 51)."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime import codec
from node_runtime.errors import PeerProtocolError
from node_runtime.messages import (
    GENESIS,
    MAX_NODES,
    MAX_SEQ,
    MAX_TIME,
    Ballot,
    Forward,
    Grant,
    Message,
    No,
    PeerMessage,
    Policy,
    Round,
    TurnRefused,
    Vote,
    VoteReply,
    VoteRequest,
    Written,
)

TAG = b"cluster0"
HEADER = codec.FRAME.size


def small_round(messages: int = 3) -> Round:
    rows = [Message(5 + n, n, f"c{n % 2}", 1 + n // 2, b"Container 0 \nMensagem: x\n") for n in range(messages)]
    return codec.encode_round(1, 1, GENESIS, Policy.TURNS, 0, rows)


EVERY_KIND: list[PeerMessage] = [
    VoteRequest(1, 2, 3, True),
    VoteReply(1, 2, False, True),
    Ballot(1, 2, 3, 4, GENESIS, 5, 6, 7, (small_round(), small_round(0))),
    Vote(1, 2, 3, No.GAP),
    Forward(1, tuple(codec.messages_of(small_round()))),
    Grant(1, 2, GENESIS, 3, 4, frozenset({0, 63})),
    Written(1, 2, GENESIS, 3, 4, True),
    TurnRefused(1, 2, 3, 4, True),
]
each_kind = pytest.mark.parametrize("message", EVERY_KIND, ids=lambda message: type(message).__name__)


def framed(kind: int, payload: bytes) -> bytes:
    """A frame with a right checksum around any payload: what a peer with a bug would send."""
    return codec._frame(TAG, 1, kind, payload)


def kind_of(message: PeerMessage) -> int:
    return codec.encode_frame(TAG, 1, message)[3]


@each_kind
def test_rule_51_every_truncation_of_a_frame_is_refused(message: PeerMessage) -> None:
    frame = codec.encode_frame(TAG, 1, message)
    for length in range(len(frame)):
        with pytest.raises(PeerProtocolError):
            codec.decode_frame(frame[:length], TAG)
    with pytest.raises(PeerProtocolError):
        codec.decode_frame(frame + b"\0", TAG)


@each_kind
def test_rule_51_a_payload_of_the_wrong_length_is_refused_although_its_checksum_is_right(message: PeerMessage) -> None:
    payload = codec.encode_frame(TAG, 1, message)[HEADER:]
    for length in range(len(payload)):
        with pytest.raises(PeerProtocolError):
            codec.decode_frame(framed(kind_of(message), payload[:length]), TAG)
    with pytest.raises(PeerProtocolError):
        codec.decode_frame(framed(kind_of(message), payload + b"\0"), TAG)


@each_kind
def test_rule_51_every_flipped_bit_is_noticed(message: PeerMessage) -> None:
    frame = codec.encode_frame(TAG, 1, message)
    for place in range(len(frame)):
        for bit in range(8):
            bad = bytearray(frame)
            bad[place] ^= 1 << bit
            with pytest.raises(PeerProtocolError):
                codec.decode_frame(bytes(bad), TAG)


def test_rule_51_another_cluster_version_magic_or_type_is_refused_by_the_header_alone() -> None:
    header = codec.encode_frame(TAG, 1, Vote(1, 2, 3, No.YES))[:HEADER]
    cases = [
        (header, b"cluster1", "another cluster"),
        (header[:2] + b"\2" + header[3:], TAG, "version 2"),
        (b"GE" + header[2:], TAG, "magic"),
        (header[:3] + b"\x63" + header[4:], TAG, "type 99"),
    ]
    for data, tag, words in cases:
        with pytest.raises(PeerProtocolError, match=words):
            codec.read_header(data, 0, tag)


@given(st.integers(codec.MAX_FRAME + 1, 2**32 - 1))
def test_rule_51_a_length_over_the_limit_is_refused_by_the_header_alone(length: int) -> None:
    header = codec.FRAME.pack(codec.MAGIC, codec.PROTOCOL_VERSION, 4, TAG, 1, length, 0)
    with pytest.raises(PeerProtocolError, match="limit"):
        codec.read_header(header, 0, TAG)


def test_a_hello_with_a_payload_and_a_hello_as_a_message_are_refused() -> None:
    loud = framed(codec.HELLO, b"x")
    with pytest.raises(PeerProtocolError):
        codec.read_message(loud, 0, len(loud))
    with pytest.raises(PeerProtocolError):
        codec.decode_frame(codec.encode_hello(TAG, 1), TAG)


@given(st.binary(max_size=300))
def test_rule_38_any_bytes_are_a_round_or_an_error_of_one_class(data: bytes) -> None:
    for read in (codec.decode_round, lambda data: codec.unpack_rounds(data, 2)):
        with pytest.raises(PeerProtocolError):
            read(data)


@given(st.integers(1, 8), st.binary(max_size=200))
def test_rule_38_any_payload_is_a_message_or_an_error_of_one_class(kind: int, payload: bytes) -> None:
    try:
        frame = codec.decode_frame(framed(kind, payload), TAG)
    except PeerProtocolError:
        return
    assert codec.decode_frame(codec.encode_frame(TAG, 1, frame.message), TAG) == frame


@given(st.data())
def test_rule_38_a_round_with_any_bytes_changed_is_still_safe_to_walk_or_refused(data: st.DataObject) -> None:
    """A peer with a bug: the frame is whole and its checksum right, the round inside is anything."""
    bad = bytearray(small_round().encoded)
    for place in data.draw(st.lists(st.integers(0, len(bad) - 1), min_size=1, max_size=4)):
        bad[place] = data.draw(st.integers(0, 255))
    try:
        round_ = codec.decode_round(bytes(bad))
    except PeerProtocolError:
        return
    messages = list(codec.messages_of(round_))
    assert len(messages) == round_.count
    again = codec.encode_round(round_.index, round_.term, round_.parent, round_.policy, round_.offset, messages)
    assert (again.blocks, again.times, again.nodes, again.size) == (round_.blocks, round_.times, round_.nodes, round_.size)


def edited(round_: Round, at: int, form: str, *values: int) -> bytes:
    bad = bytearray(round_.encoded)
    struct.pack_into(form, bad, at, *values)
    return bytes(bad)


ROUND_HEAD = 55  # bytes of a round's header: index, term, parent, policy, offset, size, sessions, count


def test_the_header_of_a_round_is_as_long_as_these_tests_take_it_to_be() -> None:
    assert len(small_round(0).encoded) == ROUND_HEAD


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda one: edited(one, 32, "<B", 2), id="unknown policy"),
        pytest.param(lambda one: edited(one, 41, "<Q", one.size + 1), id="wrong size"),
        pytest.param(lambda one: edited(one, 49, "<H", 0), id="no sessions"),
        pytest.param(lambda one: edited(one, 51, "<I", 2**32 - 1), id="four milliard messages"),
        pytest.param(lambda one: edited(one, 51, "<I", 0), id="no messages but blocks"),
        pytest.param(lambda one: edited(one, ROUND_HEAD, "<B", 0), id="a session without a name"),
        pytest.param(lambda one: edited(one, ROUND_HEAD, "<B", 65), id="a session name that is too long"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 1, "<B", 200), id="a session name that is not ASCII"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 3, "<Q", 0), id="a sequence number 0"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 3, "<Q", MAX_SEQ), id="sequence numbers beyond the limit"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 11, "<I", 3), id="a wrong count"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 17, "<B", ord("0")), id="one session twice"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 30, "<q", -1), id="a time before 0"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 30, "<q", MAX_TIME + 1), id="a time beyond the limit"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 54, "<H", MAX_NODES), id="a node beyond the limit"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 60, "<I", 2), id="a session that is not there"),
        pytest.param(lambda one: edited(one, ROUND_HEAD + 72, "<II", 0, 50), id="a message without a block"),
        pytest.param(lambda one: one.encoded + b"x", id="bytes left over"),
    ],
)
def test_rule_38_a_round_that_contradicts_itself_is_refused(spoil: Callable[[Round], bytes]) -> None:
    round_ = small_round()
    assert codec.decode_round(round_.encoded) == round_
    with pytest.raises(PeerProtocolError):
        codec.decode_round(spoil(round_))


def test_rule_38_a_session_that_counts_nothing_cannot_hide_a_place_that_does_not_exist() -> None:
    """One session with count 0 and a message that points at session 5: each tally alone looks right."""
    one = codec.encode_round(1, 1, GENESIS, Policy.TURNS, 0, [Message(5, 0, "c0", 1, b"block")])
    bad = bytearray(one.encoded)
    struct.pack_into("<I", bad, ROUND_HEAD + 11, 0)  # the session's count
    struct.pack_into("<I", bad, ROUND_HEAD + 15 + 8 + 2, 5)  # the message's session
    with pytest.raises(PeerProtocolError):
        codec.decode_round(bytes(bad))


@pytest.mark.parametrize(
    "changes",
    [{"time": -1}, {"time": MAX_TIME + 1}, {"node": MAX_NODES}, {"seq": 0}, {"seq": MAX_SEQ + 1}, {"block": b""}],
    ids=str,
)
def test_rule_50_forwarded_messages_out_of_bounds_are_refused(changes: dict[str, int | bytes]) -> None:
    good = Message(5, 1, "c1", 1, b"block")
    for message, fits in ((good, True), (good._replace(**changes), False)):  # type: ignore[arg-type]
        frame = codec.encode_frame(TAG, 1, Forward(1, (good, message)))
        if fits:
            codec.decode_frame(frame, TAG)
        else:
            with pytest.raises(PeerProtocolError):
                codec.decode_frame(frame, TAG)


def test_rule_51_hostile_counts_take_no_memory() -> None:
    ballot = codec._BALLOT.pack(1, 2, 3, 4, GENESIS, 5, 6, 7, 2**32 - 1)
    forward = codec._BATCH.pack(1, 65535, 2**32 - 1) + b"\1a" * 65535
    round_ = codec._ROUND.pack(1, 1, GENESIS, 0, 0, 0, 0, codec.MAX_ROUND_MESSAGES)
    tracemalloc.start()
    try:
        for kind, payload in ((3, ballot), (3, ballot + codec._U32.pack(2**32 - 1)), (5, forward), (3, ballot + round_)):
            with pytest.raises(PeerProtocolError):
                codec.decode_frame(framed(kind, payload), TAG)
        assert tracemalloc.get_traced_memory()[1] < 20 * 1024 * 1024
    finally:
        tracemalloc.stop()
