"""One conversation in JSON Lines, without sockets: the order of replies, joined acks, room, garbage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node_runtime.client_port import MAX_LINE, Replies
from node_runtime.messages import Message
from node_runtime.native_protocol import NativeTalk


class Desk:
    """The node and the connection of one conversation; answers when the test says so."""

    def __init__(self) -> None:
        self.submitted: list[Message] = []
        self.replies: list[dict[str, Any]] = []
        self.is_closed = False
        self.room = True
        self.leader = True
        self.talk = NativeTalk(1, self, self)

    def submit(self, messages: list[Message], client: Replies) -> None:
        assert client is self.talk
        self.submitted += messages

    def last_seq(self, session: str) -> int:
        return 7

    def can_take(self) -> bool:
        return self.room

    def has_leader(self) -> bool:
        return self.leader

    def status(self) -> dict[str, Any]:
        return {"role": "leader"}

    def on_refused(self, port: str, reason: str) -> None:
        assert port == "client"

    def reply(self, text: str) -> None:
        assert text.endswith("\n")
        self.replies.append(json.loads(text))

    def refuse(self, text: str) -> None:
        self.reply(text)
        self.is_closed = True

    def again(self) -> None: ...

    def say(self, *requests: dict[str, Any]) -> bytes:
        return self.talk.feed(b"".join(json.dumps(request).encode() + b"\n" for request in requests))

    def heard(self) -> list[Any]:
        """Each reply's seq, the wrong ones negative; then forget them."""
        replies, self.replies = self.replies, []
        return [reply["seq"] if reply["ok"] else -reply["seq"] for reply in replies]


def append(seq: int, text: str = "x", session: str = "c2") -> dict[str, Any]:
    return {"op": "append", "session": session, "seq": seq, "time": seq, "message": text}


def batch(seq: int, count: int) -> dict[str, Any]:
    return {"op": "append", "session": "c2", "seq": seq, "messages": [[1, "x"]] * count}


def rows(first: int, last: int, index: int = 12) -> list[tuple[int, int | None, int | None]]:
    return [(seq, index, seq * 100) for seq in range(first, last + 1)]


def test_the_ack_is_the_documented_one() -> None:
    desk = Desk()
    desk.say(append(3))
    desk.talk.committed("c2", [(3, 12, 4410)])
    assert desk.replies == [{"ok": True, "session": "c2", "seq": 3, "round": 12, "offset": 4410}]
    assert not desk.talk.is_waiting()


def test_an_old_duplicate_is_acknowledged_and_named() -> None:
    desk = Desk()
    desk.say(append(3))
    desk.talk.committed("c2", [(3, None, None)])
    assert desk.replies == [{"ok": True, "session": "c2", "seq": 3, "round": None, "offset": None, "duplicate": True}]


def test_single_appends_get_one_reply_each_and_a_batch_one_line() -> None:
    desk = Desk()
    desk.say(append(1), append(2), batch(3, 5), append(8))
    desk.talk.committed("c2", rows(1, 8))
    assert [(r["seq"], r.get("first")) for r in desk.replies] == [(1, None), (2, None), (7, 3), (8, None)]
    assert desk.replies[2] == {"ok": True, "session": "c2", "seq": 7, "first": 3, "round": 12, "offset": 700}


def test_the_ack_of_a_batch_never_spans_rounds_or_batches() -> None:
    desk = Desk()
    desk.say(batch(1, 4), batch(5, 2))
    desk.talk.committed("c2", [*rows(1, 1, 11), *rows(2, 3, 12)])
    desk.talk.committed("c2", rows(4, 6, 13))
    spans = [(r["first"], r["seq"], r["round"]) for r in desk.replies]
    assert spans == [(1, 1, 11), (2, 3, 12), (4, 4, 13), (5, 6, 13)]


def test_an_error_waits_for_the_answers_of_lower_numbers() -> None:
    desk = Desk()
    desk.say(append(1), append(2), append(3, "bad\n"), append(3))
    assert desk.heard() == []
    desk.talk.committed("c2", rows(1, 1))
    assert desk.heard() == [1]
    desk.talk.committed("c2", rows(2, 3))
    assert desk.heard() == [2, 3, -3]


def test_an_error_of_another_session_waits_for_nothing() -> None:
    desk = Desk()
    desk.say(append(1), append(1, "bad\n", "c3"))
    assert desk.heard() == [-1]


def test_a_gap_waits_too_and_says_what_is_expected() -> None:
    desk = Desk()
    desk.say(append(1), append(5), append(6))
    desk.talk.failed("c2", 5, "gap", "2 comes first", True, 2)
    desk.talk.failed("c2", 6, "gap", "2 comes first", True)
    assert desk.heard() == []
    desk.talk.committed("c2", rows(1, 1))
    assert [r.get("expected") for r in desk.replies] == [None, 2, 8]
    assert desk.heard() == [1, -5, -6]
    assert not desk.talk.is_waiting()


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["good", "bad", "gap"]), max_size=12), st.data())
def test_no_reply_of_a_session_overtakes_a_lower_one(kinds: list[str], data: st.DataObject) -> None:
    """Whatever goes wrong in between, and however the node bundles its answers."""
    desk = Desk()
    seq = 0
    before: dict[int, int] = {}
    for kind in kinds:
        if kind == "good":
            seq += 1
            desk.say(append(seq))
        elif kind == "bad":
            before.setdefault(seq + 1, seq)
            desk.say(append(seq + 1, "\x00"))
        else:
            before.setdefault(seq + 2, seq)
            desk.say(append(seq + 2))
            desk.talk.failed("c2", seq + 2, "gap", "", True, seq + 1)
    done = 0
    while done < seq:
        upto = data.draw(st.integers(done + 1, seq))
        desk.talk.committed("c2", rows(done + 1, upto))
        done = upto
    numbers = desk.heard()
    assert [number for number in numbers if number > 0] == list(range(1, seq + 1))
    assert len(numbers) == len(kinds)
    highest = 0
    for number in numbers:
        highest = max(highest, number)
        assert number > 0 or highest >= before[-number], "an error overtook an ack that was due before it"
    assert not desk.talk.is_waiting()


def test_when_the_queue_is_full_appends_wait_and_questions_are_answered() -> None:
    desk = Desk()
    desk.room = False
    left = desk.say({"op": "status"}, append(1, "é"), append(2), {"op": "status"})
    assert desk.replies == [{"ok": True, "role": "leader"}]
    assert desk.talk.is_full()
    assert desk.submitted == []
    desk.room = True
    assert desk.talk.feed(left + b'{"op":') == b'{"op":'
    assert [m.seq for m in desk.submitted] == [1, 2]
    assert desk.submitted[0].block.endswith("é\n".encode())
    assert len(desk.replies) == 2
    assert not desk.talk.is_full()


def test_half_a_line_behind_a_full_queue_waits_for_its_client_only() -> None:
    desk = Desk()
    whole = json.dumps(append(1)).encode() + b"\n"
    desk.room = False
    left = desk.talk.feed(whole + whole[:20])
    assert desk.talk.is_full()
    desk.room = True
    left = desk.talk.feed(left)
    assert left == whole[:20]
    assert not desk.talk.is_full()
    assert desk.talk.feed(left) == whole[:20]
    assert not desk.talk.is_full(), "nobody would read on"


def test_when_the_room_is_used_up_by_the_last_line_nothing_waits() -> None:
    desk = Desk()
    whole = json.dumps(append(1)).encode() + b"\n"
    assert desk.talk.feed(whole + b"{") == b"{"
    desk.room = False
    assert desk.talk.feed(b"{") == b"{"
    assert not desk.talk.is_full()


def test_hello_is_answered_by_a_node_that_hears_a_leader_only() -> None:
    desk = Desk()
    desk.say({"op": "hello", "session": "c2"})
    assert desk.replies.pop() == {"ok": True, "session": "c2", "last_seq": 7}
    desk.leader = False
    desk.say({"op": "hello", "session": "c2"})
    assert (desk.replies[0]["code"], desk.replies[0]["retry"]) == ("no_quorum", True)


def test_a_wrong_request_is_answered_and_the_conversation_goes_on() -> None:
    desk = Desk()
    desk.say({"op": "dance"}, {}, append(0), {"op": "hello", "session": ""}, append(1))
    assert [r["code"] for r in desk.replies] == ["bad_request", "bad_request", "bad_seq", "bad_session"]
    assert [m.seq for m in desk.submitted] == [1]
    assert not desk.is_closed


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: x\r\n", b"\xff\xfe\n", b'{"op":"append","x":"\xff"}\n', b"[]\n", b"x" * (MAX_LINE + 1),
     b'{"op":"status","x":"' + b"x" * MAX_LINE + b'"}\n', b'{"op":"status","x":"' + "é".encode() * 40_000 + b'"}\n'],
)  # fmt: skip
def test_garbage_gets_one_error_line_and_what_came_before_is_taken(data: bytes) -> None:
    desk = Desk()
    first = json.dumps(append(1)).encode() + b"\n"
    assert desk.talk.feed(first + data) == b""
    assert [m.seq for m in desk.submitted] == [1]
    assert len(desk.replies) == 1
    assert desk.replies[0]["ok"] is False
    assert desk.is_closed


@given(st.binary(max_size=200), st.integers(1, 20))
def test_any_bytes_in_any_pieces_raise_nothing(data: bytes, size: int) -> None:
    desk = Desk()
    left = b""
    for start in range(0, len(data), size):
        if not desk.is_closed:
            left = desk.talk.feed(left + data[start : start + size])
    if not desk.is_closed:
        desk.talk.end(left)


@given(st.integers(1, 400), st.integers(1, 30))
def test_it_does_not_matter_how_the_bytes_are_cut(size: int, count: int) -> None:
    data = b"".join(json.dumps(append(seq, "é" * seq)).encode() + b"\r\n\n" for seq in range(1, count + 1))
    desk = Desk()
    left = b""
    for start in range(0, len(data), size):
        left = desk.talk.feed(left + data[start : start + size])
    assert left == b""
    assert [m.seq for m in desk.submitted] == list(range(1, count + 1))


def test_the_last_line_may_lack_its_newline_but_half_a_line_is_no_request() -> None:
    desk = Desk()
    left = desk.talk.feed(json.dumps(append(1)).encode())
    desk.talk.end(left)
    assert [m.seq for m in desk.submitted] == [1]
    desk.talk.end(b'{"op":"append","session":"c2","seq":2,"time":2,"message":"tor')
    assert len(desk.submitted) == 1
    assert desk.is_closed


def test_sessions_that_are_answered_take_no_memory() -> None:
    desk = Desk()
    for number in range(100):
        desk.say(append(1, session=f"s{number}"))
        desk.talk.committed(f"s{number}", rows(1, 1))
    assert not desk.talk.is_waiting()
    assert len(desk.talk._sessions) == 0


def test_rule_52_a_flood_of_wrong_requests_behind_one_that_waits_ends_the_connection() -> None:
    desk = Desk()
    desk.say(append(1))
    for _ in range(20):
        desk.say(*[append(2, "\x00")] * 100)
    assert desk.is_closed
