"""`votesync chaos`: a cluster under load, faults drawn from a seed, then heal, drain, verify and a verdict."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from votesync_cli import belongings, completing
from votesync_cli import options as o
from votesync_cli.chaos_plan import KINDS, LINK_KINDS, Step, draw
from votesync_cli.chaos_results import ChaosResult, Plan, doubts_of, time_line
from votesync_cli.commands import chaos_judge as judge
from votesync_cli.commands import keeping
from votesync_cli.commands.chaos_run import ChaosRun
from votesync_cli.commands.context import compose_file, open_engine, read_project, say
from votesync_cli.commands.up import up
from votesync_cli.commands.verify import verify
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine
from votesync_cli.errors import CommandFailed, UsageError
from votesync_cli.fault_words import duration_of
from votesync_cli.verify.verdict import Report

_LOAD = {"messages": 1_000_000, "rate": 50.0, "in_flight": 4}  # of a cluster that is started here: more than any run needs

SeedOption = Annotated[int | None, typer.Option("--seed", metavar="N", help="What the faults are drawn from; default: any.")]
ForOption = Annotated[str, typer.Option("--for", metavar="DURATION", help="How long to make faults.")]
KindsOption = Annotated[
    str | None,
    typer.Option(
        "--kinds", metavar="A,B,…", help=f"Only these of {', '.join(KINDS)}.", autocompletion=completing.listed(*KINDS)
    ),
]
DrainOption = Annotated[
    str, typer.Option("--drain", metavar="DURATION", help="How long a healed cluster may take to be well again.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only print the schedule.")]


class _Asked(NamedTuple):
    """What a run is to be; times in seconds."""

    seed: int
    seconds: float
    patience: float


def chaos(
    common: o.Common,
    seed: SeedOption = None,
    for_: ForOption = "60s",
    kinds: KindsOption = None,
    nodes: o.NodesOption = None,
    drain: DrainOption = "60s",
    dry_run: DryRunOption = False,
) -> ChaosResult | Plan:
    """Break a cluster at random under load, heal it, and judge it: 0 PASS, 1 FAIL, 3 INCONCLUSIVE.

    A cluster that does not run yet is started, with faults allowed and clients that send all the time.
    """
    chosen, seconds, patience = _kinds(kinds), duration_of("--for", for_), duration_of("--drain", drain)
    number = secrets.randbelow(2**32) if seed is None else seed
    if dry_run:
        count = nodes or (len(read_project(common).nodes) if compose_file(common).exists() else 5)
        steps = draw(number, seconds, count, count, chosen)
        return Plan(number, tuple(step.to_text() for step in steps), tuple(step.to_json() for step in steps))
    project = _started(common, nodes)
    with open_engine(common, project) as engine:
        if kinds is None and not _takes_faults(project):
            raise CommandFailed(
                f"Project {project.name} takes no faults of links.",
                "Start it with `votesync up --faults`, or choose --kinds kill,pause,stop,client.",
            )
        steps = draw(number, seconds, len(project.nodes), len(project.clients), chosen)
        return _run(common, engine, project, steps, _Asked(number, seconds, patience))


def _kinds(text: str | None) -> tuple[str, ...]:
    if text is None:
        return KINDS
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown or not chosen:
        raise UsageError(f"--kinds cannot be {text!r}.", f"It takes a list of {', '.join(KINDS)}.")
    return chosen


def _started(common: o.Common, nodes: int | None) -> ComposeProject:
    """The project, running: as it is, or started for this."""
    if compose_file(common).exists():
        project = read_project(common)
        with open_engine(common, project) as engine:
            if any(found.role == "node" for found in engine.observe(project)):
                if nodes not in (None, len(project.nodes)):
                    raise UsageError(
                        f"Project {project.name} runs with {len(project.nodes)} nodes, not {nodes}.", "Leave --nodes out."
                    )
                return project
    said = up(
        common, nodes=nodes, faults=True, messages=int(_LOAD["messages"]), rate=_LOAD["rate"], in_flight=int(_LOAD["in_flight"])
    )
    say(said.to_text().splitlines()[0])
    return read_project(common)


def _takes_faults(project: ComposeProject) -> bool:
    return all(node.environment.get("FAULTS") in ("1", "true") for node in project.nodes)


def _run(common: o.Common, engine: Engine, project: ComposeProject, steps: Sequence[Step], asked: _Asked) -> ChaosResult:
    if any(step.kind in LINK_KINDS for step in steps) and not _takes_faults(project):
        raise CommandFailed(f"Project {project.name} takes no faults of links.", "Start it with `votesync up --faults`.")
    record = _record(project, steps, asked.seed)
    keeping.note_chaos(project, record)
    say(f"Seed {asked.seed}: {len(steps)} faults in {asked.seconds:g} s, written down in {record}.")
    for step in steps:
        say(step.to_text())
    load, since = judge.Load.begin(project), time.time()
    run = ChaosRun(engine, project, steps, record / "deeds.jsonl")
    run.carry_out()
    say("All faults are healed; waiting until everything is written.")
    wrong = list(run.ended_alone.values())
    drained = judge.drain(engine, project, load, asked.patience)
    if not run.not_started:
        wrong += drained
    return _judged(common, engine, project, run, load, since, wrong, record, asked)


def _judged(
    common: o.Common, engine: Engine, project: ComposeProject, run: ChaosRun, load: judge.Load, since: float,
    wrong: list[str], record: Path, asked: _Asked,
) -> ChaosResult:  # fmt: skip
    report = verify(common)
    assert isinstance(report, Report), "only --self-test returns anything else"
    logs = judge.vote_events(engine, project, since)
    facts = judge.facts_of(load, run.deeds, logs, len(project.clients))
    wrong = [*wrong, *([report.sentence] if report.exit_code == 1 else [])]
    timeline: tuple[str, ...] = ()
    if wrong:
        shown = judge.evidence_against(report)
        moments = judge.moments_of(run.deeds, logs, shown)
        timeline = time_line(moments, [float(vote["ts"]) for vote in shown if isinstance(vote.get("ts"), int | float)])
        _write(record / "votes.jsonl", logs)
    deeds = tuple(sorted(run.deeds, key=lambda deed: deed.number))
    stuck = [f"{name} could not be started again: {why}" for name, why in run.not_started.items()]
    doubts = (*stuck, *doubts_of(deeds, facts, judge.unchecked(report)))
    result = ChaosResult(asked.seed, asked.seconds, deeds, facts, tuple(wrong), doubts, report.page, timeline, record)
    (record / "verdict.txt").write_text(result.to_text() + "\n", encoding="utf-8")
    _write(record / "verdict.jsonl", list(result.to_json()))
    keeping.note_verdict(project, "chaos", list(result.to_json()))
    return result


def _record(project: ComposeProject, steps: Sequence[Step], seed: int) -> Path:
    """Make the directory of this run, with its schedule."""
    record = project.state_dir / "chaos" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{seed}"
    record.mkdir(parents=True, exist_ok=True)
    for path in (record.parent, record):
        belongings.give(path)
    _write(record / "schedule.jsonl", [step.to_json() for step in steps])
    return record


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
