"""What the machine itself can do: nobody who keeps the same promises is faster than some of these."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.procs import answers, free_ports, processes, python
from benchmarks.systems.base import ALONE, CLOSED, Mode, Span, measurement, run_workers


class _Workers:
    """Workers without members."""

    def __init__(self, kind: str, directory: Path, **arguments: int) -> None:
        self._kind = kind
        self._arguments: dict[str, Any] = {"file": str(directory / "output.txt"), **arguments}

    def measure(self, mode: Mode, span: Span) -> dict[str, Any]:
        """See `Running`."""
        each = [{**self._arguments, "client": client} for client in range(mode.clients)]
        return measurement(run_workers(self._kind, each, span))


class _Limit:
    """A system that has no members and lacks nothing."""

    kind = ""
    modes: tuple[Mode, ...] = (ALONE,)

    def missing(self) -> str | None:
        """Python has all it takes."""
        return None

    def settings(self) -> Mapping[str, str]:
        """Nothing to set."""
        return {}

    @contextlib.contextmanager
    def running(self, directory: Path) -> Iterator[_Workers]:
        """See `System`."""
        directory.mkdir(parents=True)
        yield _Workers(self.kind, directory)


class Flock(_Limit):
    """Five processes that share a lock of the operating system: one machine, no agreement."""

    name = "flock"
    title = "flock + append + fdatasync, five processes, no agreement"
    kind = "flock"
    modes = (CLOSED,)


class GroupCommit(_Limit):
    """One process that appends so many blocks at a time."""

    kind = "group-commit"

    def __init__(self, group: int) -> None:
        self.name = f"group-commit-{group}"
        self.title = f"one process, fdatasync every {group} block{'s' if group > 1 else ''}"
        self._group = group

    @contextlib.contextmanager
    def running(self, directory: Path) -> Iterator[_Workers]:
        """See `System`."""
        directory.mkdir(parents=True)
        yield _Workers(self.kind, directory, group=self._group)


class Fdatasync(_Limit):
    """A block over an older one, and fdatasync: what making something durable takes at least."""

    name = "fdatasync"
    title = "fdatasync alone (a block in a file of fixed length)"
    kind = "fdatasync"


class Loopback(_Limit):
    """A block over TCP to another process and back."""

    name = "loopback"
    title = "a loopback round trip"
    kind = "loopback"

    @contextlib.contextmanager
    def running(self, directory: Path) -> Iterator[_Workers]:
        """See `System`."""
        (port,) = free_ports(1)
        with processes(directory) as group:
            group.start("echo", python("-m", "benchmarks.workers", "echo", str(port)))
            group.wait_until(lambda: answers(port), 10.0, "an echo")
            yield _Workers(self.kind, directory, port=port)
