"""`votesync wait`: until every client has finished."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from votesync_cli import belongings
from votesync_cli.commands.context import POLL, last_lines, open_engine, read_project, say
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.errors import CommandFailed, Inconclusive, TimedOut
from votesync_cli.options import Common
from votesync_cli.results import ClientRow, WaitResult

LimitOption = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", help="How long to wait at most; default: for ever.")
]


def wait(common: Common, timeout: LimitOption = None) -> WaitResult:
    """Wait until every client has ended; exit code 1 where one failed, and it is named."""
    project = read_project(common)
    names = [client.name for client in project.clients]
    if not names:
        raise Inconclusive(f"{project.file.name} has no clients to wait for.", "Send messages with `votesync send`.")
    deadline = None if timeout is None else time.monotonic() + timeout
    with open_engine(common, project) as engine:
        ended = _wait(engine, project, names, deadline)
        rows = tuple(_row(engine, project, ended[name]) for name in names)
    return WaitResult(rows, project.shared_dir / belongings.OUTPUT)


def _wait(engine: Engine, project: ComposeProject, names: list[str], deadline: float | None) -> dict[str, Observed]:
    told = -1
    while True:
        found = {observed.service: observed for observed in engine.observe(project) if observed.service in names}
        absent = [name for name in names if name not in found]
        if absent:
            raise CommandFailed(f"{absent[0]} of project {project.name} does not exist.", "Start it with `votesync up`.")
        going = [name for name in names if found[name].state not in {"exited", "dead"}]
        if not going:
            return found
        if len(going) != told:
            told = len(going)
            say(f"waiting for {told} of {len(names)} clients")
        if deadline is not None and time.monotonic() > deadline:
            states = ", ".join(f"{name} ({found[name].state})" for name in going[:4]) + (" …" if len(going) > 4 else "")
            raise TimedOut(f"Time is up: {states} did not finish.", "Look at `votesync status`, or wait longer with --timeout.")
        time.sleep(POLL)


def _row(engine: Engine, project: ComposeProject, ended: Observed) -> ClientRow:
    if ended.exit_code == 0:
        return ClientRow(ended.service, 0)
    lines = last_lines(engine, project, ended.service, 1)
    return ClientRow(ended.service, ended.exit_code, lines[-1] if lines else "")
