"""`votesync status`: what each node says of itself and of the cluster."""

from __future__ import annotations

from votesync_cli.commands.context import each, open_engine, read_project
from votesync_cli.compose import Service
from votesync_cli.engines.base import Observed
from votesync_cli.errors import CommandFailed, VotesyncError
from votesync_cli.options import Common, TimeoutOption
from votesync_cli.results import NodeStatus, StatusResult


def status(common: Common, timeout: TimeoutOption = 2.0) -> StatusResult:
    """Show role, term, decided, written, lag and queue of every node; exit code 1 where no majority of them is healthy."""
    project = read_project(common)
    with open_engine(common, project) as engine:
        observed = {found.service: found for found in engine.observe(project)}
        if not any(node.name in observed for node in project.nodes):
            raise CommandFailed(
                f"Project {project.name} has no nodes on the {engine.name} engine.", "Start them with `votesync up`."
            )
        running = [name for name, found in observed.items() if found.role == "node" and found.state == "running"]
        answers = each(running, lambda name: engine.admin(project, name, {"op": "status"}, timeout))
    return StatusResult(
        project.name, tuple(_node(node, observed.get(node.name), answers.get(node.name)) for node in project.nodes)
    )


def _node(node: Service, found: Observed | None, answer: dict[str, object] | VotesyncError | None) -> NodeStatus:
    state = found.state if found is not None else "absent"
    if isinstance(answer, dict):
        return NodeStatus(node.name, node.id, state, answer)
    problem = answer.message if isinstance(answer, VotesyncError) else f"it is {state}"
    return NodeStatus(node.name, node.id, state, None, problem)
