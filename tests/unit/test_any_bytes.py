"""Every decoder, fed with any bytes: a value, or an error of its own class (rules 38, 51). `make fuzz` goes deeper."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS

WORDS = [
    *(
        b"{",
        b"}",
        b'"',
        b":",
        b",",
        b"\n",
        b"client/",
        b"id{",
        b"}/timestamp{",
        b"}/message{",
        b"Container 1 \n",
        b"Mensagem: ",
    ),
    *(b"#" * 56, b'"op":', b'"append"', b'"seq":', b"1e999", b"NaN", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"[[[[", b"\x00"),
    *(b'{"ts":1,"node":0,"event":"ballot","term":1,', b'"round":', b"null", b"-1", b"9" * 40, b" "),
]


@pytest.mark.parametrize("name", list(TARGETS))
@given(data=st.binary(max_size=300) | st.lists(st.sampled_from(WORDS), max_size=16).map(b"".join))
@settings(max_examples=60, deadline=None)
def test_any_bytes(name: str, data: bytes) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("name", list(SEEDS))
@given(edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6))
@settings(max_examples=40, deadline=None)
def test_what_is_almost_right(name: str, edits: list[tuple[int, int]]) -> None:
    for seed in SEEDS[name]:
        data = bytearray(seed)
        for place, value in edits:
            data[place % len(data)] = value
        TARGETS[name](bytes(data))
