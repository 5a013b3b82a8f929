"""The door: what passes can be rendered, encoded and applied by all nodes; all else is refused (rules 38, 50, 52)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime import codec
from node_runtime.client_port import MAX_LINE
from node_runtime.errors import ClientProtocolError
from node_runtime.json_lines import append_requests, read_append, read_request
from node_runtime.messages import MAX_MESSAGE, MAX_SEQ, MAX_TIME, Forward, Message
from node_runtime.records import native_body, render_block, text_fault

GOOD = {"op": "append", "session": "c2", "seq": 3, "time": 368186, "message": "3"}
texts = st.text(st.characters(codec="utf-8"), max_size=300).filter(lambda text: text_fault(text) is None)


def taken(request: dict[str, Any]) -> list[Message]:
    into: list[Message] = []
    read_append(request, 4, into)
    return into


def refusal(request: dict[str, Any]) -> ClientProtocolError:
    into: list[Message] = []
    with pytest.raises(ClientProtocolError) as caught:
        read_append(request, 4, into)
    assert into == [], "all of a request or nothing"
    assert not caught.value.close
    assert not caught.value.retry
    return caught.value


def test_an_append_as_in_the_documentation() -> None:
    block = render_block(4, native_body("c2", 368186, "3"))
    assert taken(GOOD) == [Message(368186, 4, "c2", 3, block)]
    assert isinstance(taken(GOOD)[0], Message)


def test_a_batch_has_numbers_in_a_row() -> None:
    messages = taken({"op": "append", "session": "c2", "seq": 3, "messages": [[9, "a"], [8, "b"]]})
    assert [(m.time, m.seq) for m in messages] == [(9, 3), (8, 4)]


@pytest.mark.parametrize("seq", [0, -1, True, 1.0, "1", None, MAX_SEQ + 1, 10**400, float("nan")])
def test_rule_50_numbers_that_are_no_seq(seq: object) -> None:
    assert refusal({**GOOD, "seq": seq}).code == "bad_seq"


@pytest.mark.parametrize("time", [-1, True, 1.5, "1", None, MAX_TIME + 1, float("inf"), float("nan"), [], 10**400])
def test_rule_50_times_that_are_no_time(time: object) -> None:
    error = refusal({**GOOD, "time": time})
    assert (error.code, error.seq) == ("bad_time", 3)
    assert refusal({"session": "c2", "seq": 3, "messages": [[1, "a"], [time, "b"]]}).seq == 4


@pytest.mark.parametrize("text", ["a\nb", "\x00", "\ud800", "x" * (MAX_MESSAGE + 1), "é" * MAX_MESSAGE, None, 3, ["a"], {}])
def test_rule_38_texts_that_are_not_taken(text: object) -> None:
    error = refusal({**GOOD, "message": text})
    assert (error.code, error.seq) == ("bad_text", 3)


@pytest.mark.parametrize("session", ["", "a b", "x" * 65, None, 3, [], "a\n", "x" * 60_000])
def test_sessions_that_are_not_taken(session: object) -> None:
    assert refusal({**GOOD, "session": session}).code == "bad_session"


@pytest.mark.parametrize("batch", [[], {}, "ab", [[1]], [[1, "a", 2]], [{"time": 1}], ["ab"], [None], 5])
def test_batches_that_are_not_taken(batch: object) -> None:
    assert refusal({"session": "c2", "seq": 3, "messages": batch}).code == "bad_request"


def test_a_batch_ends_at_the_highest_number() -> None:
    assert refusal({"session": "c2", "seq": MAX_SEQ, "messages": [[1, "a"], [1, "b"]]}).code == "bad_request"
    assert len(taken({"session": "c2", "seq": MAX_SEQ, "messages": [[1, "a"]]})) == 1


@pytest.mark.parametrize(
    "line",
    ["GET / HTTP/1.1", "{", "[1]", "3", '"x"', "null", '{"a":NaN}', '{"a":Infinity}', "{} {}", "{}x", "[" * 60_000,
     '{"a":' * 9_000, '{"seq":' + "9" * 5000 + "}", '{"x":"\udcff"}', "\ufeff{}"],
)  # fmt: skip
def test_rule_38_garbage_closes_the_connection(line: str) -> None:
    with pytest.raises(ClientProtocolError) as caught:
        read_request(line)
    assert caught.value.close


@pytest.mark.parametrize("line", ["{}", " {} \r", '\t{"a":1}', "{}\t "])
def test_blanks_around_a_request_do_no_harm(line: str) -> None:
    assert isinstance(read_request(line), dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "session": st.sampled_from(["c2", "", "a b"]) | json_values,
        "seq": st.integers(-1, 2**54) | json_values,
        "time": st.integers(-1, 2**54) | json_values,
        "message": st.text(st.characters(codec=None), max_size=20) | json_values,
        "messages": st.lists(st.tuples(st.integers(), st.text(max_size=5)).map(list), max_size=3) | json_values,
    },
)


@given(requests)
def test_rule_38_what_passes_the_door_can_be_encoded_and_nothing_raises_else(request: dict[str, Any]) -> None:
    into: list[Message] = []
    try:
        append = read_append(request, 4, into)
    except ClientProtocolError:
        return
    assert [message.seq for message in into] == list(range(append.first, append.last + 1))
    assert codec.encode_frame(b"clustert", 4, Forward(1, tuple(into)))
    for message in into:
        assert message.block.count(b"\n") == 2
        assert 0 <= message.time <= MAX_TIME


@given(st.text(st.characters(codec=None), max_size=80))
def test_any_line_is_a_request_or_refused(line: str) -> None:
    try:
        request = read_request(line)
    except ClientProtocolError:
        return
    assert type(request) is dict


@given(st.lists(st.tuples(st.integers(0, MAX_TIME), texts), min_size=1, max_size=20), st.integers(1, 1000))
def test_what_the_client_writes_the_node_reads(messages: list[tuple[int, str]], first: int) -> None:
    got: list[Message] = []
    for line in append_requests("c2", first, messages):
        assert line.endswith(b"\n")
        assert len(line) <= MAX_LINE + 1
        read_append(read_request(line.decode().rstrip("\n")), 4, got)
    blocks = [render_block(4, native_body("c2", time, text)) for time, text in messages]
    assert [message.block for message in got] == blocks
    assert [message.seq for message in got] == list(range(first, first + len(messages)))


def test_rule_52_large_messages_are_spread_over_lines() -> None:
    lines = append_requests("c2", 1, [(MAX_TIME, "é" * (MAX_MESSAGE // 2))] * 20)
    assert len(lines) > 1
    assert max(map(len, lines)) <= MAX_LINE + 1
    assert sum(len(json.loads(line).get("messages", [0])) for line in lines) == 20


def test_rule_52_the_worst_text_fits_a_line() -> None:
    (line,) = append_requests("x" * 64, MAX_SEQ, [(MAX_TIME, '"' * MAX_MESSAGE)])
    assert len(line) <= MAX_LINE
