"""`votesync restart NODE`: stop it gently and start it again."""

from __future__ import annotations

from votesync_cli.commands.act import act, refuse_paused
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.options import Common, NodeArgument
from votesync_cli.results import Said


def restart(common: Common, node: NodeArgument) -> Said:
    """Stop a node gently and start it again."""
    return act(common, node, "restart", "was restarted", _restart)


def _restart(engine: Engine, project: ComposeProject, service: Service, found: Observed) -> None:
    refuse_paused("restarted", found)
    engine.stop(project, service.name, service.stop_grace_period)
    engine.start(project, service.name)
