"""`explain` and `timeline` as commands, on a run that is kept in a directory: what they print, write and refuse."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.run_maker import story
from votesync_cli.app import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kept run, away from any project."""
    monkeypatch.chdir(tmp_path)
    return story().keep(tmp_path / "run")


def votesync(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("what", ["13", "L14", "3:2", "r4"])
def test_a_line_a_message_and_a_round_lead_to_the_same_story(run: Path, what: str) -> None:
    done = votesync("explain", what, "--run", run)
    assert done.exit_code == 0, done.stderr
    assert "It waited longest for node 3, whose turn stalled: 250.00 ms" in done.stdout


def test_json_is_one_object(run: Path) -> None:
    row = json.loads(votesync("explain", "3:2", "--run", run, "--json").stdout)
    assert (row["round"], row["longest"]["stage"], row["message"]["outcome"]) == (4, "anew", "ok")
    assert [vote["node"] for vote in row["ballots"][0]["votes"]] == [1, 0, 2, 3, 4]


@pytest.mark.parametrize(
    ("what", "code", "says"),
    [("99", 3, "no block or separator on line 99"), ("r99", 3, "rounds 2 to 6"), ("9:1", 3, "has message 1 of client 9"),
     ("x", 2, "names no line, round or message"), ("0", 2, "names no line")],
)  # fmt: skip
def test_what_is_not_there_is_said_with_what_is(run: Path, what: str, code: int, says: str) -> None:
    done = votesync("explain", what, "--run", run)
    assert done.exit_code == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_without_vote_logs_the_place_is_told_and_what_is_missing(run: Path) -> None:
    for log in (run / "votes").iterdir():
        log.unlink()
    done = votesync("explain", "2:1", "--run", run)
    assert done.exit_code == 0
    assert "There are no vote logs" in done.stdout
    assert votesync("timeline", "--run", run).exit_code == 3


def test_logs_and_histories_may_be_named_one_by_one(run: Path) -> None:
    done = votesync("explain", "r4", "--votes", run / "votes", "--history", run / "history")
    assert done.exit_code == 0, done.stderr
    assert "whose turn stalled" in done.stdout
    assert votesync("explain", "r4", "--run", run / "nowhere").exit_code == 2


def test_torn_lines_and_foreign_ones_are_passed_over(run: Path) -> None:
    log = run / "votes" / "cluster_sync_1.log"
    log.write_text("Traceback (most recent call last):\n" + log.read_text("utf-8") + '{"ts": 1, "ev', "utf-8")
    history = run / "history" / "client_3.jsonl"
    history.write_text(history.read_text("utf-8") + '[1]\n{"event":"invoke","session":3}\nnonsense', "utf-8")
    assert votesync("explain", "3:2", "--run", run).exit_code == 0
    assert votesync("timeline", "--run", run, "--clients").exit_code == 0


def test_pictures_are_written_whole_and_said_on_stderr(run: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"out.{kind}" for kind in ("svg", "html", "shiviz")}
    done = votesync("timeline", "--run", run, *(word for kind, path in files.items() for word in (f"--{kind}", path)))
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    assert files["svg"].read_text("utf-8").endswith("</svg>\n")
    assert "http://" not in files["html"].read_text("utf-8")
    assert files["shiviz"].read_text("utf-8").startswith("(?<host>")


@pytest.mark.parametrize("rounds", ["x", "..", "", "4..x"])
def test_a_choice_that_cannot_be_read_is_refused(run: Path, rounds: str) -> None:
    assert votesync("timeline", "--run", run, "--rounds", rounds).exit_code == 2


@pytest.mark.parametrize(("rounds", "kept"), [("3..4", {3, 4}), ("4", {4}), ("4..", {4, 6}), ("..3", {2, 3})])
def test_some_rounds_can_be_chosen(run: Path, rounds: str, kept: set[int]) -> None:
    rows = [json.loads(line) for line in votesync("timeline", "--run", run, "--rounds", rounds, "--json").stdout.splitlines()]
    assert {row["round"] for row in rows[1:] if row.get("round") is not None} == kept


def test_the_last_rounds_can_be_chosen(run: Path) -> None:
    rows = [json.loads(line) for line in votesync("timeline", "--run", run, "-n", 2, "--json").stdout.splitlines()]
    assert {row["round"] for row in rows[1:] if row.get("round") is not None} == {4, 6}
    assert votesync("timeline", "--run", run, "-n", 0).exit_code == 2


def test_no_color_and_plain_are_plain_text(run: Path) -> None:
    assert "\x1b" not in votesync("timeline", "--run", run).stdout
    assert votesync("timeline", "--run", run, "--plain").stdout.isascii()


def test_what_is_no_verdict_is_refused(run: Path, tmp_path: Path) -> None:
    verdict = tmp_path / "verdict.jsonl"
    verdict.write_text("{}\n", "utf-8")
    done = votesync("timeline", "--run", run, "--verdict", verdict)
    assert done.exit_code == 2
    assert "votesync verify --json" in done.stderr


def test_on_a_terminal_it_scrolls_until_q(run: Path) -> None:
    leading, following = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "12", "PYTHONPATH": str(ROOT)}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "votesync_cli", "timeline", "--run", str(run)]
    process = subprocess.Popen(command, stdin=following, stdout=following, stderr=following, env=environment)
    os.close(following)
    try:
        seen = _read_until(leading, b" of ")
        assert b"\x1b[?1049h" in seen  # another screen, so that what was there before comes back
        os.write(leading, b"n")
        assert b"r2" in _read_until(leading, b" of ")
        os.write(leading, b"G")
        assert b"r6" in _read_until(leading, b"all in the file, up to byte 772")
        os.write(leading, b"q")
        seen = _read_until(leading, b"\x1b[?1049l")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(leading)


def _read_until(descriptor: int, wanted: bytes) -> bytes:
    out, limit = b"", time.monotonic() + 60
    while wanted not in out:
        assert time.monotonic() < limit, out
        if select.select([descriptor], [], [], 0.5)[0]:
            try:
                out += os.read(descriptor, 65536)
            except OSError:
                break
    return out
