"""What `top` and `who` begin with: every node's own status, asked all at once."""

from __future__ import annotations

from votesync_cli.commands.context import each
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine
from votesync_cli.errors import CommandFailed, VotesyncError
from votesync_cli.results import NodeStatus


def ask_nodes(engine: Engine, project: ComposeProject, timeout: float) -> tuple[NodeStatus, ...]:
    """The status of every node of the project, or why there is none; `timeout` in seconds.

    Raises: CommandFailed where the project has no nodes on this engine.
    """
    observed = {found.service: found for found in engine.observe(project) if found.role == "node"}
    if not observed:
        raise CommandFailed(
            f"Project {project.name} has no nodes on the {engine.name} engine.", "Start them with `votesync up`."
        )
    running = [name for name, found in observed.items() if found.state == "running"]
    answers = each(running, lambda name: engine.admin(project, name, {"op": "status"}, timeout))
    told = []
    for node in project.nodes:
        state = observed[node.name].state if node.name in observed else "absent"
        answer = answers.get(node.name)
        problem = answer.message if isinstance(answer, VotesyncError) else f"it is {state}"
        status = answer if isinstance(answer, dict) else None
        told.append(NodeStatus(node.name, node.id, state, status, "" if status else problem))
    return tuple(told)
