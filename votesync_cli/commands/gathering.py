"""Where `explain` and `timeline` find their evidence: a kept run's directory, files that are named, or the project's engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from votesync_cli import belongings, completing
from votesync_cli.commands.context import compose_file, open_engine, read_project, say
from votesync_cli.errors import EnvironmentFault, Inconclusive, UsageError, VotesyncError
from votesync_cli.options import Common
from votesync_cli.recorded import Recorded, recorded

RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        help="A kept run: votes/*.log or *.log, history/*.jsonl, output.txt.",
        autocompletion=completing.runs,
    ),
]
VotesOption = Annotated[
    Path | None,
    typer.Option("--votes", metavar="FILE", help="The nodes' vote logs, or a directory of *.log; default: the cluster's."),
]
HistoryOption = Annotated[
    Path | None, typer.Option("--history", metavar="DIR", help="The clients' histories; default: history/ beside the file.")
]


@dataclass(frozen=True, slots=True)
class Sources:
    """Paths of the evidence. `output` is None where there is no file; `logs` None: the engine has them."""

    output: Path | None
    histories: tuple[Path, ...]
    logs: tuple[Path, ...] | None


def sources(common: Common, run: Path | None, votes: Path | None, history: Path | None) -> Sources:
    """What is meant by the options; each may be named, and the rest is the run's or the project's.

    Raises: UsageError for a directory that there is not.
    """
    for path in filter(None, (run, votes, history)):
        if not path.exists():
            raise UsageError(f"There is no {path}.", "Name a directory or file that exists.")
    logs = _logs(votes) if votes is not None else None
    if run is not None:
        shared = run if not (run / "shared_data").is_dir() else run / "shared_data"
        logs = logs if logs is not None else _logs(run / "votes") if (run / "votes").is_dir() else _logs(run)
    else:
        shared = _shared(common, needed=votes is None)
    output = shared / belongings.OUTPUT
    place = history if history is not None else shared / belongings.HISTORY
    histories = sorted(place.glob("*.jsonl")) if place.is_dir() else [place] if place.is_file() else []
    return Sources(output if output.is_file() else None, tuple(histories), logs)


def gather(common: Common, chosen: Sources) -> Recorded:
    """Read it all.

    Raises: EnvironmentFault where a file cannot be read.
    """
    try:
        logs = [_lines(path) for path in chosen.logs] if chosen.logs is not None else _from_engine(common)
        return recorded(logs, (_lines(path) for path in chosen.histories))
    except OSError as error:
        raise EnvironmentFault(f"{error.filename} cannot be read: {error.strerror}.", "Look at its permissions.") from error


def need_votes(found: Recorded) -> None:
    """Nothing can be drawn of nothing.

    Raises: Inconclusive.
    """
    if not found.said:
        raise Inconclusive(
            "There are no vote logs.", "Start a cluster with `votesync up`, or name logs with --votes or a run with --run."
        )


def _logs(place: Path) -> tuple[Path, ...]:
    return tuple(sorted(place.glob("*.log"))) if place.is_dir() else (place,)


def _shared(common: Common, *, needed: bool) -> Path:
    file = compose_file(common)
    if not file.exists() and not needed:
        return file.parent / "shared_data"
    return read_project(common).shared_dir


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from stream


def _from_engine(common: Common) -> Iterable[Iterable[str]]:
    """One node's log after the other; none where the cluster is gone."""
    try:
        project = read_project(common)
        with open_engine(common, project) as engine:
            nodes = [found.service for found in engine.observe(project) if found.role == "node"]
            return [[line.line for line in engine.logs(project, [node], follow=False, since=None)] for node in nodes]
    except VotesyncError as error:
        say(f"No vote logs: {error.message}")
        return []
