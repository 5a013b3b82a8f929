"""PySyncObj, five members with journals. Its journal is a mapped file that is never fsynced: a figure in its favour."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.procs import BenchmarkError, Processes, child_environment, free_ports, processes, python
from benchmarks.systems.base import CLOSED, MEMBERS, PIPELINED, Meter, Mode, Span, measurement
from node_runtime.messages import NodeId
from node_runtime.records import native_block

_FORMED_S = 30.0
_SLACK_S = 15.0


class PySyncObj:
    """Each member is its own client. `batching` is its option appendEntriesUseBatch (its default: on)."""

    modes = (CLOSED, PIPELINED)

    def __init__(self, *, batching: bool) -> None:
        self.name = "pysyncobj" if batching else "pysyncobj-unbatched"
        self.title = f"PySyncObj, journal, batching {'on (its default)' if batching else 'off'}"
        self._batching = batching

    def missing(self) -> str | None:
        """It comes from PyPI."""
        return None if importlib.util.find_spec("pysyncobj") else "there is no pysyncobj here (pip install pysyncobj)"

    def settings(self) -> Mapping[str, str]:
        """Defaults, but for the journal and a quicker first connection."""
        options = f"journalFile, appendEntriesUseBatch={self._batching}, connectionRetryTime=0.2"
        version = importlib.metadata.version("pysyncobj")
        return {"version": version, "members": str(MEMBERS), "options": options, "fsync": "never"}

    @contextlib.contextmanager
    def running(self, directory: Path) -> Iterator[_Running]:
        """See `System`."""
        with processes(directory) as group:
            yield _Running(group, self._batching)


class _Running:
    def __init__(self, group: Processes, batching: bool) -> None:
        self._group = group
        self._members: list[subprocess.Popen[bytes]] = []
        self._batching = batching

    def measure(self, mode: Mode, span: Span) -> dict[str, Any]:
        """See `Running`."""
        if not self._members:
            self._form(span.size)
        meter = Meter(self._group)
        begin = time.monotonic_ns() + int(span.warm_up * 1e9)
        order = {"begin": begin, "seconds": span.seconds, "in_flight": mode.in_flight}
        for member in self._members[: mode.clients]:
            assert member.stdin is not None
            member.stdin.write(json.dumps(order).encode() + b"\n")
            member.stdin.flush()
        limit = span.warm_up + span.seconds + _SLACK_S
        reports = [json.loads(_line(member, limit)) for member in self._members[: mode.clients]]
        return measurement(reports, meter)

    def _form(self, size: int) -> None:
        ports = free_ports(MEMBERS)
        block = native_block(NodeId(0), "bench.0", 1_700_000_000_000_000, "x" * size).decode()
        for port in ports:
            others = [other for other in ports if other != port]
            journal = f"journal{port}"
            told = {"port": port, "others": others, "journal": journal, "batching": self._batching, "text": block}
            made = subprocess.Popen(
                python("-m", "benchmarks.pysync_member", json.dumps(told)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._group.directory,
                env=child_environment(),
            )
            self._group.running[f"member{port}"] = made
            self._members.append(made)
        for member in self._members:
            if _line(member, _FORMED_S) != b"ready\n":
                raise BenchmarkError("a member of PySyncObj did not become ready")


def _line(member: subprocess.Popen[bytes], seconds: float) -> bytes:
    """The next line of a member.

    Raises: BenchmarkError where none comes in time.
    """
    assert member.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(member.stdout, selectors.EVENT_READ)
        if not selector.select(seconds):
            raise BenchmarkError(f"a member of PySyncObj said nothing for {seconds:g} s")
    return member.stdout.readline()
