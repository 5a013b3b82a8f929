"""The machine that a benchmark ran on, in a few words. No names of hosts or directories."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.procs import ROOT

MEMORY_ONLY = frozenset({"tmpfs", "ramfs"})


def describe(directory: Path) -> dict[str, Any]:
    """What counts for the figures; `directory` is where the systems keep their files."""
    load = os.getloadavg()[0]
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": file_system(directory),
        "python": platform.python_version(),
        "uvloop": _version("uvloop"),
        "commit": _commit(),
        "load_before": round(load, 2),
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def file_system(directory: Path) -> str:
    """The type of the file system that holds a directory: ext4, tmpfs …"""
    found, longest = "?", -1
    place = str(directory.resolve())
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= longest:
            found, longest = kind, len(mount)
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    said = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return said.stdout.strip() or None
