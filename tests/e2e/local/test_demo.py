"""`make demo`, as a new user runs it, on the local engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[3] / "examples" / "demo.py"


def demo(directory: Path) -> str:
    command = [sys.executable, str(DEMO), "--engine", "local", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_shows_the_votes_and_the_verdict_twice_in_a_row(tmp_path: Path) -> None:
    directory = tmp_path / "a demo"
    for _ in range(2):
        said = demo(directory)
        assert "nodes and 5 clients on the local engine" in said
        votes = said[said.index("$ votesync tail") : said.index("$ votesync wait")]
        assert "leads term" in votes[votes.index("lost node") :], "the loss of the leader and the election stand in the table"
        assert "keeps 11 rules (250 blocks" in said
        assert "NOT CHECKED" not in said, "votes and journals are evidence too"
        assert "removed 10 services" in said
        assert (directory / "shared_data" / "output.txt").read_text("utf-8").count("Container ") == 250


def test_the_demo_touches_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "letter.txt"
    mine.write_text("keep me", "utf-8")
    command = [sys.executable, str(DEMO), "--engine", "local", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert "holds files that are not the demo's" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
