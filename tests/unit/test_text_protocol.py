"""The seed's text protocol, without sockets: one message at a time, one answer a request, never doubled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.client_port import MAX_LINE, Replies
from node_runtime.errors import ClientProtocolError
from node_runtime.messages import MAX_TIME, Message
from node_runtime.text_protocol import TextTalk, read_message, read_time


class Desk:
    """The node and the connection of one conversation; the test decides."""

    def __init__(self) -> None:
        self.submitted: list[Message] = []
        self.replies: list[str] = []
        self.is_closed = False
        self.room = True
        self.leader = True
        self.left = b""
        self.talk = TextTalk("t1-ab-1", 1, self, self)

    def submit(self, messages: list[Message], client: Replies) -> None:
        assert client is self.talk
        self.submitted += messages

    def last_seq(self, session: str) -> int:
        return 0

    def can_take(self) -> bool:
        return self.room

    def has_leader(self) -> bool:
        return self.leader

    def status(self) -> dict[str, Any]:
        return {}

    def on_refused(self, port: str, reason: str) -> None:
        assert port == "client"

    def reply(self, text: str) -> None:
        self.replies.append(text)

    def refuse(self, text: str) -> None:
        self.reply(text)
        self.is_closed = True

    def again(self) -> None:
        self.say(b"")

    def say(self, data: bytes) -> None:
        self.left = self.talk.feed(self.left + data)

    def decide(self) -> None:
        message = self.submitted[-1]
        self.talk.committed(message.session, [(message.seq, 1, 0)])

    def expire(self) -> None:
        message = self.submitted[-1]
        self.talk.failed(message.session, message.seq, "no_quorum", "", True)


def seed(number: int, time: str = "368186") -> bytes:
    return f"client/id{{2}}/timestamp{{{time}}}/message{{client 2 time: {time} - message: {number}}}".encode()


def keys(messages: list[Message]) -> list[tuple[str, int]]:
    return [(m.session, m.seq) for m in messages]


def test_the_documented_message() -> None:
    desk = Desk()
    desk.say(seed(3))
    assert desk.replies == []
    desk.decide()
    assert desk.replies == ["committed"]
    block = b"Container 1 \nMensagem: client 2 time: 368186 - message: 3\n"
    assert desk.submitted == [Message(368186, 1, "t1-ab-1", 1, block)]


def test_each_connection_numbers_its_messages() -> None:
    desk = Desk()
    for number in range(3):
        desk.say(seed(number))
        desk.decide()
    assert keys(desk.submitted) == [("t1-ab-1", 1), ("t1-ab-1", 2), ("t1-ab-1", 3)]
    assert desk.replies == ["committed"] * 3


def test_the_same_text_twice_is_two_messages() -> None:
    desk = Desk()
    for _ in range(2):
        desk.say(seed(1))
        desk.decide()
    assert keys(desk.submitted) == [("t1-ab-1", 1), ("t1-ab-1", 2)], "identity is never the text (rule 35)"


@pytest.mark.parametrize("trouble", ["leader", "room"])
def test_sleep_when_it_cannot_be_taken_now(trouble: str) -> None:
    desk = Desk()
    setattr(desk, trouble, False)
    desk.say(seed(1))
    assert (desk.replies, desk.submitted) == (["sleep"], [])
    setattr(desk, trouble, True)
    desk.say(seed(1))
    desk.decide()
    assert desk.replies == ["sleep", "committed"]
    assert keys(desk.submitted) == [("t1-ab-1", 1)]


def test_promise_2_a_message_sent_again_after_sleep_keeps_its_number() -> None:
    desk = Desk()
    desk.say(seed(1))
    desk.expire()
    desk.say(seed(1))
    assert keys(desk.submitted) == [("t1-ab-1", 1)] * 2
    desk.decide()
    desk.say(seed(2))
    desk.decide()
    assert desk.replies == ["sleep", "committed", "committed"]
    assert keys(desk.submitted)[-1] == ("t1-ab-1", 2)


def test_a_late_commit_is_no_answer_to_a_client_that_sleeps() -> None:
    desk = Desk()
    desk.say(seed(1))
    desk.expire()
    desk.decide()
    assert desk.replies == ["sleep"], "it would be taken for the answer to the next request"
    desk.say(seed(1))
    assert desk.replies == ["sleep", "committed"]
    assert len(desk.submitted) == 1
    desk.say(seed(2))
    assert keys(desk.submitted)[-1] == ("t1-ab-1", 2)


def test_a_message_given_up_blocks_none_behind_it() -> None:
    desk = Desk()
    desk.say(seed(1))
    desk.expire()
    desk.say(seed(2))
    assert keys(desk.submitted)[-1] == ("t1-ab-1.1", 1)
    desk.talk.committed("t1-ab-1", [(1, 1, 0)])
    assert desk.replies == ["sleep"], "the answer to the old one is not the answer to the new one"
    desk.decide()
    assert desk.replies == ["sleep", "committed"]


def test_messages_in_one_segment_are_taken_one_after_the_other() -> None:
    desk = Desk()
    desk.say(seed(1) + seed(2) + b"\n" + seed(3) + b"\r\n")
    for count in (1, 2, 3):
        assert len(desk.submitted) == count
        desk.decide()
    assert desk.replies == ["committed"] * 3
    assert [m.block[-2:] for m in desk.submitted] == [b"1\n", b"2\n", b"3\n"]


@given(st.integers(1, 71))
def test_a_message_cut_in_two_is_one(at: int) -> None:
    desk = Desk()
    data = seed(1)
    desk.say(data[:at])
    assert desk.submitted == []
    desk.say(data[at:])
    assert len(desk.submitted) == 1
    assert not desk.is_closed


@pytest.mark.parametrize("data", [b"client/id{2}/timestamp{1}/message{}", b"", b"\n"])
def test_an_empty_message_is_ignored(data: bytes) -> None:
    desk = Desk()
    desk.say(data)
    assert (desk.replies, desk.submitted, desk.is_closed) == ([], [], False)
    desk.say(seed(1))
    assert keys(desk.submitted) == [("t1-ab-1", 1)]


@pytest.mark.parametrize("body", ["a}b", "{}", "}", "é {x} /message{y", "client/id{1}", " "])
def test_the_body_is_taken_as_it_is(body: str) -> None:
    desk = Desk()
    desk.say(f"client/id{{2}}/timestamp{{5}}/message{{{body}}}".encode())
    assert desk.submitted[0].block == f"Container 1 \nMensagem: {body}\n".encode()


@pytest.mark.parametrize(
    ("text", "time"),
    [("0", 0), ("638613.5", 638613), ("638613.", 638613), ("1e3", 1000), ("5.5e-05", 0), (str(MAX_TIME), MAX_TIME)],
)
def test_a_timestamp_may_be_a_decimal(text: str, time: int) -> None:
    assert read_time(text) == time


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "-1", "+1", "1e99", "٣", "1_000", str(MAX_TIME + 1), "9" * 30, "0x1", " 1", "1e"]
)
def test_rule_50_what_is_no_time(text: str) -> None:
    with pytest.raises(ClientProtocolError):
        read_time(text)


@pytest.mark.parametrize(
    "data",
    [b"client/hello\n", b"client/id{2}/timestamp{x}/message{y}", b"client/id{2}/timestamp{1}/message{a\nContainer 0 }",
     b"client/id{2}/timestamp{1}/message{\xff}", b"client/id{2}/timestamp{1}/message{" + b"x" * 20_000 + b"}",
     b"client/id{2}/timestamp{1}/message{" + b"x" * MAX_LINE],
)  # fmt: skip
def test_garbage_gets_one_error_line_and_the_end(data: bytes) -> None:
    desk = Desk()
    desk.say(data)
    assert desk.is_closed
    assert len(desk.replies) == 1
    assert desk.replies[0].startswith("error: ")
    assert desk.submitted == []


@given(st.binary(max_size=100))
def test_any_body_is_one_block_or_refused(body: bytes) -> None:
    try:
        _, text = read_message(b"client/id{2}/timestamp{1}/message{" + body + b"}")
    except ClientProtocolError:
        return
    assert text.encode() == body
    assert len(text.splitlines()) <= 1


@given(st.lists(st.sampled_from([seed(1), b"client/", b"id{2}", b"}", b"\n", b"/message{", b"x", b"\xff"]), max_size=12))
def test_any_bytes_raise_nothing(pieces: list[bytes]) -> None:
    desk = Desk()
    for piece in pieces:
        if not desk.is_closed:
            desk.say(piece)
            if desk.talk.is_waiting():
                desk.decide()
