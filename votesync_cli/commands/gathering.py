"""Where the reading verbs find their evidence: a kept run, files that are named, or the project's engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from node_runtime import votelog
from node_runtime.messages import MAX_NODES
from votesync_cli import belongings, completing, runs
from votesync_cli.commands.context import compose_file, name_of, open_engine, read_project, say
from votesync_cli.errors import EnvironmentFault, Inconclusive, UsageError, VotesyncError
from votesync_cli.options import Common
from votesync_cli.recorded import Recorded, recorded

RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="A kept run: latest, (the beginning of) its name, a directory, an archive.",
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


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in a kept run's directory, ours or one that somebody put together; nothing need be there."""

    output: Path
    history: Path
    votes: Path
    journals: Path


def layout(run: Path) -> Layout:
    """The places in the directory of a run."""
    shared = run if not (run / "shared_data").is_dir() else run / "shared_data"
    votes = run / runs.VOTES if (run / runs.VOTES).is_dir() else run
    return Layout(shared / belongings.OUTPUT, shared / belongings.HISTORY, votes, run / runs.JOURNALS)


def resolved(common: Common, run: Path | None) -> Path | None:
    """The directory that `--run` means; None where it means the cluster: no run was named, or one that is open and empty.

    Raises: UsageError where there is no such run, Inconclusive for one without evidence, EnvironmentFault.
    """
    if run is None or run.is_dir():
        return run.resolve() if run is not None and run.is_symlink() else run
    if run.is_file():
        from votesync_cli.runs_pack import unpacked

        return unpacked(run)
    return _evidence_of(common, runs.find(str(run), place_of(common)))


def place_of(common: Common) -> Path:
    """Where the runs of this directory are kept."""
    return runs.place(compose_file(common).parent.resolve() / ".votesync")


def _evidence_of(common: Common, found: runs.Run) -> Path | None:
    match found.state:
        case "half":
            say(f"The gathering of run {found.name} was cut off: what is there may not fit together.")
        case "open" if found.kept is not None:
            say(f"Run {found.name} goes on; this is what was kept of it at {runs.said(found.kept)}.")
        case "open" if found.project == name_of(common):
            say(f"Run {found.name} goes on: it is read from the cluster.")
            return None
        case "open" | "lost":
            hint = "Run `votesync runs keep` while the cluster is there, or `votesync down`, which gathers what there is."
            raise Inconclusive(f"Nothing was kept of run {found.name} of project {found.project}.", hint)
    return found.path.relative_to(Path.cwd()) if found.path.is_relative_to(Path.cwd()) else found.path


def sources(common: Common, run: Path | None, votes: Path | None, history: Path | None) -> Sources:
    """What is meant by the options; each may be named, and the rest is the run's or the project's.

    Raises: UsageError for a directory or a run that there is not, Inconclusive for a run without evidence.
    """
    run = resolved(common, run)
    for path in filter(None, (votes, history)):
        if not path.exists():
            raise UsageError(f"There is no {path}.", "Name a directory or file that exists.")
    logs = _logs(votes) if votes is not None else None
    if run is not None:
        kept = layout(run)
        logs = logs if logs is not None else _logs(kept.votes)
        output, place = kept.output, kept.history
    else:
        shared = _shared(common, needed=votes is None)
        output, place = shared / belongings.OUTPUT, shared / belongings.HISTORY
    place = history if history is not None else place
    histories = sorted(place.glob("*.jsonl")) if place.is_dir() else [place] if place.is_file() else []
    return Sources(output if output.is_file() else None, tuple(histories), logs)


def nodes_of(logs: Iterable[Path]) -> tuple[int, ...]:
    """The nodes of the cluster that these logs are of, as the first event of each says.

    Raises: OSError.
    """
    found: set[int] = set()
    for path in logs:
        event = next(_events(path), None)
        if event is not None:
            count = event.get("nodes")
            found |= {event["node"], *range(min(count, MAX_NODES) if isinstance(count, int) else 0)}
    return tuple(sorted(found))


def events_before(run: runs.Run | None) -> Iterator[votelog.Event]:
    """What the nodes logged in the kept runs whose file this one goes on with, each node's in its order.

    Raises: OSError.
    """
    for earlier in runs.before(run) if run is not None else []:
        for path in sorted((earlier.path / runs.VOTES).glob("*.log")):
            yield from _events(path)


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
            "There are no vote logs.",
            "Name a kept run (--run latest) or logs (--votes), or start a cluster with `votesync up`.",
        )


def _logs(place: Path) -> tuple[Path, ...]:
    return tuple(sorted(place.glob("*.log"))) if place.is_dir() else (place,)


def _shared(common: Common, *, needed: bool) -> Path:
    file = compose_file(common)
    if not file.exists() and not needed:
        return file.parent / "shared_data"
    return read_project(common).shared_dir


def _events(path: Path) -> Iterator[votelog.Event]:
    return (event for line in _lines(path) if (event := votelog.decode(line)) is not None)


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
