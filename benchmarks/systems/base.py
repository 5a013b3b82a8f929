"""What a measured system is, and what is measured of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks.procs import BenchmarkError, Processes, child_environment, python
from node_runtime.histogram import Histogram

MEMBERS = 5
START_S = 1.0  # seconds that workers get to start before they begin to work together


class Mode(NamedTuple):
    """How clients work: so many, each with so many messages under way."""

    name: str
    clients: int
    in_flight: int


CLOSED = Mode("closed", 5, 1)
ALONE = Mode("alone", 1, 1)
PIPELINED = Mode("pipelined", 5, 256)


class Span(NamedTuple):
    """How long is measured, in seconds, after how long that does not count; and how many bytes a message's text has."""

    seconds: float
    warm_up: float
    size: int


class Running(Protocol):
    """A system whose members run."""

    def measure(self, mode: Mode, span: Span) -> dict[str, Any]:
        """Let clients work; what `measurement` makes of it.

        Raises: BenchmarkError.
        """


class System(Protocol):
    """Something that takes messages."""

    @property
    def name(self) -> str:
        """A short name, for files."""

    @property
    def title(self) -> str:
        """What it is, for people."""

    @property
    def modes(self) -> tuple[Mode, ...]:
        """How it is measured."""

    def missing(self) -> str | None:
        """What this machine lacks for it, or None."""

    def settings(self) -> Mapping[str, str]:
        """How it was set, and its version."""

    def running(self, directory: Path) -> contextlib.AbstractContextManager[Running]:
        """Start the members in a directory that does not exist yet; leaving the context ends them."""


def measurement(reports: Iterable[Mapping[str, Any]], members: Meter | None = None) -> dict[str, Any]:
    """One measurement out of what the load's processes report: messages a second, latencies, cost a message."""
    latencies, acked, cpu, rate, written = Histogram(), 0, 0.0, 0.0, 0
    for said in reports:
        latencies.merge((upper, times) for upper, times in said["histogram"])
        acked += said["acked"]
        cpu += said["cpu_s"]
        rate += said["rate"]
        written += said.get("written", 0)
    if not latencies.total:
        raise BenchmarkError("nothing was acknowledged")
    made: dict[str, Any] = {
        "rate": round(rate, 1),
        "messages": latencies.total,
        "p50_us": latencies.quantile(0.5),
        "p99_us": latencies.quantile(0.99),
        "mean_us": round(latencies.sum_us / latencies.total, 1),
        "clients_cpu_us": round(1e6 * cpu / acked, 2),
        "members_cpu_us": None,
        "written_bytes": round(written / acked, 1) if written else None,
    }
    if members is not None:
        used, sent = members.used()
        made["members_cpu_us"] = round(1e6 * used / acked, 2)
        made["written_bytes"] = None if sent is None else round((sent + written) / acked, 1)
    return made


class Meter:
    """What the members use from now on."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._cpu, self._written = processes.cpu(), processes.written()

    def used(self) -> tuple[float, int | None]:
        """Seconds of processor time and bytes sent to the disk.

        Raises: BenchmarkError where a member has ended meanwhile.
        """
        self._processes.check()
        written = self._processes.written()
        sent = None if written is None or self._written is None else written - self._written
        return self._processes.cpu() - self._cpu, sent


def run_workers(kind: str, each: Sequence[Mapping[str, Any]], span: Span) -> list[dict[str, Any]]:
    """Run one process of `benchmarks.workers` for each set of arguments, all over the same time; what they report.

    Raises: BenchmarkError.
    """
    begin = time.monotonic_ns() + int((START_S + span.warm_up) * 1e9)
    common = {"begin": begin, "seconds": span.seconds, "size": span.size}
    started = [
        subprocess.Popen(
            python("-m", "benchmarks.workers", kind, json.dumps({**common, **arguments})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
        )
        for arguments in each
    ]
    return collect(started, START_S + span.warm_up + span.seconds + 20)


def collect(started: Sequence[subprocess.Popen[bytes]], seconds: float) -> list[dict[str, Any]]:
    """The JSON lines that these processes print at their end.

    Raises: BenchmarkError where one fails or takes longer than `seconds`; then all are ended.
    """
    deadline = time.monotonic() + seconds
    found = []
    try:
        for process in started:
            out, err = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
            lines = out.splitlines()
            if process.returncode or not lines:
                said = err.decode(errors="replace").strip().splitlines()
                raise BenchmarkError(f"a client ended with {process.returncode}: {said[-1] if said else 'it said nothing'}")
            found.append(json.loads(lines[-1]))
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"a client did not end within {seconds:g} s") from None
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.communicate()
    return found
