"""The browser of these tests, and pages made of runs that `tests/unit/run_maker.py` makes up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.browser.chromium import Chromium, binary
from tests.unit.run_maker import RunMaker, story
from votesync_cli.app import app

Pages = Callable[..., Path]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests of a module."""
    if binary() is None:
        pytest.skip("there is no chromium on this machine (Debian: apt install chromium)")
    with Chromium(tmp_path_factory.mktemp("chromium") / "profile") as chromium:
        yield chromium


def make_page(directory: Path, maker: RunMaker, *options: str, verdict_line: int | None = None) -> Path:
    """What `votesync timeline --html` writes for a made-up run."""
    run, page = maker.keep(directory / "run"), directory / "timeline.html"
    arguments = ["timeline", "--run", str(run), "--html", str(page), *options]
    if verdict_line is not None:
        places = [{"line": verdict_line, "text": "Container 3 "}]
        shown = {"what": "its time is less than that of the block above", "places": places, "votes": []}
        rows = [{"rule": "order", "status": "FAIL", "detail": "", "counterexample": shown}, {"verdict": "FAIL"}]
        verdict = directory / "verdict.jsonl"
        verdict.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        arguments += ["--verdict", str(verdict)]
    assert app(arguments, standalone_mode=False) == 0
    return page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short story in which line 13 of the file, in round 4, breaks a rule."""
    return make_page(tmp_path_factory.mktemp("story"), story(), verdict_line=13)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten thousand rounds of five nodes."""
    maker = RunMaker()
    for number in range(10_000):
        node = number % 5
        maker.round(maker.send(str(node), node), maker.send(str((node + 2) % 5), (node + 2) % 5))
    return make_page(tmp_path_factory.mktemp("large"), maker)
