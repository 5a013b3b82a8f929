"""Redis as a lock: `SET NX PX`, append to a shared file with fdatasync, delete. One server, `appendfsync always`."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.procs import Processes, answers, free_ports, processes
from benchmarks.systems.base import CLOSED, Meter, Mode, Span, measurement, run_workers


class RedisLock:
    """The recipe of Redis' documentation for one server; clients that find the lock taken try again after 0.25–0.75 ms."""

    name = "redis-lock"
    title = "Redis, lock + append + fdatasync"
    modes = (CLOSED,)

    def missing(self) -> str | None:
        """The program comes with Debian's redis-server."""
        return None if shutil.which("redis-server") else "there is no redis-server here (Debian: sudo apt install redis-server)"

    def settings(self) -> Mapping[str, str]:
        """One server: what a lock on Redis usually is."""
        said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout
        version = next((word[2:] for word in said.split() if word.startswith("v=")), "?")
        return {"version": version, "members": "1", "options": "appendonly yes, appendfsync always"}

    @contextlib.contextmanager
    def running(self, directory: Path) -> Iterator[_Running]:
        """See `System`."""
        (port,) = free_ports(1)
        with processes(directory) as group:
            options = {"port": str(port), "bind": "127.0.0.1", "appendonly": "yes", "appendfsync": "always", "save": ""}
            words = [word for name, value in options.items() for word in (f"--{name}", value)]
            group.start("redis", ["redis-server", *words])
            group.wait_until(lambda: answers(port), 10.0, "a Redis that listens")
            yield _Running(group, port)


class _Running:
    def __init__(self, group: Processes, port: int) -> None:
        self._group = group
        self._port = port

    def measure(self, mode: Mode, span: Span) -> dict[str, Any]:
        """See `Running`."""
        meter = Meter(self._group)
        file = str(self._group.directory / "output.txt")
        each = [{"port": self._port, "file": file, "client": client} for client in range(mode.clients)]
        return measurement(run_workers("redis-lock", each, span), meter)
