"""`votesync up`: from nothing to a cluster that votes, or back to nothing where that fails."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from votesync_cli import belongings, engines
from votesync_cli import options as o
from votesync_cli.cluster import DEFAULT_FILE, project_name
from votesync_cli.commands import keeping
from votesync_cli.commands.context import open_engine, say
from votesync_cli.commands.file import Draft, draft_wanted, save
from votesync_cli.commands.raising import Raising, Statuses
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.errors import CommandFailed, Interrupted, VotesyncError
from votesync_cli.formation import leader
from votesync_cli.plan import Operation, changes, plan
from votesync_cli.results import PlanResult, Said

WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the cluster has formed.")]
RollbackOption = Annotated[bool, typer.Option("--rollback/--no-rollback", help="Take back what was done where it fails.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Move output.txt, histories and journals aside; start anew.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def up(
    common: o.Common,
    nodes: o.NodesOption = None,
    messages: o.MessagesOption = None,
    rate: o.RateOption = None,
    in_flight: o.InFlightOption = None,
    writer: o.WriterOption = None,
    round_window: o.RoundWindowOption = None,
    election_min: o.ElectionMinOption = None,
    election_max: o.ElectionMaxOption = None,
    heartbeat: o.HeartbeatOption = None,
    base_image: o.BaseImageOption = None,
    publish: o.PublishOption = None,
    faults: o.FaultsOption = None,
    force: o.ForceOption = False,
    timeout: o.TimeoutOption = 60.0,
    wait: WaitOption = True,
    rollback: RollbackOption = True,
    fresh: FreshOption = False,
    dry_run: DryRunOption = False,
) -> Said | PlanResult:
    """Start a cluster: write compose.yml if needed, make what is missing, wait until it has formed, start the clients."""
    asked = o.asked_of(locals())
    draft = draft_wanted(common, asked, force=force)
    project = draft.project
    for note in project.notes:
        say(f"note: {note}")
    with open_engine(common, project) as engine:
        _refuse_elsewhere(project, engine)
        if dry_run:
            steps = plan(project, engine.observe(project))
            return PlanResult(project.name, engine.name, tuple(step.to_text() for step in steps), len(changes(steps)))
        with engines.alone(project.name, project.state_dir):
            run = Raising(engine, project, time.monotonic() + timeout)
            told = {name: value for name, value in asked.items() if value is not None}
            return _raise(common, draft, run, told, fresh=fresh, wait=wait, rollback=rollback)


def _raise(
    common: o.Common, draft: Draft, run: Raising, asked: dict[str, object], *, fresh: bool, wait: bool, rollback: bool
) -> Said:
    """Compare what is wanted with what is there, carry out the difference, tell."""
    before = run.engine.observe(run.project)
    steps = plan(run.project, before)
    _settle_data(run.project, before, fresh=fresh)
    for line in save(common, draft):
        say(line)
    begun = keeping.begin(run.engine, run.project, steps, anew=not before)
    statuses = carry_out(run, steps, before, wait=wait, rollback=rollback)
    keeping.open_for(run.project, run.engine.name, asked | ({"fresh": True} if fresh else {}), begun)
    return _told(draft, run.engine, steps, statuses, wait=wait)


def _refuse_elsewhere(project: ComposeProject, engine: Engine) -> None:
    """Two engines would run the same nodes on the same journals."""
    noted = engines.noted_engine(project.name, project.state_dir)
    if noted is None or noted == engine.name:
        return
    try:
        other = engines.open_engine(noted)
    except VotesyncError:
        return  # it does not answer, so nothing of it runs as far as anybody can tell; the journals are locked anyway
    with contextlib.closing(other):
        if other.observe(project):
            raise CommandFailed(
                f"Project {project.name} exists on the {noted} engine already.",
                f"Leave --engine out, or run `votesync down --engine {noted}` first.",
            )


def _settle_data(project: ComposeProject, before: Sequence[Observed], *, fresh: bool) -> None:
    """Make sure that the shared file and the journals are this cluster's, or move them out of the way."""
    if not fresh:
        belongings.check(project)
        return
    if before:
        raise CommandFailed(
            f"--fresh moves the files of project {project.name}, and services of it still exist.",
            "Run `votesync down` first.",
        )
    for line in belongings.move_aside(project, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"):
        say(line)


def carry_out(
    run: Raising, steps: tuple[Operation, ...], before: Sequence[Observed], *, wait: bool, rollback: bool
) -> Statuses | None:
    """Carry out the plan: nodes, formation, clients. Whatever stops it, Ctrl-C too, is followed by the rollback."""
    try:
        _begin(run)
        run.carry_out([step for step in steps if step.role != "client" or step.kind == "remove"])
        statuses = run.await_formation() if wait else None
        run.carry_out([step for step in steps if step.role == "client" and step.kind != "remove"])
        if wait:
            run.check_clients()
    except (VotesyncError, KeyboardInterrupt) as error:
        if rollback:
            run.take_back(alone=not before)
            if not before:
                engines.note_engine(run.project.name, run.project.state_dir, None)
        if isinstance(error, KeyboardInterrupt):
            ending = "what was started has been removed" if rollback else "what was started goes on"
            raise Interrupted(f"Interrupted: {ending}.", "Run `votesync up` again when you like.") from None
        raise
    return statuses


def _begin(run: Raising) -> None:
    engine, project = run.engine, run.project
    engines.note_engine(project.name, project.state_dir, engine.name)
    started = time.monotonic()
    engine.prepare(project, say)
    run.deadline += time.monotonic() - started  # building an image is not what --timeout is for
    belongings.note_members(project)


def _told(draft: Draft, engine: Engine, steps: tuple[Operation, ...], statuses: Statuses | None, *, wait: bool) -> Said:
    project = draft.project
    done = changes(steps)
    facts: dict[str, object] = {
        "project": project.name,
        "engine": engine.name,
        "nodes": len(project.nodes),
        "clients": len(project.clients),
        "operations": [{"kind": step.kind, "service": step.service, "reason": step.reason} for step in done],
        "formed": wait,
        "leader": leader(statuses) if statuses else None,
        "output": str(project.shared_dir / belongings.OUTPUT),
    }
    head = f"{project.name}: {len(project.nodes)} nodes and {len(project.clients)} clients on the {engine.name} engine"
    head += f", led by node {facts['leader']}." if statuses else ", started without waiting."
    if not done:
        head += " There was nothing to do."
    flags = _flags(project)
    width = max(len(verb) for verb, _ in _NEXT) + len(flags)
    commands = [(verb.format(last=len(project.nodes) - 1) + flags, what) for verb, what in _NEXT]
    lines = [f"  votesync {command:<{width}}  {what}" for command, what in commands]
    return Said("up", "\n".join([head, "Next:", *lines]), facts)


def _flags(project: ComposeProject) -> str:
    """What the next commands need to mean this project, when they are pasted into this shell."""
    named = "" if project.name == project_name(None, os.environ, project.directory.name) else f" -p {project.name}"
    default = project.file == Path(DEFAULT_FILE).absolute().resolve()
    return named if default else f"{named} --file {shlex.quote(os.path.relpath(project.file))}"


_NEXT = (
    ("tail -f", "watch the votes"),
    ("wait", "until every client has finished"),
    ("verify", "check shared_data/output.txt"),
    ("kill {last}", "break something"),
    ("down", "stop and remove it all"),
)
