"""`compare`: every system in turn, several times over, so that a slow minute of the machine meets all of them."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.procs import BenchmarkError
from benchmarks.stats import short
from benchmarks.store import Result
from benchmarks.systems import ALL
from benchmarks.systems.base import Span, System


def say(text: str) -> None:
    """How it goes, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def compare(directory: Path, span: Span, repetitions: int, only: Sequence[str] = ()) -> Result:
    """Measure all systems, or those whose names begin with one of `only`. Files lie in `directory`, one system at a time."""
    kind = machine.file_system(directory)
    if kind in machine.MEMORY_ONLY:
        say(f"The files would lie on {kind}, which makes nothing durable. Name a directory on a disk: --dir")
    about = machine.describe(directory)
    chosen = [system for system in ALL if not only or any(system.name.startswith(name) for name in only)]
    missing = {system.name: why for system in chosen if (why := system.missing()) is not None}
    for name, why in missing.items():
        say(f"{name} is left out: {why}.")
    present = [system for system in chosen if system.name not in missing]
    found: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    for repetition in range(repetitions):
        found.append({})
        for system in present:
            try:
                found[-1][system.name] = _measure(system, directory, span, f"{repetition + 1}/{repetitions}")
            except BenchmarkError as error:
                say(f"{system.name}: {error}")
                failures.append({"system": system.name, "repetition": str(repetition + 1), "why": str(error)})
    return {
        "machine": about,
        "span": span._asdict(),
        "systems": {system.name: {"title": system.title, "settings": dict(system.settings())} for system in present},
        "missing": {name: {"title": _title(name), "why": why} for name, why in missing.items()},
        "failures": failures,
        "repetitions": found,
    }


def _title(name: str) -> str:
    return next(system.title for system in ALL if system.name == name)


def _measure(system: System, directory: Path, span: Span, turn: str) -> dict[str, Any]:
    """All modes of a system, in a fresh directory that is gone afterwards.

    Raises: BenchmarkError.
    """
    place = Path(tempfile.mkdtemp(prefix="votesync-bench-", dir=directory))
    try:
        modes = {}
        with system.running(place / "run") as running:
            for mode in system.modes:
                modes[mode.name] = running.measure(mode, span)
                told = modes[mode.name]
                say(f"{turn} {system.name:<20} {mode.name:<10} {short(told['rate']):>8} msg/s  p50 {told['p50_us']} µs")
        return modes
    finally:
        shutil.rmtree(place, ignore_errors=True)
        time.sleep(0.5)  # let the disk come to rest
