"""`votesync report`: a run as one page, made from recorded evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from node_runtime.history import boot_id, now_mono
from votesync_cli import belongings, runs
from votesync_cli.commands.context import compose_file, name_of, read_or_bare, say
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
from votesync_cli.report.clients import Clients, base_of, clients
from votesync_cli.report.fairness import OrderReader, Overtaking
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
    kept = runs.read(directory) if directory is not None else None
    moment = kept.moment if kept is not None else (boot_id(), now_mono())
    title = directory.resolve().name if directory is not None else name_of(common)
    chosen = sources(common, directory, votes, history)
    model = reported(_material(common, chosen, kept, moment, title, _journals(common, directory)))
    if html is None and markdown is None and not common.json:
        html = (directory if directory is not None and (run is None or not run.is_file()) else Path()) / NAME
    if html is not None:
        _write(html, _page(model))
    if markdown is not None:
        _write(markdown, as_markdown(model))
    return Reported(model)


# --- the evidence ---


def _material(
    common: Common, chosen: Sources, kept: runs.Run | None, moment: tuple[str, int], title: str, journals: Sequence[Path]
) -> Material:  # fmt: skip
    """Everything is read here, the size of a file that may grow first.

    Raises: EnvironmentFault, Inconclusive where there is nothing at all.
    """
    try:
        size = chosen.output.stat().st_size if chosen.output is not None else 0
        size = min(size, kept.size) if kept is not None and kept.size is not None else size
        histories = read_histories(chosen.histories) if chosen.histories else None
        found = gather(common, replace(chosen, histories=()))
        found.said = newest(found.said)
        if not found.said and histories is None and chosen.output is None:
            raise Inconclusive(
                "There is nothing to report: no output.txt, no histories, no vote logs.",
                "Start a cluster with `votesync up`, or name a kept run with --run.",
            )
        people = clients(histories, base_of(found.said)) if histories is not None else None
        verdict = _verdict(chosen.output, size, histories, found, journals, moment, kept) if chosen.output is not None else None
        order = _order(chosen.output, size, histories, people) if chosen.output is not None and size else None
        broken = _broken(found, verdict, chosen.output)
    except OSError as error:
        raise EnvironmentFault(f"{error.filename} cannot be read: {error.strerror}.", "Look at its permissions.") from error
    by = "" if order is None else "the file" if histories is None else "the histories"
    return Material(
        title, str(chosen.output or title), found, people, verdict, broken, order, by,
        _missing(chosen, found, histories), tuple(_notes(found, people)),
    )  # fmt: skip


def _verdict(
    output: Path, size: int, histories: Histories | None, found: Recorded, journals: Sequence[Path], moment: tuple[str, int],
    kept: runs.Run | None,
) -> Report:  # fmt: skip
    """Of the file as it was at that moment; the votes on its first rounds may be those of earlier runs."""
    book = VoteBook()
    for event in events_before(kept):
        book.add(event)
    for said in found.said:
        book.add(said.event)
    evidence = Evidence(histories, moment, book if book.events else None, journals)
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


def _journals(common: Common, run: Path | None) -> list[Path]:
    """The journals of the project's nodes, or those that a kept run has."""
    if run is not None:
        return journal_dirs(layout(run).journals) if layout(run).journals.is_dir() else []
    if not compose_file(common).exists():
        return []
    found = [node.data_dir for node in read_or_bare(common).nodes if node.data_dir is not None]
    return found if any((path / JOURNAL_DIR).exists() for path in found) else []


def _missing(chosen: Sources, found: Recorded, histories: Histories | None) -> dict[str, str]:
    """What the sections lack, each with what would bring it."""
    out = {}
    if chosen.output is None:
        out["file"] = "There is no output.txt, so nothing could be checked and the order is not known."
    if histories is None:
        out["histories"] = "There are no clients' histories (history/*.jsonl, or --history DIR)."
    if not found.said:
        out["votes"] = "There are no vote logs (votes/*.log, or --votes FILE; a cluster that is gone takes them with it)."
    return out


def _notes(found: Recorded, people: Clients | None) -> Iterator[str]:
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
