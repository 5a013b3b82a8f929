"""One seed is one run: the same trace on every Python, under every hash seed, today as when it was written down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation import recorded
from tests.simulation.plan import Plan
from tests.simulation.runner import run_plan

ROOT = Path(__file__).resolve().parents[2]
MINORS = range(11, 20)


def pythons() -> Iterator[str]:
    """Every other Python that this machine has and that is new enough."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in MINORS:
        found = [shutil.which(f"python3.{minor}"), *map(str, sorted(root.glob(f"versions/3.{minor}.*/bin/python3")))]
        works = next((path for path in found if path and runs(path)), None)
        if works and minor != sys.version_info.minor:
            yield works


def runs(python: str) -> bool:
    """Whether it is a Python at all, and not the shim of one that is not installed."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def hashes(python: str, hash_seed: str) -> dict[str, str]:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "-m", "tests.simulation.recorded"], env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_traces_are_the_recorded_ones() -> None:
    assert recorded.now() == recorded.known(), "the core acts otherwise: `python -m tests.simulation --record`, and say why"


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_the_hash_seed_changes_nothing(hash_seed: str) -> None:
    assert hashes(sys.executable, hash_seed) == recorded.now()


@pytest.mark.parametrize("python", sorted(pythons()))
def test_other_pythons_change_nothing(python: str) -> None:
    assert hashes(python, "0") == recorded.now()


def test_another_seed_is_another_run() -> None:
    assert len(set(recorded.now().values())) == len(recorded.SEEDS)


def test_a_plan_replays_from_its_json() -> None:
    for seed in recorded.SEEDS[:3]:
        plan = Plan.draw(seed)
        again = Plan.from_json(plan.to_json())
        assert again == plan
        assert run_plan(again).trace_hash == run_plan(plan).trace_hash
