"""`votesync runs …`: which runs are kept, what one holds, keep the one that goes on, pack one, prune old ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from votesync_cli import completing
from votesync_cli import runs as kept_runs
from votesync_cli.commands import keeping
from votesync_cli.commands.context import open_engine, read_or_bare, say
from votesync_cli.commands.gathering import place_of
from votesync_cli.errors import CommandFailed, UsageError
from votesync_cli.options import Common
from votesync_cli.results import Said
from votesync_cli.runs import LATEST, Run
from votesync_cli.runs_copy import Budget
from votesync_cli.runs_results import Listed, Pruned, RunList, RunShown, size_text

WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WHAT]",
        help="list (default) | show [RUN] | keep: gather now what the running cluster has | pack [RUN]: one archive to hand in "
        "| prune: remove old ones. RUN: latest (default), a name or its beginning, a directory, an archive.",
        autocompletion=completing.runs_words,
    ),
]
OutputOption = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="pack: the archive to write.")]
ForceOption = Annotated[bool, typer.Option("--force", help="pack: replace the archive if it exists.")]
WholeOption = Annotated[bool, typer.Option("--whole", help="keep: however large it is and however long that takes.")]
KeepOption = Annotated[int | None, typer.Option("--keep", metavar="N", min=0, help="prune: all but the newest N.")]
OlderOption = Annotated[str | None, typer.Option("--older-than", metavar="AGE", help="prune: those older than 12h, 7d, 2w.")]
EvenLatestOption = Annotated[bool, typer.Option("--even-latest", help="prune: the latest run too.")]
YesOption = Annotated[bool, typer.Option("--yes", help="prune: do it; without this it only says what it would do.")]


def runs(
    common: Common,
    what: WordsArgument = None,
    output: OutputOption = None,
    force: ForceOption = False,
    whole: WholeOption = False,
    keep: KeepOption = None,
    older_than: OlderOption = None,
    even_latest: EvenLatestOption = False,
    yes: YesOption = False,
) -> RunList | RunShown | Pruned | Said:
    """List the runs that are kept under .votesync/runs; show, keep, pack or prune them."""
    words = what or ["list"]
    given = {"output": output, "force": force, "whole": whole, "keep": keep, "older-than": older_than}
    _refuse_strangers(words[0], given | {"even-latest": even_latest, "yes": yes})
    place = place_of(common)
    match words:
        case ["list"]:
            newest = kept_runs.latest(place)
            return RunList(str(place), tuple(Listed.of(run, newest) for run in kept_runs.listed(place)))
        case ["show"] | ["show", _]:
            return _show(place, words[1] if len(words) > 1 else LATEST)
        case ["keep"]:
            return _keep(common, whole=whole)
        case ["pack"] | ["pack", _]:
            return _pack(common, place, words[1] if len(words) > 1 else LATEST, output, force=force)
        case ["prune"]:
            return _prune(place, keep, older_than, even_latest=even_latest, yes=yes)
    raise UsageError(f"votesync runs cannot {' '.join(words)!r}.", "Say list, show [RUN], keep, pack [RUN] or prune.")


_BELONGS = {
    "output": "pack", "force": "pack", "whole": "keep",
    "keep": "prune", "older-than": "prune", "even-latest": "prune", "yes": "prune",
}  # fmt: skip


def _refuse_strangers(word: str, given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value not in (None, False) and _BELONGS[name] != word:
            raise UsageError(f"--{name} belongs to `votesync runs {_BELONGS[name]}`.", "Leave it out, or say that word.")


def _chosen(place: Path, word: str) -> Run:
    """The run that a word means.

    Raises: UsageError, EnvironmentFault.
    """
    given = Path(word)
    if given.is_file():
        from votesync_cli.runs_pack import unpacked

        given = unpacked(given)
    if not given.is_dir():
        return kept_runs.find(word, place)
    run = kept_runs.read(given.resolve())
    if run is None:
        raise UsageError(f"{word} is no run: there is no {kept_runs.MARKER} in it.", "Name a run; `votesync runs` lists them.")
    return run


def _show(place: Path, word: str) -> RunShown:
    run = _chosen(place, word)
    files = tuple((name, status.st_size) for name, status in kept_runs.files_of(run.path) if not name.startswith("."))
    settings = _object(run.path / kept_runs.SETTINGS)
    listed = Listed.of(run, kept_runs.latest(place) if run.path.parent == place else None)
    verdict = kept_runs.verdict_of(run.path)
    spoken = word if Path(word).exists() else LATEST if listed.latest and word == LATEST else run.name
    return RunShown(listed, settings, verdict, _deeds(run.path / kept_runs.DEEDS), files, spoken)


def _object(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _deeds(path: Path) -> tuple[Mapping[str, Any], ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
    except (OSError, ValueError, RecursionError):
        return ()
    return tuple(row for row in rows if isinstance(row, dict))


def _keep(common: Common, *, whole: bool) -> Said:
    """Gather now.

    Raises: CommandFailed where nothing runs.
    """
    project = read_or_bare(common)
    with open_engine(common, project) as engine:
        if not any(found.role == "node" for found in engine.observe(project)):
            raise CommandFailed(
                f"Project {project.name} has no nodes on the {engine.name} engine: there is nothing to gather.",
                "Start them with `votesync up`; what `votesync down` has kept is in `votesync runs`.",
            )
        try:
            run = keeping.keep(engine, project, budget=Budget.whole() if whole else None)
        except OSError as error:
            raise CommandFailed(
                f"The run cannot be kept: {error.strerror or error} ({error.filename}).",
                "Look at the disk and its permissions.",
            ) from error
    size = kept_runs.disk_size(run.path)
    text = "\n".join([f"Kept run {run.name} ({size_text(size)}). It goes on.", *(f"Not kept: {what}." for what in run.missing)])
    return Said("runs", text, {"run": run.name, "bytes": size, "missing": list(run.missing), "path": str(run.path)})


def _pack(common: Common, place: Path, word: str, output: Path | None, *, force: bool) -> Said:
    from votesync_cli.runs_pack import archive_name, pack

    run = _chosen(place, word)
    if run.state == "open" and run.path.parent == place:
        say(f"Run {run.name} goes on: gathering what there is by now.")
        keeping.attempt("it is packed as it is", lambda: _keep(common, whole=False))
        run = kept_runs.read(run.path) or run
    done = pack(run, output if output is not None else Path(archive_name(run)), force=force)
    for name in done.left_out:
        say(f"note: {name} is left out: its name is not one that is safe everywhere.")
    text = f"Wrote {done.path}: {done.files} files, {done.size:,} bytes, sha256 {done.sha256}."
    facts = {"run": run.name, "file": str(done.path), "files": done.files, "bytes": done.size, "sha256": done.sha256}
    return Said("runs", text, facts | {"left_out": list(done.left_out)})


def _prune(place: Path, keep: int | None, older_than: str | None, *, even_latest: bool, yes: bool) -> Pruned:
    """Choose, and remove where that was said.

    Raises: UsageError where nobody said which, EnvironmentFault.
    """
    from votesync_cli.runs_prune import age_of, choose, remove

    if keep is None and older_than is None:
        raise UsageError("Which runs?", "Say --keep N or --older-than AGE: votesync runs prune --keep 10")
    age = age_of(older_than) if older_than is not None else None
    known = len(kept_runs.listed(place))
    chosen = choose(place, datetime.now(UTC), keep=keep, older_than=age, even_latest=even_latest)
    if yes:
        remove(chosen, place)
    return Pruned(chosen, known, yes)
