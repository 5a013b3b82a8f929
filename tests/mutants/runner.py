"""Runs mutants: a patched copy each, first the tests that should notice, then the simulator until it does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = ("node_runtime", "votesync_cli", "templates", "tests", "pyproject.toml")
TEST_SECONDS = 120
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Limits:
    """How much is done for each mutant; `both`: the simulator runs even where a test has noticed."""

    seeds: int
    seconds: float
    both: bool
    tests: bool = True


@dataclass(frozen=True)
class Verdict:
    """What noticed a mutant: a test, a checker of the simulator after so many seeds, or nothing."""

    mutant: Mutant | None = None
    test: str = ""
    checker: str = ""
    seed: int | None = None
    seeds: int = 0
    text: str = ""
    took_s: float = 0.0

    @property
    def caught(self) -> bool:
        """Whether anything noticed."""
        return bool(self.test or self.checker)


class Broken(Exception):
    """The unpatched code does not pass, so nothing can be said of the mutants."""


def check_baseline(mutants: list[Mutant], limits: Limits) -> None:
    """The unpatched code passes the tests that the mutants name and some seeds.

    Raises: Broken.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        root = Path(directory)
        _copy(root)
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        found = _run_tests(root, tests) if limits.tests else ""
        if found:
            raise Broken(f"without any patch {found} fails. Mend that first.")
        run = _run_seeds(root, 20, limits.seconds)
        if run.checker:
            raise Broken(f"without any patch seed {run.seed} fails: {run.text}. Mend that first.")


def judge(mutant: Mutant, limits: Limits) -> Verdict:
    """Run one mutant.

    Raises: PatchError.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        root = Path(directory)
        _copy(root)
        mutant.apply(root)
        test = _run_tests(root, list(mutant.tests)) if limits.tests and mutant.tests else ""
        found = _run_seeds(root, limits.seeds, limits.seconds) if limits.both or not test else Verdict()
    return replace(found, mutant=mutant, test=test, took_s=time.monotonic() - started)


def _copy(root: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(source, root / name)


def _run_tests(root: Path, tests: list[str]) -> str:
    """The first test that fails, or an empty text."""
    try:
        result = _inside(root, TEST_SECONDS, "tests", *tests)
    except subprocess.TimeoutExpired:
        return "(the tests hang)"
    if result.returncode == 0:
        return ""
    match = _FAILED.search(result.stdout)
    if match is None:
        raise Broken(f"the tests {tests} could not be run: {(result.stdout + result.stderr)[-500:]}")
    return match[1].removeprefix("tests/")


def _run_seeds(root: Path, count: int, seconds: float) -> Verdict:
    """What the simulator's checkers say."""
    try:
        result = _inside(root, seconds + 60, "seeds", "0", str(count), str(seconds))
    except subprocess.TimeoutExpired:
        return Verdict(checker="(hang)", text="the simulator did not end")
    lines = result.stdout.splitlines()
    if result.returncode not in (0, 1) or not lines:
        return Verdict(checker="(crash)", text=result.stderr[-300:])
    return Verdict(**json.loads(lines[-1]))


def _inside(root: Path, seconds: float, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "tests.mutants.inside", *arguments],
        cwd=root, env=environment, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
