"""Completion in the shells themselves: the script that `votesync completion` prints, a real TAB, what comes of it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
COMPOSE = """\
name: lab
services:
  cluster_sync_1:
    image: x
    environment:
      ID: "0"
  cluster_sync_2: # the second
    image: x
  client_1:
    image: x
networks:
  ring:
    driver: bridge
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a program `votesync`, a compose file and two kept runs."""
    program = tmp_path / "bin" / "votesync"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m votesync_cli "$@"\n', "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "compose.yml").write_text(COMPOSE, "utf-8")
    for name in ("20260101T000000Z", "20260102T000000Z"):
        (tmp_path / ".votesync" / "runs" / name).mkdir(parents=True)
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(place), "TERM": "dumb", "PS1": "> ", "XDG_CONFIG_HOME": str(place)}


def offered(place: Path, line: str) -> set[str]:
    """What bash would be offered for a line."""
    words = line.split(" ")
    env = {**environment(place), "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_VOTESYNC_COMPLETE": "complete_bash"}
    done = subprocess.run(["votesync"], cwd=place, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stderr == ""
    return set(done.stdout.split())


def needs(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


class Typist:
    """A shell on a terminal, and what it shows."""

    def __init__(self, command: list[str], place: Path) -> None:
        self.main, terminal = pty.openpty()
        self._process = subprocess.Popen(
            command, cwd=place, env=environment(place), stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
        )
        os.close(terminal)
        self._seen = b""

    def type(self, text: str, until: str) -> str:
        """Type, and wait until it shows something."""
        os.write(self.main, text.encode())
        self._seen, limit = b"", time.monotonic() + PATIENCE
        while until.encode() not in self._seen:
            assert time.monotonic() < limit, f"{until!r} was not shown, but: {self._seen!r}"
            if select.select([self.main], [], [], 0.5)[0]:
                self._seen += os.read(self.main, 65536)
        return self._seen.decode()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self.main)


def script(place: Path, shell: str) -> Path:
    command = ["votesync", "completion", shell]
    done = subprocess.run(command, cwd=place, env=environment(place), capture_output=True, text=True, check=True)
    path = place / f"completion.{shell}"
    path.write_text(done.stdout, "utf-8")
    return path


def test_bash_completes_a_verb_an_option_and_a_node(place: Path) -> None:
    source = script(place, "bash")
    typist = Typist([needs("bash"), "--norc", "--noprofile", "-i"], place)
    try:
        typist.type(f". '{source}'; bind 'set enable-bracketed-paste off'; echo rea''dy\n", "ready")
        typist.type("votesync ve\t", "votesync verify ")
        typist.type("--self\t", "--self-test ")
        typist.type("\x15votesync kill cluster_sync_2 \x15votesync pause lea\t", "votesync pause leader ")
    finally:
        typist.end()


def test_zsh_completes_a_verb(place: Path) -> None:
    source = script(place, "zsh")
    typist = Typist([needs("zsh"), "-f", "-i"], place)
    try:
        typist.type("unsetopt zle_bracketed_paste; autoload -Uz compinit && compinit -u -D; echo com''pinit\n", "compinit\r\n")
        typist.type(f". '{source}'; echo rea''dy\n", "ready\r\n")
        typist.type("votesync ve\t", "rify")
        typist.type("--self\t", "-test")
    finally:
        typist.end()


def test_fish_completes_verbs_options_and_nodes(place: Path) -> None:
    fish, source = needs("fish"), script(place, "fish")

    def asked(line: str) -> set[str]:
        command = [fish, "--no-config", "-c", f"source '{source}'; complete --do-complete '{line}'"]
        done = subprocess.run(command, cwd=place, env=environment(place), capture_output=True, text=True, check=True)
        return {row.split("\t")[0] for row in done.stdout.splitlines()}

    assert asked("votesync ve") == {"verify"}
    assert "--self-test" in asked("votesync verify --se")
    assert asked("votesync kill cluster_") == {"cluster_sync_1", "cluster_sync_2"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("votesync un", {"unpause"}),
        ("votesync verify --self", {"--self-test"}),
        ("votesync kill ", {"0", "1", "leader", "holder", "cluster_sync_1", "cluster_sync_2"}),
        ("votesync kill --file nowhere.yml ", {"leader", "holder"}),
        ("votesync send --node cl", {"cluster_sync_1", "cluster_sync_2", "client_1"}),
        ("votesync up --writer ", {"turns", "winner"}),
        ("votesync --engine l", {"local"}),
        ("votesync fault pa", {"partition"}),
        ("votesync fault cut ", {"0", "1", "leader", "holder", "all"}),
        ("votesync fault heal sk", {"skew"}),
        ("votesync tail --event time", {"timeout"}),
        ("votesync chaos --kinds kill,pau", {"kill,pause"}),
        ("votesync explain 3 --run ", {"latest", "20260101T000000Z", "20260102T000000Z"}),
        ("votesync runs p", {"pack", "prune"}),
        ("votesync runs show 20260102", {"20260102T000000Z"}),
        ("votesync runs prune ", set()),
        ("votesync completion z", {"zsh"}),
    ],
)
def test_what_is_offered(place: Path, line: str, expected: set[str]) -> None:
    assert offered(place, line) == expected


def test_completing_a_name_imports_no_verb(place: Path) -> None:
    """Or TAB would wait for Docker's SDK and for rich."""
    env = {**environment(place), "COMP_WORDS": "votesync ", "COMP_CWORD": "1", "_VOTESYNC_COMPLETE": "complete_bash"}
    command = [sys.executable, "-X", "importtime", "-m", "votesync_cli"]
    done = subprocess.run(command, env={**env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "verify" in done.stdout.split()
    assert not {name for name in imported if name.startswith(("votesync_cli.commands", "docker", "rich", "yaml"))}


def test_a_shell_that_is_not_known_is_refused(place: Path) -> None:
    command = ["votesync", "completion", "tcsh"]
    done = subprocess.run(command, cwd=place, env=environment(place), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "bash, zsh, fish" in done.stderr
