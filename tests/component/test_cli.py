"""The command line from outside: exit codes, two sentences for an error, no traceback, output that can be piped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from votesync_cli.app import VERBS
from votesync_cli.engines import alone

ROOT = Path(__file__).resolve().parents[2]


def votesync(
    directory: Path, *words: str, code: int | None = 0, stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_") and key != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "votesync_cli", *words],
        cwd=directory,
        input=stdin,
        env={**environment, "PYTHONPATH": str(ROOT), **more},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr + done.stdout, done.stderr.decode()
    assert code is None or done.returncode == code, (done.returncode, done.stderr.decode())
    return done


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    program = "import sys; from votesync_cli.app import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    *shown, loaded = done.stdout.decode().splitlines()
    assert not {"rich", "yaml", "jinja2", "docker", "asyncio"} & set(loaded.split())
    assert all(any(line.strip().startswith(verb) for line in shown) for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(tmp_path: Path, verb: str) -> None:
    said = votesync(tmp_path, verb, "--help").stdout.decode()
    assert "Usage:" in said
    assert "--help" in said


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-verb"],
        ["up", "--no-such-option"],
        ["up", "--nodes", "many"],
        ["kill"],
        ["ps", "--engine", "swarm"],
        ["--engine", "swarm", "ps"],
        ["ps", "-p", "Not A Project"],
        ["generate", "--nodes", "0"],
        ["generate", "--writer", "all"],
        ["status"],
        ["wait", "-f", "nothing.yml"],
        ["send", "--session", "no good", "x"],
    ],
)
def test_usage_errors_exit_with_2_and_say_why(tmp_path: Path, words: list[str]) -> None:
    done = votesync(tmp_path, *words, code=2)
    assert done.stdout == b""
    assert len(done.stderr.decode().strip()) > 20
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_two_sentences(tmp_path: Path) -> None:
    lines = votesync(tmp_path, "status", code=2).stderr.decode().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("votesync: There is no ")
    assert "votesync generate" in lines[1]


def test_generate_writes_what_plain_compose_needs_and_says_the_next_command(tmp_path: Path) -> None:
    done = votesync(tmp_path, "generate", "--nodes", "3")
    assert b"Next: votesync up" in done.stdout
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_dir()}
    assert {"shared_data", ".votesync/data/cluster_sync_3", ".votesync/image/node_runtime"} <= made
    assert (tmp_path / ".votesync" / "image" / "Dockerfile").is_file()
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {os.getuid()}


def test_generate_is_repeatable(tmp_path: Path) -> None:
    votesync(tmp_path, "generate")
    first = (tmp_path / "compose.yml").read_bytes()
    again = json.loads(votesync(tmp_path, "generate", "--json").stdout)
    assert again["written"] is False
    assert (tmp_path / "compose.yml").read_bytes() == first


@pytest.mark.parametrize("edit", [b"# mine\n", None])
def test_generate_never_writes_over_somebody_elses_words(tmp_path: Path, edit: bytes | None) -> None:
    file = tmp_path / "compose.yml"
    if edit is None:
        file.write_bytes(b"services: {web: {image: nginx}}\n")
    else:
        votesync(tmp_path, "generate")
        file.write_bytes(file.read_bytes() + edit)
    before = file.read_bytes()
    refused = votesync(tmp_path, "generate", "--nodes", "7", code=2)
    assert b"--force" in refused.stderr
    assert file.read_bytes() == before
    votesync(tmp_path, "generate", "--nodes", "7", "--force")
    assert file.read_bytes() != before
    assert (tmp_path / "compose.yml.old").read_bytes() == before


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    done = votesync(tmp_path, "up", "--engine", "local", "--nodes", "2", "--dry-run")
    assert done.stdout.decode().splitlines()[0] == "create   cluster_sync_1: it does not exist"
    assert list(tmp_path.iterdir()) == []
    rows = [
        json.loads(line) for line in votesync(tmp_path, "--json", "up", "--engine", "local", "--dry-run").stdout.splitlines()
    ]
    assert len(rows) == 10
    assert {row["kind"] for row in rows} == {"create"}


def test_up_asks_before_it_replaces_an_edited_file(tmp_path: Path) -> None:
    votesync(tmp_path, "generate", "--nodes", "3")
    file = tmp_path / "compose.yml"
    file.write_text(file.read_text().replace('MESSAGES: "50"', 'MESSAGES: "9"'))
    before = file.read_bytes()
    refused = votesync(tmp_path, "up", "--engine", "local", "--nodes", "5", "--dry-run", code=2)
    assert b"--nodes would replace" in refused.stderr
    assert b"--force" in refused.stderr
    votesync(tmp_path, "up", "--engine", "local", "--nodes", "3", "--dry-run")
    votesync(tmp_path, "up", "--engine", "local", "--dry-run")
    assert file.read_bytes() == before


def test_somebody_elses_output_stops_up_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "shared_data").mkdir()
    (tmp_path / "shared_data" / "output.txt").write_text("my thesis\n")
    done = votesync(tmp_path, "up", "--engine", "local", "--nodes", "1", code=1)
    assert b"output.txt was not written by this cluster" in done.stderr
    assert b"--fresh" in done.stderr
    assert (tmp_path / "shared_data" / "output.txt").read_text() == "my thesis\n"
    assert not (tmp_path / ".votesync").exists()


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    votesync(tmp_path, "generate", "--nodes", "2")
    file = tmp_path / "compose.yml"
    text = file.read_text().replace('PORT: "5001"', "PORT: none")
    file.write_text(text)
    line = next(number for number, part in enumerate(text.splitlines(), 1) if "PORT: none" in part)
    done = votesync(tmp_path, "up", "--engine", "local", code=2)
    assert f"compose.yml:{line}: cluster_sync_2: PORT cannot be 'none'.".encode() in done.stderr


@pytest.mark.parametrize("text", [None, "services: [", "services: {web: {image: nginx}}"])
def test_down_and_ps_do_without_a_sound_file(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "compose.yml").write_text(text)
    for _ in range(2):
        assert b"nothing to remove" in votesync(tmp_path, "down", "--engine", "local").stdout
    assert votesync(tmp_path, "ps", "--engine", "local", "--json").stdout == b""


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m votesync_cli --engine local up --nodes 64 --dry-run | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""


def test_what_should_not_happen_leaves_its_traceback_in_a_file(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv[1:] = ['ps']; import votesync_cli.commands.ps as m; m.read_or_bare = lambda common: 1 / 0;"
        "from votesync_cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"ZeroDivisionError" in done.stderr
    (kept,) = (tmp_path / ".votesync").glob("crash-*.txt")
    assert "Traceback" in kept.read_text()
    assert kept.name.encode() in done.stderr


def test_doctor_says_what_there_is(tmp_path: Path) -> None:
    rows = {row["name"]: row for row in map(json.loads, votesync(tmp_path, "doctor", "--json").stdout.splitlines())}
    assert {"python", "venv", "docker", "compose", "directory", "disk", "ports", "compose file"} == rows.keys()
    assert rows["python"]["ok"]
    assert all(row["mend"] for row in rows.values() if not row["ok"])


def test_doctor_fails_with_4_where_docker_is_asked_for_and_not_there(tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/no.sock"
    done = votesync(tmp_path, "doctor", "--engine", "docker", "--json", code=4, DOCKER_HOST=nowhere)
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert not rows["docker"]["ok"]
    assert votesync(tmp_path, "doctor", code=0, DOCKER_HOST=nowhere).stdout


def test_auto_takes_the_local_engine_where_no_docker_answers_and_says_so(tmp_path: Path) -> None:
    done = votesync(tmp_path, "up", "--dry-run", DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert b"Using the local engine" in done.stderr
    assert b"on the local engine" in done.stdout
    refused = votesync(tmp_path, "up", "--engine", "docker", "--dry-run", code=4, DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert len(refused.stderr.decode().strip().splitlines()) == 2


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose 1.29 is not installed")
@pytest.mark.parametrize("nodes", ["1", "5"])
def test_plain_docker_compose_takes_the_file(tmp_path: Path, nodes: str) -> None:
    votesync(tmp_path, "generate", "--nodes", nodes, "--publish", "15000", "--faults")
    done = subprocess.run(
        ["docker-compose", "-f", "compose.yml", "config", "--services"], cwd=tmp_path, capture_output=True, check=True
    )
    assert len(done.stdout.split()) == 2 * int(nodes)


def test_force_replaces_what_cannot_even_be_read(tmp_path: Path) -> None:
    votesync(tmp_path, "generate")
    file = tmp_path / "compose.yml"
    file.write_text(file.read_text() + "x: [\n")
    votesync(tmp_path, "up", "--engine", "local", "--nodes", "2", "--dry-run", code=2)
    done = votesync(tmp_path, "up", "--engine", "local", "--nodes", "2", "--dry-run", "--force")
    assert b"4 changes" in done.stdout


def test_a_second_up_of_a_project_waits_for_nothing_and_says_who_is_at_it(tmp_path: Path) -> None:
    with alone("twice", tmp_path / ".votesync"):
        done = votesync(tmp_path, "-p", "twice", "up", "--nodes", "1", "--engine", "local", code=4)
    assert f"project twice up or down (process {os.getpid()})" in done.stderr.decode()
    assert not list((tmp_path / ".votesync").glob("up-*")), "the lock leaves nothing behind"
