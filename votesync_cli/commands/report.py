"""`votesync report`: a run as one page, made from recorded evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from node_runtime.history import boot_id, now_mono
from votesync_cli import belongings, runs
from votesync_cli.commands import keeping
from votesync_cli.commands.context import compose_file, name_of, read_project, say
from votesync_cli.commands.gathering import (
    HistoryOption,
    RunOption,
    Sources,
    VotesOption,
    events_before,
    gather,
    layout,
    resolved,
    sources,
)
from votesync_cli.compose import template_file
from votesync_cli.errors import EnvironmentFault, Inconclusive
from votesync_cli.options import Common
from votesync_cli.recorded import Recorded
from votesync_cli.report.clients import Clients, clients
from votesync_cli.report.fairness import OrderReader, Overtaking
from votesync_cli.report.happenings import Deed, deeds_of
from votesync_cli.report.markdown import markdown as as_markdown
from votesync_cli.report.model import Material, RunReport
from votesync_cli.report.model import report as reported
from votesync_cli.report.moments import canvas
from votesync_cli.report.nodes import newest, timed
from votesync_cli.report.page import html as as_html
from votesync_cli.report.tables import headline
from votesync_cli.results import Table
from votesync_cli.stories import stories
from votesync_cli.timeline import Violation
from votesync_cli.timeline_verdict import lines_of, mark, offsets_of
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.history import Histories, read_histories
from votesync_cli.verify.reader import Run, read
from votesync_cli.verify.rules_journal import JOURNAL_DIR, journal_dirs
from votesync_cli.verify.verdict import Report
from votesync_cli.verify.votebook import VoteBook

NAME = "report.html"
MISSING = {
    "file": "There is no output.txt: nothing could be checked, and the order is not known.",
    "histories": "There are no clients' histories (history/*.jsonl, or --history DIR), which say how long clients waited.",
    "votes": "There are no vote logs (votes/*.log, or --votes FILE; after down: --run latest).",
}

HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Where the page goes; default: report.html in the run, or here.")
]
MarkdownOption = Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write it as Markdown.")]


@dataclass(frozen=True, slots=True)
class Reported:
    """The report, and where it went. The exit code is that of the writing: `verify` is what judges."""

    model: RunReport
    exit_code: int = 0
    table: Table | None = None

    def to_text(self) -> str:
        """The verdict in a sentence."""
        return headline(self.model)[1]

    def to_json(self) -> Iterator[dict[str, Any]]:
        """All that the report says."""
        yield from self.model.to_json()


def report(
    common: Common,
    html: HtmlOption = None,
    markdown: MarkdownOption = None,
    run: RunOption = None,
    votes: VotesOption = None,
    history: HistoryOption = None,
) -> Reported:
    """Make a page of a run: verdict, throughput and latency, votes, elections, faults, how fair the order was, pictures.

    It reads what was recorded, also after the cluster is gone. The page is one file and loads nothing.
    """
    directory = resolved(common, run)
    known = runs.read(directory) if directory is not None else _current(common)
    began, chosen = (boot_id(), now_mono()), sources(common, directory, votes, history)
    asked = Asked(common, directory, known, began, replace(chosen, output=_short(chosen.output)))
    title = directory.resolve().name if directory is not None else name_of(common)
    model = reported(_material(asked, title))
    if html is None and markdown is None and not common.json:
        html = (directory if directory is not None and (run is None or not run.is_file()) else Path()) / NAME
    if html is not None:
        _write(html, _page(model))
    if markdown is not None:
        _write(markdown, as_markdown(model))
    return Reported(model)


# --- the evidence ---


@dataclass(frozen=True, slots=True)
class Asked:
    """What is reported on: the directory of a kept run, or None for the cluster; `known` is what is recorded of the run.

    `began` is (boot, monotonic microseconds) before anything was read.
    """

    common: Common
    directory: Path | None
    known: runs.Run | None
    began: tuple[str, int]
    chosen: Sources

    @property
    def moment(self) -> tuple[str, int]:
        """What was acknowledged later need not stand in the file: it may not have been gathered with it."""
        return self.known.moment if self.directory is not None and self.known is not None else self.began

    def size(self) -> int:
        """How much of the file is judged: as much as there was when it was gathered, or is now.

        Raises: OSError.
        """
        size = self.chosen.output.stat().st_size if self.chosen.output is not None else 0
        kept = self.known.size if self.directory is not None and self.known is not None else None
        return size if kept is None else min(size, kept)


def _short(path: Path | None) -> Path | None:
    """From here where it lies below: whom the page is given to, needs no directory of this machine."""
    return path.relative_to(Path.cwd()) if path is not None and path.is_relative_to(Path.cwd()) else path


def _current(common: Common) -> runs.Run | None:
    """What is recorded of the cluster that there is."""
    return keeping.current(read_project(common)) if compose_file(common).exists() else None


def _material(asked: Asked, title: str) -> Material:
    """Everything is read here, the size of a file that may grow first.

    Raises: EnvironmentFault, Inconclusive where there is nothing at all.
    """
    chosen = asked.chosen
    try:
        size = asked.size()
        histories = read_histories(chosen.histories) if chosen.histories else None
        found = gather(asked.common, replace(chosen, histories=()))
        found.said = newest(found.said)
        if not found.said and histories is None and chosen.output is None:
            raise Inconclusive(
                "There is nothing to report: no output.txt, no histories, no vote logs.",
                "Start a cluster with `votesync up`, or name a kept run with --run.",
            )
        people = clients(histories, found.base) if histories is not None else None
        verdict = _verdict(asked, chosen.output, size, histories, found) if chosen.output is not None else None
        order = _order(chosen.output, size, histories, people) if chosen.output is not None and size else None
        broken, deeds = _broken(found, verdict, chosen.output), _deeds(asked)
    except OSError as error:
        raise EnvironmentFault(f"{error.filename} cannot be read: {error.strerror}.", "Look at its permissions.") from error
    by = "" if order is None else "the file" if histories is None else "the histories"
    return Material(
        title, str(chosen.output or title), found, people, verdict, broken, order, by,
        _missing(chosen, found, histories), tuple(_notes(asked, found, people)), tuple(deeds),
    )  # fmt: skip


def _verdict(asked: Asked, output: Path, size: int, histories: Histories | None, found: Recorded) -> Report:
    """Of the file as it was at that moment; the votes on its first rounds may be those of earlier runs."""
    book = VoteBook()
    for event in events_before(asked.known):
        book.add(event)
    for said in found.said:
        book.add(said.event)
    evidence = Evidence(histories, asked.moment, book if book.events else None, _journals(asked))
    return check(output, evidence, size)


def _order(output: Path, size: int, histories: Histories | None, people: Clients | None) -> Overtaking:
    """Who was overtaken: a pass over the file of its own, for the checker's judges know nothing of it."""
    reader = OrderReader(histories, people.sends if people is not None else {})
    with output.open("rb", buffering=0) as stream:
        for piece in read(stream, size):
            if isinstance(piece, Run):
                reader.feed(piece)
    return reader.result()


def _broken(found: Recorded, verdict: Report | None, output: Path | None) -> tuple[Violation, ...]:
    """The violations with the rounds in which they lie."""
    failed = [row.to_json() for row in verdict.failed] if verdict is not None else []
    if not failed or output is None:
        return ()
    offsets: dict[int, int] = {}
    if lines := lines_of(failed):
        with output.open("rb") as stream:
            offsets = offsets_of(stream, lines)
    picture = canvas(timed(stories(found.said)), max((said.t for said in found.said), default=0))
    mark(picture, found, failed, offsets)
    return tuple(picture.violations)


def _journals(asked: Asked) -> list[Path]:
    """The journals of the project's nodes, or those that a kept run has."""
    if asked.directory is not None:
        place = layout(asked.directory).journals
        return journal_dirs(place) if place.is_dir() else []
    if not compose_file(asked.common).exists():
        return []
    found = [node.data_dir for node in read_project(asked.common).nodes if node.data_dir is not None]
    return found if any((path / JOURNAL_DIR).exists() for path in found) else []


def _deeds(asked: Asked) -> list[Deed]:
    """What somebody broke or mended by hand, as far as it was kept."""
    place = asked.directory or (asked.known.path if asked.known is not None else None)
    path = place / runs.DEEDS if place is not None else None
    return deeds_of(path.read_bytes().splitlines()) if path is not None and path.is_file() else []


def _missing(chosen: Sources, found: Recorded, histories: Histories | None) -> dict[str, str]:
    """What the sections lack, each with what would bring it."""
    lacks = {"file": chosen.output is None, "histories": histories is None, "votes": not found.said}
    return {name: MISSING[name] for name, is_lacking in lacks.items() if is_lacking}


def _notes(asked: Asked, found: Recorded, people: Clients | None) -> Iterator[str]:
    if asked.directory is not None and asked.known is not None:
        yield from (f"Not kept: {what}." for what in asked.known.missing)
    if found.by_wall:
        yield f"{found.by_wall:,} events are placed by wall clocks, for they were logged on another clock."
    if people is not None and people.by_wall:
        yield f"{people.by_wall:,} messages are placed by wall clocks, for their client's clock was another one."


# --- where it goes ---


def _page(model: RunReport) -> Iterable[str]:
    try:
        from votesync_cli.report.plots import plots

        pictures = plots(model)
    except ImportError as error:
        say(f"There are no plots: {error.name} is not installed. Install it with: pip install 'votesync[report]'")
        pictures = {}
    template, style = (template_file(name).read_text(encoding="utf-8") for name in ("report.html.j2", "report.css"))
    return [as_html(model, template, style, pictures)]


def _write(path: Path, parts: Iterable[str]) -> None:
    belongings.write_file(path, "".join(parts))
    say(f"Wrote {path} ({path.stat().st_size:,} bytes).")
