"""Which points are tried: a spread of them, or every one with `VOTESYNC_ALL_POINTS=1` (`make crashes`)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.faults.trio import Trio, until


def _traces() -> bool:
    """Whether strace is here and may trace: a container may forbid it."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=fsync", "true"], capture_output=True, check=False
    )
    return tried.returncode == 0


class Tally:
    """Which points were reached, by what was done there."""

    def __init__(self) -> None:
        self.points: dict[str, list[bool]] = {}

    def note(self, name: str, reached: bool) -> None:
        """One more."""
        self.points.setdefault(name, []).append(reached)

    def lines(self) -> str:
        """How many of how many."""
        return "; ".join(f"{name}: {sum(reached)} of {len(reached)} points" for name, reached in self.points.items())


@pytest.fixture(scope="module")
def tally() -> Tally:
    """For all tests of a module."""
    return Tally()


@pytest.fixture(scope="session")
def strace() -> None:
    """Skips where no process may be traced."""
    if not _traces():
        pytest.skip("strace is missing (sudo apt install strace), or this machine lets nobody trace")


@pytest.fixture(scope="module")
def followed(strace: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    """Nodes 1 and 2 at work for all tests of a module; node 0 does not run. In the end all three are judged."""
    trio = Trio(tmp_path_factory.mktemp("followed") / "trio")
    try:
        trio.start(1)
        trio.start(2)
        until(lambda: trio.is_well(1) and trio.is_well(2), "two of three work")
        yield trio
        trio.start(0)
        trio.agree()
        trio.judge()
    finally:
        trio.close()


@pytest.fixture
def led(strace: None, tmp_path: Path) -> Iterator[Trio]:
    """Three nodes for one test, none running; node 0 is quick to stand for election."""
    trio = Trio(tmp_path / "led", leads=True)
    try:
        yield trio
    finally:
        trio.close()


ALL = os.environ.get("VOTESYNC_ALL_POINTS") == "1"


def points(counts: dict[str, int], spread: int) -> list[tuple[str, int]]:
    """(call, number): all of them, or `spread` of each, the first and the last among them."""
    chosen = []
    for call, count in counts.items():
        numbers = range(1, count + 1) if ALL else {1 + round(i * (count - 1) / max(1, spread - 1)) for i in range(spread)}
        chosen += [(call, number) for number in sorted(numbers)]
    return chosen
