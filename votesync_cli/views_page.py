"""A result on lines of a width: tables as rows, or a paragraph a row where it is narrow; sentences folded at words. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from votesync_cli.results import BAR, Part, Table
from votesync_cli.views_text import UNICODE, Line, Symbols

GAP = "  "
LEAST_LAST = 24  # columns below which the last column of a table is not folded any more
LEAST_TEXT = 20

_WELL = frozenset({"healthy", "leader", "ok", "PASS"})
_ILL = frozenset({"unhealthy", "dead", "unreachable", "MISSING", "FAIL", "recovering", "candidate"})
_FAINT = frozenset({"-", "absent", "NOT CHECKED"})
_QUOTE = re.compile(r"^ .*? \| ")


def parts_of(result: Any) -> Sequence[Part]:
    """What a result is made of: its `page`, else its table where that has a row, else its text."""
    page: Sequence[Part] | None = getattr(result, "page", None)
    if page is not None:
        return page
    table: Table | None = result.table
    return (table,) if table is not None and table.rows else (result.to_text(),)


def lines(parts: Iterable[Part], width: int, symbols: Symbols = UNICODE) -> Iterator[Line]:
    """All of it; nothing is cut, and no line is longer than `width` but for a word that is."""
    for part in parts:
        if isinstance(part, Table):
            yield from _table(part, width, symbols)
        else:
            for line in part.split("\n"):
                yield from ([(text, "")] for text in folded(line, width))


def folded(line: str, width: int) -> list[str]:
    """A line of text on as many lines as it needs; what goes on stands behind the indent, or behind the bar of a quote."""
    if len(line) <= width:
        return [line]
    indent = len(line) - len(line.lstrip())
    quote = _QUOTE.match(line)
    if quote is not None and quote.end() <= width - LEAST_TEXT:
        lead = f"{'':{quote.end() - 2}}| "
        first, *more = textwrap.wrap(line[quote.end() :], width - quote.end(), break_on_hyphens=False)
        return [quote[0] + first, *(lead + text for text in more)]
    lead = " " * (indent + 2) if indent else ""
    return textwrap.wrap(line, width, subsequent_indent=lead, break_long_words=False, break_on_hyphens=False)


# --- tables ---


def _table(table: Table, width: int, symbols: Symbols) -> Iterator[Line]:
    if table.spare and not _fits(table, width) and _fits(table.without_spare(), width):
        table = table.without_spare()
    widths = _widths(table)
    *firm, last = widths
    used = sum(firm) + len(GAP) * len(firm)
    if table.bars:
        room = min(BAR, width - used - last - len(GAP))
        yield from _rows(table, widths, [_bar(share, room, symbols) for share in table.bars])
    elif _fits(table, width):
        yield from _rows(table, [*firm, min(last, width - used)], [""] * len(table.rows))
    else:
        for row in table.rows:
            yield from _paragraph(table, row, width)


def _widths(table: Table) -> list[int]:
    return [max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True)]


def _fits(table: Table, width: int) -> bool:
    *firm, last = _widths(table)
    return sum(firm) + len(GAP) * len(firm) + min(last, LEAST_LAST) <= width


def _bar(share: float, room: int, symbols: Symbols) -> str:
    return symbols.bars[-1] * round(share * room) if room > 0 else ""


def _rows(table: Table, widths: Sequence[int], bars: Sequence[str]) -> Iterator[Line]:
    """One row a line; only the last column is folded."""
    yield [(_joined(table, [name.upper() for name in table.columns], widths).rstrip(), "head")]
    lead = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    for row, bar in zip(table.rows, bars, strict=True):
        first, *more = textwrap.wrap(row[-1], widths[-1], break_on_hyphens=False) or [""]
        yield [*_cells(table, [*row[:-1], first], widths), *([(GAP, ""), (bar, "yes")] if bar else [])]
        for text in more:
            yield [(" " * lead, ""), (text, _style(row[-1]))]


def _cells(table: Table, row: Sequence[str], widths: Sequence[int]) -> Line:
    spans: Line = []
    for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
        text = cell.rjust(width) if table.columns[number] in table.right else cell.ljust(width)
        spans += [(text, _style(cell)), (GAP, "")]
    return spans[:-1]


def _joined(table: Table, row: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(text for text, _ in _cells(table, row, widths))


def _paragraph(table: Table, row: Sequence[str], width: int) -> Iterator[Line]:
    """One paragraph a row: each cell behind its column's name, those that are empty left out."""
    line: Line = []
    for name, cell in zip(table.columns, row, strict=True):
        if cell in {"", "-"}:
            continue
        item: Line = [(name.upper(), "dim"), (" ", ""), (cell, _style(cell))]
        if line and _length(line) + len(GAP) + _length(item) > width:
            yield line
            line = [(GAP, "")]
        elif line:
            line.append((GAP, ""))
        if _length(line) + _length(item) > width:
            lead = _length(line) + len(name) + 1
            first, *more = textwrap.wrap(cell, max(LEAST_TEXT, width - lead), break_on_hyphens=False)
            yield [*line, (name.upper(), "dim"), (" ", ""), (first, _style(cell))]
            yield from ([(" " * lead + text, _style(cell))] for text in more[:-1])
            line = [(" " * lead + more[-1], _style(cell))] if more else [(GAP, "")]
        else:
            line += item
    yield line


def _length(line: Line) -> int:
    return sum(len(text) for text, _ in line)


def _style(cell: str) -> str:
    """Words that mean the same in every table look the same."""
    if cell in _WELL:
        return "good"
    if cell in _ILL or cell.startswith("exited ("):
        return "bad"
    return "dim" if cell in _FAINT else ""
