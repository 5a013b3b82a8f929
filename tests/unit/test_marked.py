"""YAML that remembers its lines, and the variables in it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from votesync_cli.errors import ComposeFileError
from votesync_cli.marked import MarkedMap, interpolate, read

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), PLAIN, max_size=4))
def test_it_reads_what_plain_yaml_reads(value: dict[str, object]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert read(text, "f") == yaml.safe_load(text)


def test_lines_of_keys_and_items() -> None:
    document = read("a: 1\nb:\n  c: 2\n  d:\n    - x\n    - y\n", "f")
    assert document.lines == {"a": 1, "b": 2}
    assert document["b"].lines == {"c": 3, "d": 4}
    assert document["b"]["d"].lines == [5, 6]


def test_what_is_merged_keeps_its_line_and_can_be_given_again() -> None:
    document = read("x: &x\n  a: 1\n  b: 2\ny:\n  <<: *x\n  b: 3\nz:\n  <<: *x\n", "f")
    assert document["y"] == {"a": 1, "b": 3}
    assert document["y"].lines == {"a": 2, "b": 6}
    assert document["z"] == document["x"]


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x: 1\ny: {a: 1, b: 2, a: 3}\n"])
def test_a_key_given_twice_is_refused(text: str) -> None:
    with pytest.raises(ComposeFileError, match="'a' stands here again"):
        read(text, "f")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "1"),
        ("$A-$A", "1-1"),
        ("$$A", "$A"),
        ("${NO}", ""),
        ("${NO:-2}", "2"),
        ("${NO-2}", "2"),
        ("${EMPTY:-2}", "2"),
        ("${EMPTY-2}", ""),
        ("${A:?}", "1"),
        ("a${A}b${NO:-c}", "a1bc"),
    ],
)
def test_variables_are_those_of_compose(text: str, value: str) -> None:
    document = MarkedMap(1)
    document["k"], document.lines["k"] = text, 7
    assert interpolate(document, {"A": "1", "EMPTY": ""}, "f")["k"] == value


@pytest.mark.parametrize("text", ["${NO:?it must}", "${EMPTY:?it must}", "$", "${", "${A"])
def test_a_variable_that_cannot_be_filled_is_named_with_its_line(text: str) -> None:
    document = MarkedMap(1)
    document["k"], document.lines["k"] = text, 7
    with pytest.raises(ComposeFileError) as caught:
        interpolate(document, {"A": "1", "EMPTY": ""}, "f")
    assert caught.value.line == 7
