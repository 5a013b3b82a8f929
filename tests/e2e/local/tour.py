"""docs/TOUR.md as a program: its commands, run in one shell in one directory on a terminal of 100 columns.

A lesson is pairs of fenced blocks: `sh` to be run, `text` with what was printed. `form` is what of it is the same in each run.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
TOUR = ROOT / "docs" / "TOUR.md"
COLUMNS = 100
PATIENCE = 90.0  # seconds for one block

_PAIR = re.compile(r"```sh\n(?P<commands>.*?)```\n\n```text\n(?P<shown>.*?)```", re.DOTALL)
# Progress, and what other programs on the machine do.
_DROPPED = re.compile(r"(waiting: |waiting for \d+ of \d+ clients|Ports that are taken|note: )")

# What may differ, in this order. Everything else is compared as it is.
FORMS = (
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"), "CLOCK"),
    (re.compile(r"(?<![\w.])[+-]?\d[\d,.]*? ?(µs|ms|s)\b"), "TIME"),
    (re.compile(r"(?<!\S)[✓~✗·]{3,}(?!\S)"), "VOTES"),  # who was in time
    (re.compile(r"█+"), ""),  # how long something took, as a bar
    (re.compile(r"\d+(,\d{3})*(\.\d+)?"), "N"),
    (re.compile(r"\bN(\(N\))?(→N(\(N\))?)+"), "N"),  # how many writers
    (re.compile(r"\bN(, N)*( and| then) N\b|\bN(, ?N)+\b"), "N"),  # how many nodes
    (re.compile(r"\b(leader|follower)(?= +N +N )"), "ROLE"),  # who happens to lead, in `status`
    (re.compile(r"(?:(?<= )(?:N|·)(?: +|$)){3,}"), "NUMBERS "),  # a row of numbers; which nodes had messages in a round
    (re.compile(r'"round":(N|null),"offset":(N|null)(,"duplicate":true)?'), "PLACE"),  # a node forgets where old ones stand
    (re.compile(r"\b(block|grant|message|round|rule|session|text|turn)s\b"), r"\1"),  # 1 block, 2 blocks
    (re.compile(r"^( +└)? +N grant$| {2}N grant$"), ""),  # a writer was slow
    (re.compile(r" {2,}"), " "),
)


class Block(NamedTuple):
    """Commands, what the page shows of them, and where that stands in the page."""

    commands: str
    shown: str
    span: tuple[int, int]


def blocks(page: str) -> list[Block]:
    """The pairs of a page."""
    return [Block(match["commands"], match["shown"], match.span("shown")) for match in _PAIR.finditer(page)]


def form(text: str) -> list[str]:
    """What stays the same from run to run; lines alike in a row count once."""
    lines: list[str] = []
    for line in text.splitlines():
        for pattern, word in FORMS:
            line = pattern.sub(word, line)
        if line.strip() and (not lines or lines[-1] != line.rstrip()):
            lines.append(line.rstrip())
    return lines


class Shell:
    """A bash that reads commands from a pipe and writes to a terminal."""

    def __init__(self, directory: Path) -> None:
        program = directory / "bin" / "votesync"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m votesync_cli "$@"\n', "utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self._main, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VOTESYNC", "COMPOSE", "COLUMNS"))}
        environment = {**kept, "PATH": path, "TERM": "xterm-256color", "NO_COLOR": "1"}
        self._program, self._place = program, directory / "tour"
        self._place.mkdir()
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=self._place, env=environment, stdin=subprocess.PIPE, stdout=terminal,
            stderr=terminal, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        self._blocks = 0

    def run(self, commands: str) -> str:
        """Run a block; returns what a person sees, without progress."""
        self._blocks += 1
        end = f"--- end of block {self._blocks} ---"
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{commands}\necho '{end}'\n".encode())
        self._bash.stdin.flush()
        seen, limit = b"", time.monotonic() + PATIENCE
        while end.encode() not in seen:
            assert time.monotonic() < limit, f"not done after {PATIENCE:g} s: {commands}\n{seen.decode(errors='replace')}"
            if select.select([self._main], [], [], 0.2)[0]:
                seen += os.read(self._main, 65536)
        lines = seen.decode().replace("\r\n", "\n").split(end)[0].splitlines()
        return "".join(line.rstrip(" ") + "\n" for line in lines if not _DROPPED.match(line))

    def end(self) -> None:
        """End the shell, and take the cluster down, whatever became of the tour."""
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        os.close(self._main)
        down = [str(self._program), "down", "-v"]
        subprocess.run(down, cwd=self._place, capture_output=True, check=True, timeout=PATIENCE)
