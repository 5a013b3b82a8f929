"""`votesync start NODE`: start what was stopped or killed."""

from __future__ import annotations

from votesync_cli.commands.act import act, refuse_paused
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.options import Common, NodeArgument
from votesync_cli.results import Said


def start(common: Common, node: NodeArgument) -> Said:
    """Start a node that was stopped or killed; it goes on from its journal."""
    return act(common, node, "start", "runs", _start)


def _start(engine: Engine, project: ComposeProject, service: Service, found: Observed) -> None:
    refuse_paused("started", found)
    if found.state not in {"running", "restarting"}:
        engine.start(project, service.name)
