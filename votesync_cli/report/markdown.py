"""The report as Markdown (GitHub's): the same words and tables as the page, without pictures. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from votesync_cli.report import tables
from votesync_cli.report.model import RunReport
from votesync_cli.report.tables import Cut
from votesync_cli.results import Table
from votesync_cli.views_text import sparkline

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")


def text(value: str) -> str:
    """Any text as it is: nothing in it is taken for markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(value.split()))


def table(found: Table) -> str:
    """A pipe table; numbers stand on the right."""
    lines = ["| " + " | ".join(map(text, found.columns)) + " |"]
    lines.append("|" + "|".join(" ---: " if name in found.right else " --- " for name in found.columns) + "|")
    lines += ["| " + " | ".join(text(cell) for cell in row) + " |" for row in found.rows]
    return "\n".join(lines) + "\n"


def fenced(lines: str) -> str:
    """Lines as they are, in a fence longer than any that stands in them."""
    longest = max((len(run) for run in re.findall(r"`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{lines}\n{fence}\n"


def markdown(model: RunReport) -> Iterator[str]:
    """The report, piece by piece."""
    word, sentence = tables.headline(model)
    yield f"# votesync report: {text(model.title)}\n\n**{word}.** {text(sentence)}\n"
    for note in model.notes:
        yield f"\n*{text(note)}*\n"
    yield from _rules(model)
    yield "\n## The run in numbers\n\n"
    yield table(Table(("", "", "measured"), tuple(tables.facts(model))))
    yield from _over_time(model)
    yield from _nodes(model)
    yield from _fairness(model)
    yield from _moments(model)


def _rules(model: RunReport) -> Iterator[str]:
    yield "\n## Verdict\n\n"
    yield table(tables.rules(model)) if model.verdict is not None else _lack(model, "file")
    for verdict in model.verdict.failed if model.verdict is not None else ():
        shown = verdict.counterexample
        if shown is not None:
            yield f"\n**{text(verdict.rule)}**: {text(shown.what)}\n"
            if lines := tables.counterexample(verdict):
                yield "\n" + fenced(lines)


def _over_time(model: RunReport) -> Iterator[str]:
    yield "\n## Throughput and latency\n\n"
    if model.curves.rate:
        yield f"Messages a second, {text(model.curves.rate_of)}:\n\n`{sparkline(model.curves.rate)}`\n\n"
        yield from _thinned(tables.over_time(model))
    if model.classes:
        yield "\n" + table(tables.classes(model))
    yield from _lacks(model, "votes", "histories")


def _nodes(model: RunReport) -> Iterator[str]:
    yield "\n## Votes, leaders and faults\n\n"
    if model.votes.nodes:
        yield table(tables.nodes(model))
        yield "\n" + _cut(tables.reigns(model)) + "\n" + _cut(tables.events(model))
    else:
        yield _lack(model, "votes")


def _fairness(model: RunReport) -> Iterator[str]:
    yield "\n## How fair the order was\n\n"
    for sentence in tables.order_sentences(model):
        yield text(sentence) + "\n\n"
    found = tables.fairness(model)
    if found.table.rows:
        yield _cut(found)
    if model.order is not None and model.order.messages:
        yield f"\n{text(tables.definition(model))}\n"
    yield from _lacks(model, "file", "histories")


def _moments(model: RunReport) -> Iterator[str]:
    yield "\n## Moments to look at\n\n"
    found = tables.moments(model)
    if found.table.rows:
        kept = tuple(row[:3] for row in found.table.rows)
        yield _cut(Cut(Table(found.table.columns[:3], kept, found.table.right), found.left_out))
        yield "\nTo see them: `votesync timeline --rounds A..B`, or the page of `votesync report`.\n"
    else:
        yield _lack(model, "votes") or "No round was written.\n"


def _cut(found: Cut) -> str:
    return table(found.table) + (f"\n{text(found.left_out)}\n" if found.left_out else "") if found.table.rows else ""


def _lack(model: RunReport, name: str) -> str:
    return f"{text(model.missing[name])}\n" if name in model.missing else ""


def _lacks(model: RunReport, *names: str) -> Iterator[str]:
    for name in names:
        if name in model.missing:
            yield f"\n{_lack(model, name)}"


def _thinned(found: Table) -> Iterator[str]:
    """Every k-th row, so that at most fifty are left; the page has them all."""
    step = max(1, -(-len(found.rows) // 50))
    yield table(Table(found.columns, found.rows[::step], found.right))
    if step > 1:
        yield f"\nOne row in {step} of {len(found.rows)}; the page of `votesync report` has them all.\n"
