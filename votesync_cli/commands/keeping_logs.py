"""Gathering the lines that the services wrote: from the engine's files where it has them, else through the engine, in time.

Reading through an engine may hang with it, so each service has a thread that nobody waits for longer than there is time.
"""

from __future__ import annotations

import threading
from pathlib import Path

from votesync_cli import runs
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.errors import VotesyncError
from votesync_cli.runs_copy import Budget, copy_head, cut_to_lines, link_or_copy

_LAST_CHANCE = 1.0  # seconds for a reader to hear that time is over
_AT_ONCE = 8  # services that are read through the engine at the same time


def keep_logs(engine: Engine, project: ComposeProject, stage: Path, budget: Budget, *, final: bool) -> None:
    """Put each service's log below `stage`; `final`: nobody writes to them any more.

    Raises: VotesyncError where the engine does not say which services there are, OSError.
    """
    found = list(engine.observe(project))
    files = engine.log_files(project)
    rest = []
    for one in found:
        target = _target(stage, one)
        target.parent.mkdir(exist_ok=True)
        source = files.get(one.service)
        if source is None:
            rest.append(one)
        elif source.exists():
            (link_or_copy if final else copy_head)(source, target, budget, what=_what(one))
    for place in range(0, len(rest), _AT_ONCE):
        _read(engine, project, rest[place : place + _AT_ONCE], stage, budget)


def _target(stage: Path, one: Observed) -> Path:
    return stage / (runs.VOTES if one.role == "node" else runs.CLIENTS) / f"{one.service}.log"


def _what(one: Observed) -> str:
    return f"{runs.LOG_OF} {one.service}"


def _read(engine: Engine, project: ComposeProject, some: list[Observed], stage: Path, budget: Budget) -> None:
    """Read these at once, each into its file."""
    readers = [_Reader(engine, project, one, _target(stage, one), budget.bytes // len(some)) for one in some]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(None if budget.deadline == float("inf") else max(0.0, budget.seconds_left))
    for reader in readers:
        reader.stop.set()
    for reader in readers:
        reader.join(_LAST_CHANCE)
        if reader.is_alive():
            budget.missing.append(f"{_what(reader.one)}: the engine did not give it in time")
            reader.target.unlink(missing_ok=True)
            continue
        budget.bytes -= reader.written
        if reader.problem:
            budget.missing.append(f"{_what(reader.one)} from byte {reader.written:,} on: {reader.problem}")


class _Reader(threading.Thread):
    """Copies one service's lines; after `stop`, or `most` bytes, it ends with a whole line."""

    def __init__(self, engine: Engine, project: ComposeProject, one: Observed, target: Path, most: int) -> None:
        super().__init__(name=f"keep-{one.service}", daemon=True)
        self.one = one
        self.target = target
        self.stop = threading.Event()
        self.written = 0
        self.problem = ""
        self._engine, self._project, self._most = engine, project, most

    def run(self) -> None:
        """Read until the end; `problem` says why that was not reached."""
        try:
            with self.target.open("xb") as out:
                for piece in self._engine.raw_log(self._project, self.one.service):
                    out.write(piece)
                    self.written += len(piece)
                    if self.stop.is_set() or self.written > self._most:
                        self.problem = "the time to gather was over" if self.stop.is_set() else "it is more than a run keeps"
                        break
            if self.problem:
                self.written = cut_to_lines(self.target, self._most)
        except VotesyncError as error:
            self.problem = error.message
        except OSError as error:
            self.problem = str(error.strerror or error)
