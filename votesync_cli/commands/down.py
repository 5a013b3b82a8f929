"""`votesync down`: stop and remove what belongs to the project; what the nodes wrote stays."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from votesync_cli import belongings, engines
from votesync_cli.commands.context import open_engine, read_or_bare, say
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.options import Common
from votesync_cli.results import Said

VolumesOption = Annotated[bool, typer.Option("-v", "--volumes", help="Remove the nodes' journals too.")]


def down(common: Common, volumes: VolumesOption = False) -> Said:
    """Stop and remove the project's services, clients first; safe to run twice. Data stays, with -v all but the journals."""
    project = read_or_bare(common)
    removed = []
    with open_engine(common, project) as engine:
        for found in sorted(engine.observe(project), key=lambda observed: (observed.role == "node", -observed.id)):
            say(f"removing {found.service}")
            _remove(engine, project, found)
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
    return Said("down", text, {"project": project.name, "removed": removed, "also": [str(item) for item in rest]})


def _remove(engine: Engine, project: ComposeProject, found: Observed) -> None:
    if found.state in {"running", "restarting"}:
        grace = next((service.stop_grace_period for service in project.services if service.name == found.service), 5.0)
        engine.stop(project, found.service, grace)
    engine.remove(project, found.service)


def _forget_marks(project: ComposeProject) -> None:
    """Without journals and without a shared file to protect, the marks would only stand in the way of a new start."""
    output = project.shared_dir / belongings.OUTPUT if project.services else None
    if output is not None and (not output.exists() or output.stat().st_size == 0):
        marks = project.shared_dir / belongings.MARKS / project.cluster
        with contextlib.suppress(OSError):
            for mark in marks.iterdir():
                mark.unlink()
            marks.rmdir()
