"""`votesync fault …`: make the nodes treat their own links and clocks badly, see which faults are at work, end them.

The faults live in the nodes' own transport, so they are the same on every engine and need no rights; each node ends
its own when the time is over, whether this program is still there or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from votesync_cli import completing
from votesync_cli.commands import keeping
from votesync_cli.commands.asking import ask_nodes
from votesync_cli.commands.context import each, open_engine, read_project
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine
from votesync_cli.errors import CommandFailed, UsageError, VotesyncError
from votesync_cli.fault_results import FaultDone, FaultList
from votesync_cli.fault_words import KINDS, Request, duration_of, parse_fault
from votesync_cli.options import Common
from votesync_cli.results import NodeStatus

_NOT_ALLOWED = "takes no faults"

WordsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="WHAT…",
        help="partition 0,1/2,3,4 | cut 1:3 | delay 2 80ms±20ms | drop 4 10% | dup | reorder | skew 3 +2s | list | heal "
        "[WHAT]. Links: 2 is all of node 2, 1:3 one way, '1<->3' both; leader, holder and all are nodes too.",
        autocompletion=completing.fault_words,
    ),
]
ForOption = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="End by itself after this time.")]
SeedOption = Annotated[int | None, typer.Option("--seed", metavar="N", help="The same dice again.")]


def fault(common: Common, what: WordsArgument, for_: ForOption = None, seed: SeedOption = None) -> FaultDone | FaultList:
    """Make links and clocks of nodes fail, list what is at work, or heal it. The cluster needs `up --faults`."""
    project = read_project(common)
    seconds = None if for_ is None else duration_of("--for", for_)
    if seed is not None and not 0 <= seed < 2**63:
        raise UsageError(f"--seed cannot be {seed}.", f"It takes a whole number from 0 to {2**63 - 1}.")
    with open_engine(common, project) as engine:
        match what:
            case ["list"]:
                return listed(engine, project)
            case ["heal", *kinds]:
                done = heal(engine, project, kinds)
            case _:
                done = start(engine, project, what, seconds, seed)
    keeping.note_deed(project, "fault", done.text)
    return done


def start(engine: Engine, project: ComposeProject, words: Sequence[str], seconds: float | None, seed: int | None) -> FaultDone:
    """Ask every running node for the fault.

    Raises: UsageError, CommandFailed where the cluster takes no faults or a node refuses.
    """
    nodes = [node.id for node in project.nodes]
    order = parse_fault(words, nodes, lambda role: who_is(engine, project, role))
    more: Request = {} if seed is None else {"seed": seed}
    if seconds is not None:
        more["for_ms"] = seconds * 1000
    applied, unreached = ask_each(engine, project, [request | more for request in order.requests])
    return FaultDone(order.text, applied, unreached, seconds)


def ask_each(
    engine: Engine, project: ComposeProject, requests: Sequence[Request], timeout: float = 2.0
) -> tuple[tuple[int, ...], dict[str, str]]:
    """Give all the requests to every node that runs: which nodes they concern, and why others were not reached.

    Raises: CommandFailed where a node refuses.
    """
    running, unreached = _running(engine, project)

    def ask(name: str) -> list[dict[str, Any]]:
        return [engine.admin(project, name, dict(request), timeout) for request in requests]

    answers = each(list(running), ask)
    applied = []
    for name, answer in answers.items():
        if isinstance(answer, VotesyncError):
            unreached[name] = answer.message
            continue
        for reply in answer:
            if reply.get("ok") is not True:
                raise _refusal(name, str(reply.get("error")))
        if any(reply.get("applied") or reply.get("healed") for reply in answer):
            applied.append(running[name])
    return tuple(sorted(applied)), unreached


def listed(engine: Engine, project: ComposeProject) -> FaultList:
    """What each node says is at work."""
    running, unreached = _running(engine, project)
    answers = each(list(running), lambda name: engine.admin(project, name, {"op": "faults"}, 2.0))
    rules: list[tuple[int, Mapping[str, Any]]] = []
    for name, answer in answers.items():
        if isinstance(answer, VotesyncError):
            unreached[name] = answer.message
        elif isinstance(found := answer.get("faults"), list):
            rules += [(running[name], rule) for rule in found if isinstance(rule, dict)]
    return FaultList(tuple(rules), unreached)


def heal(engine: Engine, project: ComposeProject, kinds: Sequence[str]) -> FaultDone:
    """End all faults, or those of some kinds; there being none is fine.

    Raises: UsageError for a kind that there is not.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"There is no fault {unknown[0]!r}.", f"Say {', '.join(KINDS)}, or nothing to heal all.")
    wanted = {"cut" if kind == "partition" else kind for kind in kinds}
    running, unreached = _running(engine, project)

    def ask(name: str) -> int:
        if not wanted:
            return _count(engine.admin(project, name, {"op": "heal"}, 2.0), "healed")
        found = engine.admin(project, name, {"op": "faults"}, 2.0).get("faults")
        numbers = [rule["id"] for rule in found if rule["kind"] in wanted] if isinstance(found, list) else []
        return sum(_count(engine.admin(project, name, {"op": "heal", "id": number}, 2.0), "healed") for number in numbers)

    answers = each(list(running), ask)
    unreached |= {name: answer.message for name, answer in answers.items() if isinstance(answer, VotesyncError)}
    healed = {running[name]: answer for name, answer in answers.items() if isinstance(answer, int)}
    many = sum(healed.values())
    text = f"healed {many} rule{'' if many == 1 else 's'}" if many else "nothing was left to heal"
    return FaultDone(text, tuple(sorted(healed)), unreached)


def who_is(engine: Engine, project: ComposeProject, role: str) -> int:
    """The node that leads, or that may write now (`holder`; the leader where nobody waits for a turn).

    Raises: CommandFailed where nobody leads.
    """
    leader = leading(ask_nodes(engine, project, 1.0))
    if leader is None or leader.status is None:
        raise CommandFailed("No node leads now, so nobody knows who that is.", "Name a node, or see `votesync status`.")
    holder = leader.status.get("holder")
    if role == "holder" and isinstance(holder, dict) and isinstance(holder.get("writer"), int):
        return int(holder["writer"])
    return leader.node


def leading(nodes: Sequence[NodeStatus]) -> NodeStatus | None:
    """Of those that say they lead, the one with the highest term."""
    claims = [node for node in nodes if node.status is not None and node.status.get("role") == "leader"]
    return max(claims, key=lambda node: int((node.status or {}).get("term", 0)), default=None)


def _running(engine: Engine, project: ComposeProject) -> tuple[dict[str, int], dict[str, str]]:
    """Services of the nodes that run -> id; and those that do not -> why they are not asked."""
    states = {found.service: found.state for found in engine.observe(project) if found.role == "node"}
    if not states:
        raise CommandFailed(
            f"Project {project.name} has no nodes on the {engine.name} engine.", "Start them with `votesync up --faults`."
        )
    running = {node.name: node.id for node in project.nodes if states.get(node.name) == "running"}
    rest = [node.name for node in project.nodes if node.name not in running]
    return running, {name: f"it is {states.get(name, 'absent')}." for name in rest}


def _count(reply: Mapping[str, Any], field: str) -> int:
    found = reply.get(field)
    return len(found) if isinstance(found, list) else 0


def _refusal(name: str, error: str) -> CommandFailed:
    if _NOT_ALLOWED in error:
        return CommandFailed("This cluster takes no faults.", "Start it with `votesync up --faults`; its data stays.")
    return CommandFailed(f"{name} refused: {error}", "See `votesync fault --help`.")
