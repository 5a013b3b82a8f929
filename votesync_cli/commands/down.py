"""`votesync down`: stop and remove what belongs to the project; what the nodes wrote stays."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated

import typer

from votesync_cli import belongings, engines
from votesync_cli.commands import keeping
from votesync_cli.commands.context import each, open_engine, read_or_bare, say
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.errors import VotesyncError
from votesync_cli.options import Common
from votesync_cli.results import Said

VolumesOption = Annotated[bool, typer.Option("-v", "--volumes", help="Remove the nodes' journals too.")]
KeepOption = Annotated[bool, typer.Option("--keep/--no-keep", help="Keep the run's evidence under .votesync/runs.")]


def down(common: Common, volumes: VolumesOption = False, keep: KeepOption = True) -> Said:
    """Stop and remove the project's services, clients first; safe to run twice. Data stays, with -v all but the journals.

    What the run leaves behind is gathered before: see `votesync runs`.
    """
    project = read_or_bare(common)
    removed, run = [], None
    with open_engine(common, project) as engine:
        there = sorted(engine.observe(project), key=lambda observed: (observed.role == "node", -observed.id))
        stop_all(engine, project, there)
        if keep and any(found.role == "node" for found in there):
            run = keeping.finish(engine, project)
        for found in there:
            say(f"removing {found.service}")
            engine.remove(project, found.service)
            removed.append(found.service)
        rest = engine.teardown(project, volumes=volumes)
        engines.note_engine(project.name, project.state_dir, None)
    if volumes:
        _forget_marks(project)
    kept = project.services and (project.shared_dir / belongings.OUTPUT).exists()
    text = f"{project.name}: removed {len(removed)} services." if removed else f"{project.name}: there was nothing to remove."
    if kept:
        text += f" {project.shared_dir.name}/{belongings.OUTPUT} is kept."
        text += " The journals are gone, so the next start is `votesync up --fresh`." if volumes else ""
    if run is not None:
        text += f" Its run is kept: votesync runs show {run.name}"
    facts = {"project": project.name, "removed": removed, "also": [str(item) for item in rest]}
    return Said("down", text, facts | {"run": run.name if run is not None else None})


def stop_all(engine: Engine, project: ComposeProject, there: Sequence[Observed]) -> None:
    """End the clients, then all nodes at once: a node that is left alone for a moment would hold an election.

    Raises: VotesyncError of the first that could not be stopped.
    """
    grace = {service.name: service.stop_grace_period for service in project.services}
    for role in ("client", "node"):
        names = [found.service for found in there if found.role == role and found.state in {"running", "restarting"}]
        answers = each(names, lambda name: engine.stop(project, name, grace.get(name, 5.0)))
        for answer in answers.values():
            if isinstance(answer, VotesyncError):
                raise answer


def _forget_marks(project: ComposeProject) -> None:
    """Without journals and without a shared file to protect, the marks would only stand in the way of a new start."""
    output = project.shared_dir / belongings.OUTPUT if project.services else None
    if output is not None and (not output.exists() or output.stat().st_size == 0):
        marks = project.shared_dir / belongings.MARKS / project.cluster
        with contextlib.suppress(OSError):
            for mark in marks.iterdir():
                mark.unlink()
            marks.rmdir()
