"""What is encoded comes back equal, and one valid frame is the only reading of its bytes (rule 51)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime import codec
from node_runtime.errors import PeerProtocolError
from node_runtime.messages import (
    DIGEST_SIZE,
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
from node_runtime.records import native_body, render_block, render_round

TAG = b"cluster0"
U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
NODES = st.integers(0, MAX_NODES - 1)
DIGESTS = st.binary(min_size=DIGEST_SIZE, max_size=DIGEST_SIZE)
SESSIONS = st.text("abcXYZ019_.:-", min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)
# the first bytes of the digest of one frame of each kind
FIXED = {
    "VoteRequest": "907c8fad",
    "VoteReply": "e60f087c",
    "Ballot": "2c68f825",
    "Vote": "bb0a2272",
    "Forward": "48ee0d07",
    "Grant": "90f7bb01",
    "Written": "c2ef377b",
    "TurnRefused": "4246fe2d",
}


@st.composite
def messages_in_order(draw: st.DrawFn, most: int = 12) -> list[Message]:
    """Messages sorted for a round; each session's numbers have no gaps and ascend with the order."""
    rows = draw(st.lists(st.tuples(st.integers(0, MAX_TIME), NODES, SESSIONS, TEXTS), max_size=most))
    first = draw(st.integers(1, MAX_SEQ - most))
    given_out: dict[str, int] = {}
    messages = []
    for time, node, session, text in sorted(rows):
        seq = given_out[session] = given_out.get(session, first - 1) + 1
        messages.append(Message(time, node, session, seq, render_block(node, native_body(session, time, text))))
    return messages


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    messages = draw(messages_in_order())
    policy = draw(st.sampled_from(Policy))
    return codec.encode_round(draw(U64), draw(U64), draw(DIGESTS), policy, draw(U64), messages)


PEER_MESSAGES: st.SearchStrategy[PeerMessage] = st.one_of(
    st.builds(VoteRequest, U64, U64, U64, st.booleans()),
    st.builds(VoteReply, U64, U64, st.booleans(), st.booleans()),
    st.builds(Ballot, U64, U64, U64, U64, DIGESTS, U64, U64, U64, st.lists(rounds(), max_size=3).map(tuple)),
    st.builds(Vote, U64, U64, U64, st.sampled_from(No)),
    st.builds(Forward, U64, messages_in_order().map(tuple)),
    st.builds(Grant, U64, U64, DIGESTS, U32, U32, st.frozensets(NODES)),
    st.builds(Written, U64, U64, DIGESTS, U32, U32, st.booleans()),
    st.builds(TurnRefused, U64, U64, U32, U32, st.booleans()),
)


@given(NODES, PEER_MESSAGES)
def test_every_message_comes_back_equal(sender: int, message: PeerMessage) -> None:
    frame = codec.encode_frame(TAG, sender, message)
    assert codec.decode_frame(frame, TAG) == codec.Frame(sender, message)


@given(messages_in_order())
def test_a_round_gives_its_messages_back_and_renders_as_they_do(messages: list[Message]) -> None:
    encoded = codec.encode_round(7, 3, GENESIS, Policy.TURNS, 100, messages)
    decoded = codec.decode_round(encoded.encoded)
    assert decoded == encoded
    assert list(codec.messages_of(decoded)) == messages
    assert codec.rendered(decoded) == render_round(message.block for message in messages)
    assert decoded.end == 100 + len(codec.rendered(decoded))


@given(st.lists(rounds(), max_size=4))
def test_packed_rounds_come_back_and_their_number_counts(several: list[Round]) -> None:
    packed = codec.pack_rounds(several)
    assert codec.unpack_rounds(packed, len(several)) == tuple(several)
    with pytest.raises(PeerProtocolError):
        codec.unpack_rounds(packed, len(several) + 1)
    if several:
        with pytest.raises(PeerProtocolError):
            codec.unpack_rounds(packed, len(several) - 1)


@given(DIGESTS, DIGESTS)
def test_rule_16_the_digest_of_a_round_covers_its_parent(one: bytes, other: bytes) -> None:
    first = codec.encode_round(2, 1, one, Policy.TURNS, 0, [])
    second = codec.encode_round(2, 1, other, Policy.TURNS, 0, [])
    assert (first.digest == second.digest) == (one == other)


def test_a_hello_says_who_speaks_and_carries_no_message() -> None:
    hello = codec.encode_hello(TAG, 3)
    assert codec.read_header(hello, 0, TAG) == (codec.HELLO, 3, 0)
    assert codec.read_message(hello, 0, len(hello)) is None


def test_frames_are_read_where_they_lie_in_a_longer_string() -> None:
    frame = codec.encode_frame(TAG, 1, Vote(1, 2, 3, No.YES))
    data = b"before" + frame + b"after"
    assert codec.read_header(data, 6, TAG) == (4, 1, len(frame) - codec.FRAME.size)
    assert codec.read_message(data, 6, 6 + len(frame)) == Vote(1, 2, 3, No.YES)


def test_the_encoding_of_each_kind_is_fixed() -> None:
    """The wire format is a promise between versions: a change here asks for a new PROTOCOL_VERSION."""
    block = render_block(1, native_body("c1", 5, "x"))
    round_ = codec.encode_round(2, 1, GENESIS, Policy.TURNS, 0, [Message(5, 1, "c1", 1, block)])
    frames = {
        type(message).__name__: codec.encode_frame(TAG, 1, message)
        for message in (
            VoteRequest(1, 2, 3, True),
            VoteReply(1, 2, False, True),
            Ballot(1, 2, 3, 4, GENESIS, 5, 6, 7, (round_,)),
            Vote(1, 2, 3, No.GAP),
            Forward(1, (Message(5, 1, "c1", 1, block),)),
            Grant(1, 2, GENESIS, 3, 4, frozenset({0, 63})),
            Written(1, 2, GENESIS, 3, 4, True),
            TurnRefused(1, 2, 3, 4, True),
        )
    }
    assert {name: codec.digest_of(frame).hex()[:8] for name, frame in frames.items()} == FIXED
