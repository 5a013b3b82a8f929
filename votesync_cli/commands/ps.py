"""`votesync ps`: the services of the project as the engine finds them."""

from __future__ import annotations

from votesync_cli.commands.context import open_engine, read_or_bare
from votesync_cli.engines.base import Observed
from votesync_cli.options import Common
from votesync_cli.results import PsResult, ServiceRow


def ps(common: Common) -> PsResult:
    """Show the project's services, those too that the compose file no longer names."""
    project = read_or_bare(common)
    with open_engine(common, project) as engine:
        found = sorted(engine.observe(project), key=lambda observed: (observed.role != "node", observed.id))
        return PsResult(project.name, engine.name, tuple(_row(observed) for observed in found))


def _row(observed: Observed) -> ServiceRow:
    return ServiceRow(
        service=observed.service,
        role=observed.role,
        id=observed.id,
        state=observed.state,
        health=observed.health,
        exit_code=observed.exit_code,
        client_address=observed.client_address,
        pid=observed.pid,
        container=observed.container,
    )
