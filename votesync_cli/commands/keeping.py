"""Keeping a run: `up` opens it, `down` and `runs keep` gather its evidence, `verify` and `chaos` leave their verdicts in it.

None of that may make those verbs fail: what goes wrong is one note on stderr. What is gathered lies under another name
until all of it is there, and `run.json` says `gathering` for the instant in which it takes its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from node_runtime.history import boot_id, now_mono
from votesync_cli import belongings, runs
from votesync_cli.commands.context import say
from votesync_cli.commands.keeping_logs import keep_logs
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine
from votesync_cli.engines.local_state import locked
from votesync_cli.errors import VotesyncError
from votesync_cli.plan import Operation
from votesync_cli.runs_copy import Budget, Counter, copy, copy_journal, link_or_copy
from votesync_cli.verify.rules_journal import JOURNAL_DIR

T = TypeVar("T")

LOCK_WAIT = 5.0  # seconds for somebody else who gathers the same run


def attempt(what: str, deed: Callable[[], T]) -> T | None:
    """Do it; where that fails, say so in one note and go on. None then."""
    try:
        return deed()
    except VotesyncError as error:
        say(f"note: {what}: {error.message}")
    except OSError as error:
        say(f"note: {what}: {error.strerror or error} ({error.filename or 'no file'}).")
    return None


# --- opening ---


class Beginning(NamedTuple):
    """When a run began, how large output.txt was then (None: nobody looked), and whether there is a run to be opened."""

    at: datetime
    size: int | None = None
    made: bool = True


def opened(project: ComposeProject, engine: str, asked: Mapping[str, Any], begun: Beginning) -> runs.Run:
    """Open a run: its directory with the compose file and with what `up` was told; `latest` leads to it.

    Raises: VotesyncError, OSError.
    """
    directory = runs.place(project.state_dir)
    before = [run for run in runs.listed(directory) if run.project == project.name]
    for old in before:
        if old.ended is None:
            runs.write(replace(old, ended=begun.at))  # its cluster is gone, and nobody has told us
    run = runs.write(
        runs.Run(
            path=runs.make(directory, begun.at),
            project=project.name,
            engine=engine,
            nodes=len(project.nodes),
            clients=len(project.clients),
            started=begun.at,
            continues=before[-1].name if before and begun.size else "",
            begins_at=begun.size or 0,
        )
    )
    if project.file.exists():
        belongings.write_file(run.path / runs.COMPOSE, project.file.read_text(encoding="utf-8"))
    told = {"asked": dict(asked), "cluster": dict(project.settings), "engine": engine, "project": project.name}
    belongings.write_file(run.path / runs.SETTINGS, json.dumps(told | _versions(), indent=1, default=str) + "\n")
    runs.point_latest(directory)
    return run


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    try:
        own = version("votesync")
    except PackageNotFoundError:
        own = "from a checkout"
    return {"votesync": own, "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}


def begin(engine: Engine, project: ComposeProject, steps: Sequence[Operation], *, anew: bool) -> Beginning:
    """What `up` does before it changes anything; `anew`: there is no service yet.

    Nodes that are made anew lose their logs, so what they have said is gathered first, and another run begins.
    """
    at, size, ended = runs.now(), 0, None
    if any(step.role == "node" and step.kind in ("recreate", "remove") for step in steps) and current(project) is not None:
        ended = finish(engine, project)
    if ended is not None:
        size = ended.size or 0  # what the nodes say until they end is in those logs, or none of these says that it ended
    else:
        with contextlib.suppress(OSError):
            size = (project.shared_dir / belongings.OUTPUT).stat().st_size
    return Beginning(at, size, anew or ended is not None)


def open_for(project: ComposeProject, engine: str, asked: Mapping[str, Any], begun: Beginning) -> None:
    """What `up` does in the end: open a run for a cluster that it made, or that has none."""
    if begun.made or current(project) is None:
        attempt("this run will not be kept", lambda: opened(project, engine, asked, begun))


def current(project: ComposeProject) -> runs.Run | None:
    """The run of the cluster that there is, as far as the records say."""
    return next(reversed(runs.open_runs(runs.place(project.state_dir), project.name)), None)


def evidence_before(project: ComposeProject, *, running: bool) -> list[runs.Run]:
    """The kept runs whose vote logs tell of the shared file: those before the open run, or all where nothing runs any more."""
    run = current(project)
    if run is not None or running:
        return runs.before(run) if run is not None else []
    known = [run for run in runs.listed(runs.place(project.state_dir)) if run.project == project.name]
    output = project.shared_dir / belongings.OUTPUT
    if not known or not output.is_file() or output.stat().st_size != known[-1].size or not runs.has_all_votes(known[-1]):
        return []
    return [*runs.before(known[-1]), known[-1]]


# --- leaving something in it ---


def note_verdict(project: ComposeProject, by: str, rows: Sequence[dict[str, Any]]) -> None:
    """Put what `verify` or `chaos` said into the open run, if there is one."""
    run = current(project)
    if run is not None:
        attempt("the verdict is not kept", lambda: runs.note_verdict(run, by, list(rows), runs.now()))


def note_verdict_of(path: Path, by: str, rows: Sequence[dict[str, Any]]) -> None:
    """The same for a run that is kept already; what is no run of ours, or out of an archive, is left as it is."""
    run = runs.read(path)
    if run is not None and path.parent.name == runs.RUNS:
        attempt("the verdict is not kept", lambda: runs.note_verdict(run, by, list(rows), runs.now()))


def note_chaos(project: ComposeProject, record: Path) -> None:
    """Let the open run know that this record of chaos belongs to it."""
    run = current(project)
    if run is not None:
        attempt("the faults are not kept", lambda: runs.write(replace(run, chaos=(*run.chaos, record.name))))


def note_deed(project: ComposeProject, verb: str, what: str) -> None:
    """Let the open run know what somebody broke or mended by hand."""
    run = current(project)
    if run is not None:
        row = {"ts": round(time.time(), 3), "mono": now_mono(), "verb": verb, "what": what}
        attempt("this is not kept", lambda: runs.note_deed(run, row))


# --- gathering ---


def finish(engine: Engine, project: ComposeProject) -> runs.Run | None:
    """Gather what the cluster leaves behind, right before its services are removed, and end the run; None where that fails."""
    return attempt("the run is not kept", lambda: keep(engine, project, end=True))


def keep(engine: Engine, project: ComposeProject, *, end: bool = False, budget: Budget | None = None) -> runs.Run:
    """Gather everything into the open run (one is opened where there is none); with `end` it is over.

    Raises: VotesyncError, OSError.
    """
    run = current(project) or opened(project, engine.name, {}, Beginning(runs.now()))
    with locked(run.path / runs.LOCK, LOCK_WAIT, f"Run {run.name} is being gathered"):
        run = runs.read(run.path) or run  # as it is now that nobody else is at it
        for left in run.path.glob(f"{runs.DRAFT}*"):
            shutil.rmtree(left)  # of a gathering that was cut off
        stage = run.path / f"{runs.DRAFT}{os.getpid()}"
        stage.mkdir()
        try:
            limits = budget if budget is not None else Budget.usual(stage)
            run = _gathered(engine, project, run, stage, limits, final=end)
            _keep_longer_logs(run.path, stage)
            _give(stage)
            _put_in_place(run, stage)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return runs.write(replace(run, gathering=False, ended=runs.now() if end else None))


def _gathered(engine: Engine, project: ComposeProject, run: runs.Run, stage: Path, budget: Budget, *, final: bool) -> runs.Run:
    """Copy it all below `stage`, as `verify` looks at a cluster that goes on: the size of the file first, then the rest.

    What is acknowledged later need not stand in that much of the file. The file itself comes last, so that it has all that
    the journals know of, and a round that was being written goes on in it.
    """
    moment, count = (boot_id(), now_mono()), Counter()
    output = project.shared_dir / belongings.OUTPUT if project.services else None
    size = output.stat().st_size if output is not None and output.is_file() else 0
    with budget.spared(size):
        if project.services:
            _keep_histories(project, stage, budget)
        keep_logs(engine, project, stage, budget, final=final)
        _keep_chaos(project, run, stage, budget)
        if project.services:
            _keep_journals(project, stage, budget)
    if output is not None and output.is_file():
        copy(output, stage / belongings.OUTPUT, budget, what=belongings.OUTPUT, count=count)
    counted = (stage / belongings.OUTPUT).exists()
    return replace(
        run,
        kept=runs.now(),
        moment=moment,
        size=size,
        final=final,
        messages=count.blocks if counted else None,
        rounds=count.rounds if counted else None,
        missing=tuple(budget.missing),
    )


def _keep_histories(project: ComposeProject, stage: Path, budget: Budget) -> None:
    target = stage / runs.HISTORY
    for source in _plain_files(project.shared_dir / belongings.HISTORY, "*.jsonl"):
        target.mkdir(exist_ok=True)
        copy(source, target / source.name, budget, what=f"{runs.HISTORY}/{source.name}")


def _keep_journals(project: ComposeProject, stage: Path, budget: Budget) -> None:
    for node in project.nodes:
        source = node.data_dir / JOURNAL_DIR if node.data_dir is not None else None
        if source is None or not source.is_dir():
            continue
        try:
            copy_journal(source, stage / runs.JOURNALS / node.name / JOURNAL_DIR, budget, what=f"the journal of {node.name}")
        except OSError as error:  # a container may have another user
            budget.missing.append(f"the journal of {node.name}: {error.strerror}")
            shutil.rmtree(stage / runs.JOURNALS / node.name, ignore_errors=True)


def _keep_chaos(project: ComposeProject, run: runs.Run, stage: Path, budget: Budget) -> None:
    for name in run.chaos:
        target = stage / runs.CHAOS / name
        for source in _plain_files(project.state_dir / "chaos" / name, "*"):
            target.mkdir(parents=True, exist_ok=True)
            copy(source, target / source.name, budget, what=f"{runs.CHAOS}/{name}/{source.name}")


def _plain_files(directory: Path, pattern: str) -> Iterator[Path]:
    return (path for path in sorted(directory.glob(pattern)) if path.is_file() and not path.is_symlink())


def _keep_longer_logs(path: Path, stage: Path) -> None:
    """A log only grows in one run: where a shorter one was gathered now, its service is gone already, and the old one stays."""
    for kind in (runs.VOTES, runs.CLIENTS):
        for old in (path / kind).glob("*.log"):
            new = stage / kind / old.name
            if not new.exists() or new.stat().st_size < old.stat().st_size:
                new.parent.mkdir(exist_ok=True)
                new.unlink(missing_ok=True)
                link_or_copy(old, new, Budget.whole(), what=old.name)


def _put_in_place(run: runs.Run, stage: Path) -> None:
    runs.write(replace(run, gathering=True))
    for piece in runs.GATHERED:
        old, new = run.path / piece, stage / piece
        if old.is_dir():
            shutil.rmtree(old)
        elif old.exists():
            old.unlink()
        if new.exists():
            new.rename(old)


def _give(stage: Path) -> None:
    if os.geteuid() == 0 and belongings.person() != (0, 0):
        for root, _, names in os.walk(stage):
            for path in (Path(root), *(Path(root) / name for name in names)):
                belongings.give(path)
