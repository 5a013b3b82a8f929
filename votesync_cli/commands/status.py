"""`votesync status`: what each node says of itself and of the cluster."""

from __future__ import annotations

from votesync_cli.commands.asking import ask_nodes
from votesync_cli.commands.context import open_engine, read_project
from votesync_cli.options import Common, TimeoutOption
from votesync_cli.results import StatusResult


def status(common: Common, timeout: TimeoutOption = 2.0) -> StatusResult:
    """Show role, term, decided, written, lag and queue of every node; exit code 1 where no majority of them is healthy."""
    project = read_project(common)
    with open_engine(common, project) as engine:
        return StatusResult(project.name, ask_nodes(engine, project, timeout))
