"""`votesync verify`: gather the file and the evidence, have them checked, return the report."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from node_runtime.history import boot_id, now_mono
from votesync_cli import belongings, runs
from votesync_cli.commands import keeping
from votesync_cli.commands.context import compose_file, open_engine, read_project
from votesync_cli.commands.gathering import RunOption, layout, resolved
from votesync_cli.compose import ComposeProject
from votesync_cli.errors import EnvironmentFault, Inconclusive, UsageError, VotesyncError
from votesync_cli.options import Common
from votesync_cli.verify import selftest
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.history import Histories, read_histories
from votesync_cli.verify.reader import Progress
from votesync_cli.verify.rules_journal import JOURNAL_DIR, journal_dirs
from votesync_cli.verify.selftest import SelfTest
from votesync_cli.verify.verdict import Report
from votesync_cli.verify.votebook import VoteBook, load_votes

_LARGE = 32 * 1024 * 1024  # bytes that are read before anybody wonders
_BAR_EVERY = 0.1  # seconds

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="The file to check; default: the project's shared_data/output.txt.")
]
HistoryOption = Annotated[
    Path | None, typer.Option("--history", metavar="DIR", help="The clients' histories; default: history/ beside the file.")
]
VotesOption = Annotated[
    Path | None,
    typer.Option("--votes", metavar="FILE", help="The nodes' vote logs, or a directory of *.log; default: the cluster's."),
]
JournalsOption = Annotated[
    Path | None, typer.Option("--journals", metavar="DIR", help="The nodes' data directories; default: the cluster's.")
]

SelfTestOption = Annotated[bool, typer.Option("--self-test", help="Damage copies of the file and show that each is caught.")]


def verify(
    common: Common,
    file: FileArgument = None,
    history: HistoryOption = None,
    votes: VotesOption = None,
    journals: JournalsOption = None,
    self_test: SelfTestOption = False,
    run: RunOption = None,
) -> Report | SelfTest:
    """Check that a file keeps the rules; exit code 1 where it breaks one, 3 where there is nothing to check."""
    if run is not None and file is not None:
        raise UsageError("FILE and --run exclude each other.", "A run has its own output.txt: leave FILE out.")
    kept, project = resolved(common, run), None
    if kept is not None:
        report = _verify_run(kept, history, votes, journals, self_test=self_test, bar=common.redraw)
    else:
        project = _project_of(common, file)
        report = _verify_here(common, project, file, history, votes, journals, self_test=self_test)
    if isinstance(report, Report) and not (history or votes or journals):  # the verdict belongs to the run
        if kept is not None:
            keeping.note_verdict_of(kept, "verify", list(report.to_json()))
        elif project is not None:
            keeping.note_verdict(project, "verify", list(report.to_json()))
    return report


def _verify_here(
    common: Common, project: ComposeProject | None, file: Path | None, history: Path | None, votes: Path | None,
    journals: Path | None, *, self_test: bool,
) -> Report | SelfTest:  # fmt: skip
    """A file that is named, or the project's; evidence from the cluster, if it is the project's."""
    path = file if file is not None else _own_file(common, project)
    notes: list[str] = []
    try:
        moment = (boot_id(), now_mono())
        size = path.stat().st_size
        with path.open("rb"):
            evidence = Evidence(
                histories=_histories(path, history),
                moment=moment,
                votes=_votes(common, project, votes, notes),
                journals=_journals(project, journals),
                notes=tuple(notes),
            )
        if self_test:
            return selftest.self_test(path, evidence)
        return check(path, evidence, size if path.is_file() else None, _bar(size) if common.redraw else None)
    except OSError as error:
        raise _unreadable(Path(error.filename or path), error) from error


def _verify_run(
    run: Path, history: Path | None, votes: Path | None, journals: Path | None, *, self_test: bool, bar: bool
) -> Report | SelfTest:
    """The file of a kept run, with the evidence that lies beside it, as it was at the moment when it was gathered."""
    places, found = layout(run), runs.read(run)
    try:
        size = places.output.stat().st_size
        earlier = [other.path / runs.VOTES for other in runs.before(found)] if found is not None else []
        size = min(size, found.size) if found is not None and found.size is not None else size
        evidence = Evidence(
            histories=_histories(places.output, history),
            moment=found.moment if found is not None else ("", 0),
            votes=_read_votes(votes) if votes is not None else _read_votes(*earlier, places.votes),
            journals=_journals(None, journals or (places.journals if places.journals.is_dir() else None)),
            notes=tuple(f"Not kept: {what}." for what in found.missing) if found is not None else (),
        )
        if self_test:
            return selftest.self_test(places.output, evidence)
        return check(places.output, evidence, size, _bar(size) if bar else None)
    except FileNotFoundError as error:
        raise Inconclusive(f"Run {run.name} has no {error.filename}.", "Look at what it has: votesync runs show.") from None
    except OSError as error:
        raise _unreadable(Path(error.filename or places.output), error) from error


# --- what is checked, and against what ---


def _project_of(common: Common, file: Path | None) -> ComposeProject | None:
    """The project whose shared file is meant; None where there is none, or `file` is another."""
    if not compose_file(common).exists():
        return None
    try:
        project = read_project(common)
    except VotesyncError:
        if file is None:
            raise
        return None
    own = project.shared_dir / belongings.OUTPUT
    return project if file is None or file.resolve() == own.resolve() else None


def _own_file(common: Common, project: ComposeProject | None) -> Path:
    shared = compose_file(common).parent / "shared_data" if project is None else project.shared_dir
    path = shared / belongings.OUTPUT
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _histories(file: Path, given: Path | None) -> Histories | None:
    """The histories of a directory (or one file), None where nobody named one and there is none beside the file."""
    place = given if given is not None else file.parent / belongings.HISTORY
    if given is None and not place.is_dir():
        return None
    paths = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
    return read_histories(paths) if paths else None


def _votes(common: Common, project: ComposeProject | None, given: Path | None, notes: list[str]) -> VoteBook | None:
    """The vote logs of a file or a directory, else those that the project's engine has; None where there are none."""
    if given is not None:
        return _read_votes(given)
    if project is not None:
        try:
            book = _logged(common, project, notes)
        except VotesyncError as error:
            notes.append(f"No vote logs: {error.message}")
            return None
        return book if book.events else None
    return None


def _read_votes(*places: Path) -> VoteBook | None:
    """The logs of all these, each place after those before it."""
    book = load_votes(_lines(places))
    return book if book.events else None


def _lines(places: Iterable[Path]) -> Iterator[bytes]:
    for given in places:
        for path in sorted([*given.glob("*.log"), *given.glob("*.jsonl")]) if given.is_dir() else [given]:
            with path.open("rb") as stream:
                yield from stream


def _logged(common: Common, project: ComposeProject, notes: list[str]) -> VoteBook:
    """What was kept of the runs before, then the logs of the project's nodes, each node's in its order."""
    with open_engine(common, project) as engine:
        nodes = [found.service for found in engine.observe(project) if found.role == "node"]
        kept = keeping.evidence_before(project, running=bool(nodes))
        if kept:
            names = ", ".join(run.name for run in kept)
            notes.append(f"Vote logs of earlier rounds: run {names}." if nodes else f"Vote logs: kept run {names}.")

        def lines() -> Iterable[bytes]:
            yield from _lines(run.path / runs.VOTES for run in kept)
            for node in nodes:
                for line in engine.logs(project, [node], follow=False, since=None):
                    yield line.line.encode()

        return load_votes(lines())


def _journals(project: ComposeProject | None, given: Path | None) -> list[Path]:
    """The data directories under a directory, else those of the project's nodes; none where no journal is there."""
    if given is not None:
        return journal_dirs(given)
    found = [node.data_dir for node in project.nodes if node.data_dir is not None] if project is not None else []
    return found if any((path / JOURNAL_DIR).exists() for path in found) else []


# --- telling ---


def _bar(size: int) -> Progress | None:
    """Percents on a terminal's stderr, ten times a second at most; None where nobody looks or the file is small."""
    if size < _LARGE or not sys.stderr.isatty():
        return None
    shown = time.monotonic()

    def tell(done: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _BAR_EVERY or done >= size:
            shown = now
            sys.stderr.write("\r\x1b[K" if done >= size else f"\rverify {done * 100 // size:3d} % of {size:,} bytes")
            sys.stderr.flush()

    return tell


def _unreadable(path: Path, error: OSError) -> EnvironmentFault:
    hint = "Name the file: votesync verify FILE." if isinstance(error, FileNotFoundError) else "Look at its permissions."
    return EnvironmentFault(f"{path} cannot be read: {error.strerror or error}.", hint)
