"""`votesync tail`: the votes as they happen, in one table, in order over all nodes and their restarts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from votesync_cli import completing, runs
from votesync_cli.commands.context import each, open_engine, read_project
from votesync_cli.commands.gathering import RunOption, layout, nodes_of, resolved
from votesync_cli.commands.tailing import JsonOutput, LastRounds, Output, Show, read_all
from votesync_cli.commands.tailing import follow as follow_on
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine
from votesync_cli.errors import CommandFailed, EnvironmentFault, Inconclusive, UsageError
from votesync_cli.options import Common
from votesync_cli.sampling import Sampler
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import HAPPENINGS, ROUND, Selection

FOLLOWED = 20  # rounds of the past that are shown before what comes

FollowOption = Annotated[bool, typer.Option("--follow/--no-follow", "-f", help="Go on with what comes; Ctrl-C ends it.")]
LastOption = Annotated[
    str | None, typer.Option("-n", "--last", metavar="N|all", help="Rounds of the past; default: 20, or all with --no-follow.")
]
NodeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--node", metavar="NODE", help="Only what concerns this node; may repeat.", autocompletion=completing.services
    ),
]
EventOption = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        metavar="EVENT",
        help="Only these: round, leader, timeout, …; may repeat.",
        autocompletion=completing.listed(ROUND, *sorted(HAPPENINGS)),
    ),
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only what is newer: 90s, 10m, 2h, or 2026-01-31T12:00:00.")
]


def tail(
    common: Common,
    follow: FollowOption = True,
    last: LastOption = None,
    node: NodeOption = None,
    event: EventOption = None,
    since: SinceOption = None,
    run: RunOption = None,
) -> int:
    """Show the votes as they happen: each round with its votes and writers, elections and losses between them.

    With --run it shows what was recorded, from the first round to the last. With --json every round and every happening is
    one line and none is left out. On a live table, more than 200 rounds a second are sampled, and the table says so. Ctrl-C
    ends the table and never the cluster.
    """
    kept = resolved(common, run)
    if kept is not None:
        return _replay(common, kept, node or (), _events(event or ()), since, _last(last, follow=False))
    project = read_project(common)
    about = frozenset(project.find(name).id for name in node or ())
    chosen = Selection(about, _events(event or ()), _time(since, time.time()) if since else None)
    keep = _last(last, follow=follow)
    with open_engine(common, project) as engine:
        running = _nodes_that_run(engine, project)
        stream = VoteStream(service.id for service in project.nodes)
        show = Show(stream, chosen, _output(common, [node.id for node in project.nodes], chosen), LastRounds(keep))
        names = [service.name for service in project.nodes]
        lines = engine.logs(project, names, follow=follow, since=chosen.since)
        if not follow:
            return read_all(lines, show)
        for service in project.nodes:
            if service.name not in running:
                stream.hush(service.id)
        floor = 0 if keep is None else max(0, _written(engine, project, sorted(running)) - 2 * keep - 64)
        return follow_on(lines, show, Sampler(floor=floor), sample=not common.json)


def _replay(
    common: Common, run: Path, names: Sequence[str], events: frozenset[str], since: str | None, keep: int | None
) -> int:
    """The recorded votes of a kept run; `since` counts back from its end.

    Raises: Inconclusive where no vote log was kept, UsageError.
    """
    from votesync_cli.engines import local_logs

    logs = sorted(layout(run).votes.glob("*.log"))
    nodes = nodes_of(logs)
    if not nodes:
        raise Inconclusive(f"No vote logs were kept of run {run.name}.", "See what it has: votesync runs show.")
    found = runs.read(run)
    end = found.kept.timestamp() if found is not None and found.kept is not None else time.time()
    chosen = Selection(frozenset(_node_of(name, nodes) for name in names), events, _time(since, end) if since else None)
    show = Show(VoteStream(nodes), chosen, _output(common, nodes, chosen), LastRounds(keep))
    try:
        return read_all(local_logs.read({path.stem: path for path in logs}, chosen.since, None), show)
    except OSError as error:
        raise EnvironmentFault(f"{error.filename} cannot be read: {error.strerror}.", "Look at its permissions.") from error


def _node_of(text: str, nodes: Sequence[int]) -> int:
    """The node of a kept run that is meant by its id or its service's name.

    Raises: UsageError.
    """
    match = re.fullmatch(r"(cluster_sync_)?(\d{1,4})", text)
    found = int(match[2]) - bool(match[1]) if match else -1
    if found not in nodes:
        raise UsageError(f"There is no node {text!r} in this run.", f"Its nodes are {', '.join(map(str, nodes))}.")
    return found


def _output(common: Common, nodes: Sequence[int], chosen: Selection) -> Output:
    if common.json:
        return JsonOutput()
    from votesync_cli.views_tail import output

    return output(common, tuple(nodes), chosen.events)


def _nodes_that_run(engine: Engine, project: ComposeProject) -> frozenset[str]:
    """The node services that may write.

    Raises: CommandFailed where the project has none.
    """
    found = [observed for observed in engine.observe(project) if observed.role == "node"]
    if not found:
        raise CommandFailed(
            f"Project {project.name} has no nodes on the {engine.name} engine.", "Start them with `votesync up`."
        )
    return frozenset(observed.service for observed in found if observed.state == "running")


def _written(engine: Engine, project: ComposeProject, names: Sequence[str]) -> int:
    """The last round that any node knows to be written; 0 where none answers."""
    answers = each(names, lambda name: engine.admin(project, name, {"op": "status"}, 1.0)).values()
    rounds = [answer.get("written_round") for answer in answers if isinstance(answer, dict)]
    return max((index for index in rounds if isinstance(index, int)), default=0)


def _events(names: Iterable[str]) -> frozenset[str]:
    """The events that are asked for.

    Raises: UsageError for one that there is not.
    """
    wanted = frozenset(part for name in names for part in name.replace("-", "_").split(",") if part)
    unknown = sorted(wanted - HAPPENINGS - {ROUND})
    if unknown:
        raise UsageError(f"There is no event {unknown[0]!r}.", f"Choose among {', '.join(sorted(HAPPENINGS | {ROUND}))}.")
    return wanted


def _last(text: str | None, *, follow: bool) -> int | None:
    """How many rounds of the past are shown; None for all.

    Raises: UsageError.
    """
    if text is None:
        return FOLLOWED if follow else None
    if text == "all":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise UsageError(f"-n takes a number of rounds or all, not {text!r}.", "Say for example: votesync tail -n 50")
    return int(text)


def _time(text: str, now: float) -> float:
    """A point in time, in Unix seconds, from `10m` before now, Unix seconds, or a date and time (local where it has no zone).

    Raises: UsageError.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is not None:
        return now - float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        hint = f"Say how long ago (90s, 10m, 2h) or when ({datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ})."
        raise UsageError(f"--since cannot be read: {text!r}.", hint) from None
