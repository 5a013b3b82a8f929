"""The processes of a benchmark: started with their own logs, looked at through /proc, ended one by one by their ids."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
_TICK = os.sysconf("SC_CLK_TCK")
_END_S = 10.0


class BenchmarkError(Exception):
    """A benchmark cannot go on; the text says why."""


class Processes:
    """What one system runs; leaving the context ends all of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to `<name>.log`.

        Raises: BenchmarkError where there is no such program.
        """
        with open(self.directory / f"{name}.log", "ab") as log:
            try:
                made = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.directory,
                    env=child_environment(environment),
                )
            except OSError as error:
                raise BenchmarkError(f"{command[0]} cannot be started: {error.strerror}") from None
        self.running[name] = made
        return made

    def stop(self) -> None:
        """SIGTERM to each, and SIGKILL to what is still there after ten seconds."""
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _END_S
        for process in self.running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def check(self) -> None:
        """Raises: BenchmarkError with its last words where a process has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                log = self.directory / f"{name}.log"
                said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
                raise BenchmarkError(f"{name} ended with {process.returncode}: {said[-1] if said else 'it said nothing'}")

    def wait_until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition.

        Raises: BenchmarkError where it does not come about in time or a process ends.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            self.check()
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{what} did not come about within {seconds:g} s")
            time.sleep(0.02)

    def pids(self) -> list[int]:
        """The ids of what runs."""
        return [process.pid for process in self.running.values() if process.poll() is None]

    def cpu(self) -> float:
        """Seconds of processor time that the processes have used so far."""
        return sum(map(cpu_of, self.pids()))

    def written(self) -> int | None:
        """Bytes that they have sent to the disk so far; None where the kernel does not tell."""
        found = [written_by(pid) for pid in self.pids()]
        return None if None in found else sum(filter(None, found))

    def rss(self) -> list[int]:
        """Bytes of memory of each, as the kernel counts resident pages."""
        return [rss_of(pid) for pid in self.pids()]


def child_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a child is told: what we are told, this checkout first on the path of modules, and `more`."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(more or {})}


def python(*words: str) -> list[str]:
    """A command for this interpreter."""
    return [sys.executable, *words]


def cpu_of(pid: int) -> float:
    """Seconds of processor time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def written_by(pid: int) -> int | None:
    """Bytes that a process has sent to the disk, or None."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
    return None


def rss_of(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def answers(port: int) -> bool:
    """Whether somebody listens on this port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


@contextlib.contextmanager
def processes(directory: Path) -> Iterator[Processes]:
    """Processes with a directory of their own."""
    directory.mkdir(parents=True)
    with Processes(directory) as made:
        yield made
