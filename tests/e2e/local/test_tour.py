"""docs/TOUR.md is true: its commands do what it says, and its links and lessons are there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.e2e.local.tour import TOUR, Shell, blocks, form

PAGE = TOUR.read_text("utf-8")
SHOWN = "N cluster_sync_N running ROLE NUMBERS"


def test_every_lesson_has_its_parts() -> None:
    lessons = re.split(r"(?m)^## (?=\d+\. )", PAGE)[1:]
    assert [int(lesson.split(".")[0]) for lesson in lessons] == list(range(1, 11))
    for lesson in lessons:
        title = lesson.splitlines()[0]
        assert re.search(r"(?m)^\*You will see .*\*$", lesson), f"{title}: what will be seen"
        assert blocks(lesson), f"{title}: commands and what they print"
        assert "**Try:**" in lesson, f"{title}: one thing to try"
    assert PAGE.count("```sh") == PAGE.count("```text") == len(blocks(PAGE)), "each block of commands has its output below it"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("   0  cluster_sync_1  running  leader      12       0        8     1726    0      0", SHOWN),
        ("22:13:20.006  2 nodes after 1.25ms", "CLOCK N nodes after TIME"),
        ("     7     1     0  1   ·   ·   ·   ·    03:14:13.566  ✓·✓✓~  2.93ms  0→3(1)    149", None),
        ("node 0 leads term 1 with the votes of 0, 1 and 4 after 7.95 milliseconds", None),
    ],
)
def test_the_form_of_a_line_hides_what_differs(one: str, other: str | None) -> None:
    (line,) = form(one)
    assert other is None or line.strip() == other
    assert not re.search(r"\d", line)


def test_the_form_of_a_line_keeps_what_must_not_differ() -> None:
    assert form("order  PASS  3 blocks") != form("order  FAIL  3 blocks")
    assert form("node 1 leads") != form("node 1 follows")
    assert form("a\nb\n") != form("b\na\n")
    assert form("a 1\na 2\n") == form("a 3\n"), "lines alike in a row count once"


def test_the_tour_is_true(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    page, moved = PAGE, 0
    try:
        for block in blocks(PAGE):
            seen = shell.run(block.commands)
            start, end = (place + moved for place in block.span)
            page, moved = page[:start] + seen + page[end:], moved + len(seen) - (end - start)
            if not os.environ.get("UPDATE_TOUR"):
                assert form(seen) == form(block.shown), f"{block.commands}\nprinted:\n{seen}"
    finally:
        shell.end()
    if os.environ.get("UPDATE_TOUR"):
        TOUR.write_text(page, "utf-8")
