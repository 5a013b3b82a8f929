"""`votesync pause NODE`: freeze a node, as a long garbage collection or a sleeping laptop would."""

from __future__ import annotations

from votesync_cli.commands.act import act, refuse_unless_running
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.options import Common, NodeArgument
from votesync_cli.results import Said


def pause(common: Common, node: NodeArgument) -> Said:
    """Freeze a node without ending it: it is there, and says nothing."""
    return act(common, node, "pause", "is paused", _pause)


def _pause(engine: Engine, project: ComposeProject, service: Service, found: Observed) -> None:
    if found.state != "paused":
        refuse_unless_running("paused", found)
        engine.pause(project, service.name)
