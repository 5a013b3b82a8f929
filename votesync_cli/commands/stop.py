"""`votesync stop NODE`: SIGTERM, and SIGKILL for what does not listen."""

from __future__ import annotations

from votesync_cli.commands.act import act
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.options import Common, NodeArgument
from votesync_cli.results import Said


def stop(common: Common, node: NodeArgument) -> Said:
    """Stop a node gently (SIGTERM); one that has not ended after its grace period is killed."""
    return act(common, node, "stop", "is stopped", _stop)


def _stop(engine: Engine, project: ComposeProject, service: Service, found: Observed) -> None:
    if found.state == "paused":
        engine.unpause(project, service.name)  # a frozen process cannot hear SIGTERM
    engine.stop(project, service.name, service.stop_grace_period)
