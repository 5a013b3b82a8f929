"""`votesync kill NODE`: SIGKILL, as a crash would be."""

from __future__ import annotations

from votesync_cli.commands.act import act
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.errors import CommandFailed
from votesync_cli.options import Common, NodeArgument
from votesync_cli.results import Said


def kill(common: Common, node: NodeArgument) -> Said:
    """Kill a node at once (SIGKILL), as a crash would; a paused one too."""
    return act(common, node, "kill", "was killed", _kill)


def _kill(engine: Engine, project: ComposeProject, service: Service, found: Observed) -> None:
    if found.state not in {"running", "restarting", "paused"}:
        raise CommandFailed(
            f"{service.name} is {found.state}, so there is nothing to kill.", f"Run `votesync start {service.name}`."
        )
    engine.kill(project, service.name)
