"""What stands in `output.txt` can be read back, and no message can pass for another (promise 3, rules 38 and 46)."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node_runtime import records
from node_runtime.messages import MAX_MESSAGE, MAX_SESSION, MAX_TIME

CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xD800, 0xDBFF, 0xDC00, 0xDFFF]
FORGERIES = [
    "3\nContainer 0 ",
    "3\r\nMensagem: x",
    "\u2028" + "#" * 56,
    "3\x0bContainer 1 ",
    "3\x85Mensagem: client 1 time: 1 - message: 1",
    "3\x1cContainer 1 ",
]

any_text = st.one_of(
    st.text(st.characters(codec=None), max_size=60),
    st.sampled_from([*FORGERIES, "#" * 56, "Container 0 ", "Mensagem: x", "client 1 time: 1 - message: 2", ""]),
)
sessions = st.text("abcXYZ019_.:-", min_size=1, max_size=MAX_SESSION)
times = st.integers(0, MAX_TIME)


@given(st.lists(st.tuples(st.integers(0, 63), sessions, times, any_text), max_size=6))
def test_rule_38_no_text_that_passes_can_forge_a_block(messages: list[tuple[int, str, int, str]]) -> None:
    taken = [message for message in messages if records.text_fault(message[3]) is None]
    blocks = [records.render_block(node, records.native_body(session, time, text)) for node, session, time, text in taken]
    wanted: list[str] = []
    for node, session, time, text in taken:
        wanted += [f"Container {node} ", f"Mensagem: client {session} time: {time} - message: {text}"]
    wanted += ["#" * 56] if taken else []
    data = records.render_round(blocks)
    assert data.decode().split("\n") == [*wanted, ""]
    assert data.decode().splitlines() == wanted, "a reader with another idea of a line sees other blocks"
    assert data.count(records.SEPARATOR) <= 1 + sum(text.count("#" * 56) for *_, text in taken)
    assert [line + b"\n" for line in data.split(b"\n")].count(records.SEPARATOR) == bool(taken)


@given(any_text)
def test_the_text_protocols_body_is_one_line_too(text: str) -> None:
    assume(records.text_fault(text) is None)
    assert records.render_block(3, text).decode().splitlines() == ["Container 3 ", f"Mensagem: {text}"]


@pytest.mark.parametrize("code", CONTROLS)
@pytest.mark.parametrize("around", ["", "x", "é"])
def test_rule_38_every_control_character_is_refused(code: int, around: str) -> None:
    assert records.text_fault(around + chr(code) + around) is not None


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=200))
def test_every_other_text_is_taken(text: str) -> None:
    assert records.text_fault(text) is None


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_a_message_is_measured_in_bytes(letter: str) -> None:
    fits = MAX_MESSAGE // len(letter.encode())
    assert records.text_fault(letter * fits) is None
    assert records.text_fault(letter * fits + "a" * (MAX_MESSAGE - fits * len(letter.encode()) + 1)) is not None


@given(st.integers(0, 63), sessions, times, any_text)
def test_the_quick_way_to_render_gives_the_same_bytes(node: int, session: str, time: int, text: str) -> None:
    assume(records.text_fault(text) is None)
    slow = records.render_block(node, records.native_body(session, time, text))
    assert records.native_block(node, session, time, text) == slow


@given(sessions, times, any_text)
def test_a_native_body_is_read_back(session: str, time: int, text: str) -> None:
    assume(records.text_fault(text) is None)
    assert records.parse_body(records.native_body(session, time, text)) == (session, str(time), text)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("client 2 time: 368186 - message: 3", ("2", "368186", "3")),
        ("client 2 time: 638613.5 - message: 3", ("2", "638613.5", "3")),
        ("client[3] - 307326 - M[0]", ("3", "307326", "0")),
        ("client[3] - 307326.25 - M[12]", ("3", "307326.25", "12")),
        ("client 2 time: - message: 3", None),
        ("client 2 time: 1. - message: 3", None),
        ("client 2 time: ٣ - message: 3", None),
        ("client[3] - 307326 - M[0] ", None),
        ("hello", None),
        ("", None),
    ],
)
def test_the_seeds_bodies_are_read_and_nothing_else(body: str, wanted: tuple[str, str, str] | None) -> None:
    assert records.parse_body(body) == wanted


@pytest.mark.parametrize("name", ["", "a b", "a\n", "a/b", "é", "x" * (MAX_SESSION + 1), "a\u2028", "٣"])
def test_names_that_are_no_session(name: str) -> None:
    assert not records.is_session(name)


@given(sessions)
def test_names_that_are(name: str) -> None:
    assert records.is_session(name)


def test_the_documented_example_byte_for_byte() -> None:
    blocks = [
        records.render_block(2, records.native_body("2", 368186, "3")),
        records.render_block(4, records.native_body("4", 526895, "3")),
    ]
    assert records.render_round(blocks) == (
        b"Container 2 \nMensagem: client 2 time: 368186 - message: 3\n"
        b"Container 4 \nMensagem: client 4 time: 526895 - message: 3\n"
        b"########################################################\n"
    )
    assert records.render_round([]) == b""
