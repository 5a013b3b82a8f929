"""`votesync who`: who may write now, and who waits."""

from __future__ import annotations

from votesync_cli.board import WhoResult
from votesync_cli.board import who as who_of
from votesync_cli.commands.asking import ask_nodes
from votesync_cli.commands.context import open_engine, read_project
from votesync_cli.options import Common, TimeoutOption


def who(common: Common, timeout: TimeoutOption = 2.0) -> WhoResult:
    """Say who may write now, who waits for a turn behind it, and where messages wait; exit code 1 where nobody leads."""
    project = read_project(common)
    with open_engine(common, project) as engine:
        return who_of(project.name, ask_nodes(engine, project, timeout))
