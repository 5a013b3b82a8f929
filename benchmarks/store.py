"""The files of results: `benchmarks/results/NAME.json`, one a benchmark, the newest run only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"

Result = dict[str, Any]


def save(name: str, result: Result) -> Path:
    """Write a result; returns where."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps({"name": name, **result}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(file)
    return file


def load(name: str) -> Result | None:
    """The newest result of a benchmark, or None where it has not run."""
    file = RESULTS / f"{name}.json"
    if not file.exists():
        return None
    result: Result = json.loads(file.read_text(encoding="utf-8"))
    return result
