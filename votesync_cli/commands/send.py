"""`votesync send`: lines, from arguments or standard input, through a node; each stands in the file exactly once.

The client runs beside a node (`docker exec`, or on loopback) and goes on with another node when its own dies. When it
dies with the container it ran in, it is run again beside another node with the same session and numbers: what was
written is acknowledged again and not written again.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from node_runtime.records import TYPED, is_session
from votesync_cli import completing
from votesync_cli.commands.context import open_engine, read_project, say
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Finished
from votesync_cli.errors import CommandFailed, UsageError, VotesyncError
from votesync_cli.options import Common, TimeoutOption
from votesync_cli.results import SendResult

LinesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[LINE]...", help="The lines; default, or -: standard input.")
]
NodeOption = Annotated[
    str | None,
    typer.Option(
        "--node", metavar="NODE", help="The node to send through; default: the first.", autocompletion=completing.services
    ),
]
SessionOption = Annotated[
    str | None, typer.Option("--session", metavar="NAME", help="The session to go on with; default: a new one.")
]

_LINES_A_SECOND = 50  # far below what a cluster takes: only for the time after which a client counts as lost
_SLACK = 10.0  # seconds for the start of the client


def send(
    common: Common,
    lines: LinesArgument = None,
    node: NodeOption = None,
    session: SessionOption = None,
    timeout: TimeoutOption = 30.0,
) -> SendResult:
    """Send lines and wait until each is written; exit code 1 where one was not acknowledged."""
    if session is not None and not is_session(session):
        raise UsageError(f"--session cannot be {session!r}.", "It takes 1 to 64 letters, digits, _ . : and -.")
    project = read_project(common)
    preferred = project.find(node) if node is not None else None
    if preferred is not None and preferred.role != "node":
        raise UsageError(f"{preferred.name} is a client.", "Messages are sent through a node.")
    data = _input(lines)
    with open_engine(common, project) as engine:
        name = session or f"{TYPED}{secrets.token_hex(6)}"
        batch = Batch(engine, project, data, name, timeout, None if session else 1)
        return batch.send(_order(engine, project, preferred))


def _input(lines: list[str] | None) -> bytes:
    """The lines as the client reads them: each ends with a line feed."""
    if lines and lines != ["-"]:
        return b"".join(os.fsencode(line) + b"\n" for line in lines)
    if sys.stdin.isatty():
        say("Type lines; end with Ctrl-D.")
    data = sys.stdin.buffer.read()
    if not data:
        raise UsageError("There is nothing to send.", "Give lines as arguments or on standard input: votesync send hello")
    return data if data.endswith(b"\n") else data + b"\n"


def _order(engine: Engine, project: ComposeProject, preferred: Service | None) -> list[Service]:
    """The nodes that run, the preferred one first.

    Raises: CommandFailed where none runs.
    """
    running = {found.service for found in engine.observe(project) if found.state == "running"}
    nodes = [service for service in project.nodes if service.name in running]
    if not nodes:
        raise CommandFailed(f"No node of project {project.name} is running.", "Start them with `votesync up`.")
    if preferred is not None and preferred not in nodes:
        say(f"{preferred.name} is not running; sending through {nodes[0].name}.")
    return sorted(nodes, key=lambda service: service != preferred)


@dataclass(slots=True)
class Batch:
    """Lines on their way. `first` is the number of the first of them, once it is known."""

    engine: Engine
    project: ComposeProject
    data: bytes
    session: str
    timeout: float
    first: int | None
    acks: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def send(self, nodes: Sequence[Service]) -> SendResult:
        """Run the client beside one node after the other until it has an answer for every line.

        Raises: CommandFailed where it cannot be run beside any of them.
        """
        problem: VotesyncError | None = None
        for number, node in enumerate(nodes):
            if number and self.first is None:
                break  # lines may have been taken, and without their numbers a second run could double them
            try:
                finished = self._run(node, nodes)
            except VotesyncError as error:
                problem = error
                continue
            if self._read(finished) or finished.code in {0, 1, 2}:
                self._check(finished)
                return self._result()
            problem = CommandFailed(f"The client beside {node.name} ended with {finished.code}.", "See `votesync ps`.")
            say(f"{node.name} went away; going on through another node.")
        if self.acks or problem is None:
            return self._result()
        raise problem

    def _run(self, node: Service, nodes: Sequence[Service]) -> Finished:
        addresses = [f"{other.id}={other.name}:{other.environment.get('PORT') or 5000 + other.id}" for other in nodes]
        command = [
            "python",
            "-m",
            "node_runtime",
            "client",
            "send",
            "--session",
            self.session,
            "--timeout",
            f"{self.timeout:g}",
        ]
        command += [word for address in addresses for word in ("--node", address)]
        command += ["--first", str(self.first)] if self.first is not None else []
        limit = self.timeout + _SLACK + self._count() / _LINES_A_SECOND
        return self.engine.run(self.project, node.name, command, self.data, limit)

    def _count(self) -> int:
        return self.data.count(b"\n")

    def _read(self, finished: Finished) -> bool:
        """Take the acknowledgements; whether every line has its answer. The first ack of an older session numbers its lines."""
        self.refused = []
        for line in finished.stdout.splitlines():
            try:
                reply = json.loads(line)
            except ValueError:
                continue
            if isinstance(reply, dict) and reply.get("ok") and isinstance(reply.get("seq"), int):
                self.acks.setdefault(reply["seq"], reply)
            elif isinstance(reply, dict):
                self.refused.append(reply)
        if self.first is None and self.acks:
            self.first = min(self.acks)
        return len(self.acks) + len(self.refused) >= self._count()

    def _check(self, finished: Finished) -> None:
        """Raises: UsageError with the client's own words where it took nothing at all."""
        if not self.acks and not self.refused and finished.code != 0:
            said = finished.stderr.decode(errors="replace").strip().splitlines()
            raise CommandFailed(
                f"The client could not send: {said[-1] if said else 'it gave no reason'}.",
                "See how the nodes are: `votesync status`.",
            )

    def _result(self) -> SendResult:
        acks = [self.acks[seq] for seq in sorted(self.acks)]
        return SendResult((*acks, *self.refused), self._count())
