"""How each verb's result looks on 60, 80 and 120 columns, and what `--plain` says of it."""

from __future__ import annotations

import re

import pytest

from tests.unit import snapshot
from tests.unit.result_maker import results
from votesync_cli import views_page, views_plain
from votesync_cli.results import BAR, NodeStatus, StatusResult, Table
from votesync_cli.views_text import ASCII, fold_line, spoken

RESULTS = results()
SIGNS = re.compile(r"[^\x20-\x7e]|[@#*]{2,}| {2,}|\t")


def on(width: int, verb: str) -> list[str]:
    shown = views_page.lines(views_page.parts_of(RESULTS[verb]), width)
    return ["".join(text for text, _ in line).rstrip() for line in shown]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("verb", RESULTS)
def test_how_it_looks(verb: str, width: int) -> None:
    lines = on(width, verb)
    assert max(map(len, lines)) <= width
    snapshot.check(f"{verb}_{width}", "\n".join(lines) + "\n")


@pytest.mark.parametrize("verb", RESULTS)
def test_what_plain_says(verb: str) -> None:
    lines = list(views_plain.lines(RESULTS[verb]))
    assert not [line for line in lines if SIGNS.search(line) and " | " not in line], "a sign that reads badly"
    assert all(lines), "no empty line: each is a fact"
    snapshot.check(f"{verb}_plain", "\n".join(lines) + "\n")


@pytest.mark.parametrize("verb", RESULTS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_word_is_lost(verb: str, width: int) -> None:
    def words(text: str) -> set[str]:
        return set(re.findall(r"[^\s|█]+", text.lower()))

    whole = words(RESULTS[verb].to_text())
    shown = words("\n".join(on(width, verb)))
    broken = "".join("".join(line.split()) for line in on(width, verb)).lower().replace("|", "")
    lost = {word for word in whole - shown if word not in broken}
    headings = {name.lower() for part in views_page.parts_of(RESULTS[verb]) if isinstance(part, Table) for name in part.columns}
    assert lost <= headings | {"-", "…"}, "only a column's name goes, where all its cells are empty"


def test_bars_are_as_long_as_there_is_room() -> None:
    table = Table(("n",), (("1",), ("2",)), frozenset({"n"}), (1.0, 0.5))

    def bars(width: int) -> list[int]:
        return [sum(text.count("@") for text, _ in line) for line in views_page.lines([table], width, ASCII)][1:]

    assert bars(200) == [BAR, BAR // 2]
    assert bars(13) == [10, 5]
    assert bars(3) == [0, 0]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("after 1.25ms, 310µs or 10 s", "after 1.25 milliseconds, 310 microseconds or 10 seconds"),
        ("1 s", "1 second"),
        ("80ms±20ms", "80 milliseconds plus or minus 20 milliseconds"),
        ("1→0→3 and more…", "1 then 0 then 3 and more and more"),
        ("3.5 rounds/s, 1.2 MB/s", "3.5 rounds a second, 1.2 megabytes a second"),
        ("201 kB", "201 kilobytes"),
        ("2 #3: round 12", "2 number 3: round 12"),
        ("skew 3 +2s", "skew 3 +2s"),
        ("session 3s:12, file a/sub/s", "session 3s:12, file a/sub/s"),
        ("/tmp/x/send", "/tmp/x/send"),
    ],
)
def test_what_can_be_read_out(written: str, read: str) -> None:
    assert spoken(written) == read


def test_a_line_with_styles_is_folded_at_blanks_and_keeps_them() -> None:
    lines = fold_line([("one two ", "dim"), ("three four", "bad")], 9, 2)
    assert ["".join(text for text, _ in line) for line in lines] == ["one two", "  three", "  four"]
    assert {style for text, style in lines[1] if text.strip()} == {"bad"}
    assert fold_line([("one", "")], None, 2) == [[("one", "")]]


def test_on_80_columns_healthy_nodes_make_a_table() -> None:
    said = {"role": "follower", "term": 3, "leader": 0, "decided": 7, "last": 9, "written": 512, "queue": 1, "healthy": True}
    result = StatusResult("p", (NodeStatus("cluster_sync_1", 0, "running", said),))
    (table,) = views_page.parts_of(result)
    assert ["".join(text for text, _ in line).split()[0] for line in views_page.lines([table], 80)] == ["NODE", "0"]
