"""Compare a text with the one kept under snapshots/; `UPDATE_SNAPSHOTS=1` in the environment rewrites what is kept."""

from __future__ import annotations

import os
from pathlib import Path

KEPT = Path(__file__).parent / "snapshots"


def check(name: str, text: str) -> None:
    """Fail where `text` is not what is kept as `name`."""
    path = KEPT / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing: run again with UPDATE_SNAPSHOTS=1 and read what it writes"
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs: if it should, run with UPDATE_SNAPSHOTS=1"
