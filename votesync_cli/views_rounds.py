"""The table of `tail`, line by line: columns that fit a width, one line a round, happenings between. Pure.

A table that is printed while it grows needs its widths before its rows, so they follow from the number of nodes and
the width alone. `SHAPES` goes from all that is known to what fits on 60 columns; what a narrow table leaves out of a
row that is not ordinary comes on a line below it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal, NamedTuple

from votesync_cli.views_text import (
    UNICODE,
    Line,
    Span,
    Symbols,
    clock,
    count,
    duration,
    fold,
    listed,
    message_time,
    mood,
    sentence,
    spoken,
)
from votesync_cli.votes_model import KINDS, Happening, Item, RoundView, VoteView

GAP = "  "


class Shape(NamedTuple):
    """How much a table shows. Widths of 0 leave a column out; None is as wide as it gets."""

    time: bool
    term: bool
    messages: Literal["exact", "clock", "since", "count", "total"]
    votes: Literal["full", "marks", "tally"]
    earliest: bool
    writers: int | None
    range: bool


SHAPES = (
    Shape(True, True, "exact", "full", False, None, True),
    Shape(True, True, "clock", "full", False, 20, True),
    Shape(True, True, "clock", "marks", False, 16, True),
    Shape(True, True, "since", "marks", True, 14, False),
    Shape(False, True, "since", "marks", False, 14, False),
    Shape(False, True, "count", "marks", True, 14, False),
    Shape(False, True, "count", "marks", False, 12, False),
    Shape(False, True, "total", "marks", False, 12, False),
    Shape(False, True, "total", "marks", False, 9, False),
    Shape(False, True, "total", "tally", False, 9, False),
    Shape(False, False, "total", "tally", False, 0, False),
)
CELL = {"exact": 20, "clock": 15, "since": 9, "count": 3, "total": 0}
VOTE = {"full": 9, "marks": 1, "tally": 0}


class _Column(NamedTuple):
    title: str
    under: str
    width: int


@dataclass(frozen=True, slots=True)
class RoundTable:
    """The layout for a cluster of `nodes` on a line of `width` columns (None: as wide as it needs to be)."""

    nodes: tuple[int, ...]
    width: int | None = None
    symbols: Symbols = UNICODE
    zone: tzinfo | None = None

    @property
    def shape(self) -> Shape:
        """The richest shape that fits."""
        if self.width is None:
            return SHAPES[0]
        fitting = (shape for shape in SHAPES[1:] if self._total(shape) <= (self.width or 0))
        return next(fitting, SHAPES[-1])

    def header(self) -> list[Line]:
        """Two lines: what the columns are, and the nodes' ids over their cells."""
        columns = self._columns(self.shape)
        first = GAP.join(column.title.ljust(column.width) for column in columns).rstrip()
        second = GAP.join(column.under.ljust(column.width) for column in columns).rstrip()
        return [[(first, "head")], [(second, "head")]] if second.strip() else [[(first, "head")]]

    def legend(self) -> Line:
        """What the marks mean, as far as one line has room."""
        return [(self.symbols.legend[: self.width], "dim")]

    def lines(self, items: Iterable[Item]) -> Iterator[Line]:
        """All these, in order; happenings between two rounds that are alike become one line."""
        between: list[Happening] = []
        for item in items:
            if isinstance(item, Happening):
                between.append(item)
                continue
            yield from self.happenings(between)
            between = []
            yield from self.row(item)
        yield from self.happenings(between)

    def row(self, view: RoundView) -> list[Line]:
        """One round: its line, and the notes below it that the line has no room for."""
        shape, symbols = self.shape, self.symbols
        cells: list[Line] = []
        if shape.time:
            cells.append([(clock(view.ts, self.zone), "dim")])
        cells.append([(str(view.round).rjust(6), "number")])
        if shape.term:
            cells.append([(("?" if view.term is None else str(view.term)).rjust(4), "")])
        cells.append([(self._leader(view).rjust(4), "leader")])
        cells.append(self._messages(view, shape))
        if shape.earliest:
            cells.append([(self._earliest(view).ljust(12), "dim")])
        cells.append(self._votes(view, shape))
        cells.append([(duration(view.quorum_us, symbols).rjust(6), "")])
        if shape.writers != 0:
            writers = self._writers(view, shape.writers)
            cells.append([(writers.ljust(self._writers_width(shape)), "")])
        cells.append([(self._bytes(view, shape), "number")])
        line = _joined(cells)
        notes = self._notes(view, shape)
        if notes and (self.width is None or _length(line) + 2 + len(notes) <= self.width):
            return [[*line, (GAP + notes, "note")]]
        return [line, *self._below(notes)] if notes else [line]

    def happenings(self, items: Sequence[Happening]) -> Iterator[Line]:
        """The lines between two rounds."""
        for folded in fold(items):
            item = folded.happening
            time = f"{clock(item.ts, self.zone)}{GAP}" if self.width is None or self.width >= 80 else ""
            head = f"{self.symbols.rule} {time}"
            text = sentence(folded, self.symbols)
            term = f"  [term {item.term}]" if item.event != "leader" else ""
            for number, part in enumerate(self._wrapped(text + term, len(head))):
                yield [(head if number == 0 else " " * len(head), "dim"), (part, mood(item))]

    def sampled(self, rate: float, every: int) -> Line:
        """The line that says that not every round is shown."""
        shown = f"1 of {every}" if every > 1 else "all again"
        return [(f"{self.symbols.rule} ", "dim"), (f"{round(rate):,} rounds/s, showing {shown}", "note")]

    # --- columns ---

    def _columns(self, shape: Shape) -> list[_Column]:
        ids = [str(node) for node in self.nodes]
        columns = [_Column("time", "", 12)] if shape.time else []
        columns.append(_Column(" round", "", 6))
        if shape.term:
            columns.append(_Column("term", "", 4))
        columns.append(_Column("lead", "", 4))
        if shape.messages == "total":
            columns.append(_Column(" msgs", "", 5))
        else:
            cell = CELL[shape.messages]
            titles = {"since": "messages, earliest of each", "count": "messages"}
            title = titles.get(shape.messages, "messages@earliest time")
            under = " ".join(name.ljust(cell) for name in ids)
            columns.append(_Column(title[: max(len(under), 4)], under, max(len(under), 4)))
        if shape.earliest:
            columns.append(_Column("earliest", "", 12))
        columns.append(self._vote_column(shape, ids))
        columns.append(_Column("quorum", "", 6))
        if shape.writers != 0:
            columns.append(_Column("writers", "", self._writers_width(shape)))
        columns.append(_Column("bytes", "", 16 if shape.range else 7))
        return columns

    def _writers_width(self, shape: Shape) -> int:
        return shape.writers or max(20, 3 * len(self.nodes))

    @staticmethod
    def _vote_column(shape: Shape, ids: list[str]) -> _Column:
        if shape.votes == "tally":
            return _Column("votes", "", 9)
        if shape.votes == "marks":
            under = "".join(ids) if len(ids) <= 10 else "".join(name[-1] for name in ids)
            return _Column("votes", under, max(5, len(ids)))
        under = " ".join(name.ljust(VOTE["full"]) for name in ids)
        return _Column("votes", under, max(5, len(under)))

    def _total(self, shape: Shape) -> int:
        columns = self._columns(shape)
        return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)

    # --- cells ---

    def _leader(self, view: RoundView) -> str:
        if view.leader is None:
            return "?"
        return f"{view.leader}{self.symbols.arrow}{view.finisher}" if view.inherited else str(view.leader)

    def _earliest(self, view: RoundView) -> str:
        return "-" if view.earliest is None else message_time(view.earliest, self.zone)

    def _messages(self, view: RoundView, shape: Shape) -> Line:
        if shape.messages == "total":
            return [(count(view.count).rjust(5), "number")]
        cell, first = CELL[shape.messages], view.earliest or 0
        spans: Line = []
        for node in self.nodes:
            got = view.messages.get(node)
            if got is None:
                text = self.symbols.silent
            elif shape.messages == "exact":
                text = f"{got.many}@{got.earliest}"
            elif shape.messages == "clock":
                text = f"{got.many}@{message_time(got.earliest, self.zone)}"
            elif shape.messages == "since":
                text = f"{got.many}+{duration(got.earliest - first, self.symbols) if got.earliest > first else '0'}"
            else:
                text = str(got.many)
            spans.append((text.ljust(cell) + " ", "number" if got else "dim"))
        return _fitted(spans, max(4, (cell + 1) * len(self.nodes) - 1))

    def _votes(self, view: RoundView, shape: Shape) -> Line:
        votes = [view.votes.get(node, VoteView("silent")) for node in self.nodes]
        if shape.votes == "tally":
            tally = [(kind, sum(vote.kind == kind for vote in votes)) for kind in KINDS]
            return _fitted([(f"{many}{self.symbols.vote(kind)} ", kind) for kind, many in tally if many], 9)
        if shape.votes == "marks":
            return _fitted([(self.symbols.vote(vote.kind), vote.kind) for vote in votes], max(5, len(votes)))
        spans: Line = []
        for vote in votes:
            told = vote.reason if vote.kind == "no" else duration(vote.us, self.symbols) if vote.us is not None else ""
            spans.append(((self.symbols.vote(vote.kind) + told).ljust(VOTE["full"]) + " ", vote.kind))
        return _fitted(spans, 10 * len(votes) - 1)

    def _writers(self, view: RoundView, width: int | None) -> str:
        names = [f"{turn.owner}({turn.writer})" if turn.stand_in is not None else str(turn.owner) for turn in view.turns]
        if not names:
            return "-"
        total = len(names) + view.unlisted
        text = self.symbols.arrow.join(names) + (f"{self.symbols.more}+{view.unlisted}" if view.unlisted else "")
        while width is not None and len(text) > width and names:
            names.pop()
            text = self.symbols.arrow.join(names) + f"{self.symbols.more}+{total - len(names)}"
        return text if width is None else text[:width]

    @staticmethod
    def _bytes(view: RoundView, shape: Shape) -> str:
        if view.size is None:
            return "-".rjust(16 if shape.range else 7)
        return f"{view.start}+{view.size}".ljust(16) if shape.range else count(view.size).rjust(7)

    @staticmethod
    def _notes(view: RoundView, shape: Shape) -> str:
        notes = endings(view)
        if shape.votes != "full":
            notes += [f"node {node} says no: {vote.reason}" for node, vote in sorted(view.votes.items()) if vote.kind == "no"]
        if view.attempts > 1:
            notes.append(f"{view.attempts} grants")
        return "; ".join(notes)

    def _below(self, notes: str) -> list[Line]:
        head = f"{'':7}{self.symbols.note} "
        parts = self._wrapped(notes, len(head))
        return [[(head if number == 0 else " " * len(head), "dim"), (part, "note")] for number, part in enumerate(parts)]

    def _wrapped(self, text: str, used: int) -> list[str]:
        if self.width is None:
            return [text]
        return textwrap.wrap(text, max(20, self.width - used)) or [text]


def endings(view: RoundView) -> list[str]:
    """How a round ended, where it is not as it should be."""
    match view.state:
        case "replaced":
            return ["not decided: another round took its place"]
        case "decided":
            return ["decided, not known to be written"]
        case "open":
            return ["proposed, not known to be decided"]
        case _ if view.leader is None:
            return [f"its proposal is in no log; node {view.finisher} saw it written in term {view.finished_term}"]
        case _:
            return [f"completed by node {view.finisher} in term {view.finished_term}"] if view.inherited else []


def spoken_round(view: RoundView, zone: tzinfo | None = None) -> str:
    """A round in words: who proposed what, who voted how, who wrote it."""
    who = f"node {view.leader} proposed" if view.leader is not None else "proposed"
    gathered = ", ".join(f"{got.many} of node {node}" for node, got in sorted(view.messages.items()))
    told = [f"{who} {count(view.count)} messages" + (f" ({gathered})" if gathered else "")]
    for kind in KINDS:
        nodes = sorted(node for node, vote in view.votes.items() if vote.kind == kind)
        if nodes and kind == "no":
            told += [f"no of node {node}, {view.votes[node].reason}" for node in nodes]
        elif nodes:
            told.append(f"{kind} of node{'s' if len(nodes) > 1 else ''} {listed(nodes)}")
    if view.quorum_us is not None:
        told.append(f"majority after {duration(view.quorum_us)}")
    if view.turns:
        names = [f"{t.writer}" + (f" in the place of {t.owner}" if t.stand_in is not None else "") for t in view.turns]
        told.append(f"written by node {' then node '.join(names)}" + (f" and {view.unlisted} more" if view.unlisted else ""))
    if view.start is not None and view.end is not None:
        told.append(f"bytes {view.start:,} to {view.end:,}")
    told += [f"{view.attempts} grants"] if view.attempts > 1 else []
    term = "" if view.term is None else f", term {view.term}"
    return spoken(f"{clock(view.ts, zone)[:8]} round {view.round}{term}: {'; '.join([*told, *endings(view)])}")


def _joined(cells: Sequence[Line]) -> Line:
    line: Line = []
    for number, cell in enumerate(cells):
        if number:
            line.append((GAP, ""))
        line.extend(cell)
    return line


def _fitted(spans: Line, width: int) -> Line:
    """The spans, cut or filled to a width."""
    fitted: Line = []
    left = width
    for text, style in spans:
        if left > 0:
            span: Span = (text[:left], style)
            fitted.append(span)
            left -= len(span[0])
    return [*fitted, (" " * left, "")] if left > 0 else fitted


def _length(line: Line) -> int:
    return sum(len(text) for text, _ in line)
