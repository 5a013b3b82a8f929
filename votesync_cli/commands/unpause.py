"""`votesync unpause NODE`: let a frozen node go on."""

from __future__ import annotations

from votesync_cli.commands.act import act, refuse_unless_running
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.options import Common, NodeArgument
from votesync_cli.results import Said


def unpause(common: Common, node: NodeArgument) -> Said:
    """Let a frozen node go on where it was."""
    return act(common, node, "unpause", "goes on", _unpause)


def _unpause(engine: Engine, project: ComposeProject, service: Service, found: Observed) -> None:
    if found.state == "paused":
        engine.unpause(project, service.name)
    else:
        refuse_unless_running("unpaused", found)
