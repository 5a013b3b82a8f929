"""Trace hashes of some seeds, written down: whatever changes what the core does shows here, and is written down anew.

`python -m tests.simulation --record` does that; review which seeds changed and why. `python -m tests.simulation.recorded`
prints the hashes as they are now, as JSON, for comparing Pythons and hash seeds.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.simulation.plan import Plan
from tests.simulation.runner import run_plan

FILE = Path(__file__).with_name("recorded.json")
SEEDS = (3, 19, 27, 44, 58, 96, 133, 211)


def now() -> dict[str, str]:
    """The trace hash of each recorded seed, as the code is."""
    return {str(seed): run_plan(Plan.draw(seed)).trace_hash for seed in SEEDS}


def known() -> dict[str, str]:
    """The trace hashes that were written down."""
    found: dict[str, str] = json.loads(FILE.read_text("utf-8"))
    return found


def record() -> None:
    """Write the hashes down."""
    FILE.write_text(json.dumps(now(), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    print(json.dumps(now()))
