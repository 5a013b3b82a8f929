"""The diagram on lines of text: time runs downwards, a column a lane. Pure; knows no terminal.

A round is at most a few lines: its ballot, its decision with the votes that made it, each hold of the permission, its end.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from votesync_cli.timeline import Arrow, Bar, Mark, Timeline
from votesync_cli.views_text import ASCII, UNICODE, Line, Span, Symbols, duration, listed
from votesync_cli.views_text import spoken as in_words

_LEFT = 18
_LEAST_TEXT, _WIDEST, _NARROWEST = 40, 8, 2
_SHORTEST = 12
_TOLD_BY_ROWS = frozenset({"vote", "turn", "grant", "ballot", "voted", "follow", "peer_up"})


@dataclass(frozen=True, slots=True)
class Signs:
    """The marks of the columns; each also stands in the legend."""

    lane: str = "│"
    held: str = "┃"
    fault: str = "╎"
    down: str = " "
    rule: str = "─"
    left: str = "◀"
    right: str = "▶"
    ballot: str = "■"
    vote: str = "●"
    late: str = "○"
    decided: str = "◆"
    holds: str = "█"
    written: str = "▪"
    star: str = "★"
    cross: str = "✗"
    dot: str = "•"

    @property
    def legend(self) -> str:
        """What they mean."""
        marks = f"{self.ballot} ballot  {self.vote} vote  {self.late} late vote  {self.decided} decided  {self.holds} writes"
        return f"{marks}  {self.written} written  {self.star} leads  {self.cross} trouble  {self.fault} fault"

    def legend_lines(self, width: int | None) -> list[str]:
        """The legend on as many lines as it needs; a mark stays beside its word."""
        marks = self.legend.replace("  ", "\n").replace(" ", "\0").replace("\n", " ")
        lines = [marks] if width is None else textwrap.wrap(marks, max(1, width - 10))
        return [line.replace(" ", "  ").replace("\0", " ") for line in lines]


PLAIN = Signs("|", "#", ":", " ", "-", "<", ">", "B", "v", "~", "D", "#", "W", "*", "x", "o")


class Row(NamedTuple):
    """One line, and what it is the beginning of, for those who jump."""

    line: Line
    begins: int | None = None  # a round
    violated: bool = False


class _Item(NamedTuple):
    """A line before it is drawn: the lane it happens on, the lanes it joins, and the mark at each."""

    t: int
    order: int
    lane: int
    sign: str
    others: tuple[int, ...]
    other_sign: str  # "" for an arrow's head
    style: str
    text: str
    round: int | None = None
    begins: bool = False
    violated: bool = False


def page(picture: Timeline, width: int | None, symbols: Symbols = UNICODE) -> Iterator[Line]:
    """The whole diagram."""
    return Drawing(width, symbols).lines(picture)


def spoken(picture: Timeline) -> Iterator[str]:
    """What happens, in words, one fact a line."""
    yield from map(in_words, picture.notes)
    for item in Drawing(None).items(picture):
        lane = picture.lanes[item.lane] if item.lane >= 0 else "violation of"
        who = "" if item.text.startswith(f"{lane} ") else f"{lane}: "
        about = f", round {item.round}" if item.round is not None else ""
        yield in_words(f"at {item.t / 1e6:.4f} s{about}: {who}{item.text}")


class Drawing:
    """How a diagram looks on `width` columns (None: as wide as it gets)."""

    def __init__(self, width: int | None, symbols: Symbols = UNICODE) -> None:
        self._width = width
        self._symbols = symbols
        self._signs = PLAIN if symbols == ASCII else Signs()
        self._cell = _WIDEST

    def lines(self, picture: Timeline) -> Iterator[Line]:
        """All of it, the legend and the heads of the columns first."""
        yield from self.head(picture)
        yield from (row.line for row in self.rows(picture))

    def head(self, picture: Timeline) -> list[Line]:
        """The legend and the names of the lanes."""
        self._fit(len(picture.lanes))
        names = "".join(self._name(lane).center(self._cell)[: self._cell] for lane in picture.lanes)
        head = f"{'seconds':>10}  {'round':<6}{names}"
        notes: list[Line] = [[(note, "note")] for note in picture.notes]
        legend: list[Line] = [[(text, "dim")] for text in self._signs.legend_lines(self._width)]
        return [*notes, *legend, self._cut([(head.rstrip(), "head")])]

    def rows(self, picture: Timeline) -> list[Row]:
        """A line for each thing that happens."""
        self._fit(len(picture.lanes))
        state = _Lanes(picture)
        rows: list[Row] = []
        for item in self.items(picture):
            first, *more = self._lines(item, state)
            rows.append(Row(first, item.round if item.begins else None, item.violated))
            rows += [Row(line) for line in more]
        return rows

    # --- what there is to say ---

    def items(self, picture: Timeline) -> list[_Item]:
        """All of it, in the order of time."""
        return sorted(self._items(picture), key=lambda item: (item.t, item.order))

    def _items(self, picture: Timeline) -> Iterator[_Item]:
        ways: dict[tuple[str, int | None], list[Arrow]] = defaultdict(list)
        for arrow in picture.arrows:
            ways[arrow.kind, arrow.round].append(arrow)
        yield from self._ballots(picture, ways)
        for mark in picture.marks:
            item = self._of_mark(mark, ways, picture)
            if item is not None:
                yield item
        handed = {(a.round, a.to, a.arrives): a.lane for a in picture.arrows if a.kind in ("grant", "pass")}
        for bar in picture.bars:
            yield self._of_bar(bar, handed.get((bar.round, bar.lane, bar.start)))
        for violation in picture.violations:
            text = f"{violation.rule}: {violation.text}"
            yield _Item(violation.start, 0, -1, "", (), "", "bad", text, violation.round, violated=True)

    def _ballots(self, picture: Timeline, ways: dict[tuple[str, int | None], list[Arrow]]) -> Iterator[_Item]:
        signs = self._signs
        texts = {(mark.round, mark.lane): mark.text for mark in picture.marks if mark.kind == "ballot"}
        known = {spell.round: spell for spell in picture.rounds}
        for (kind, index), arrows in ways.items():
            if kind == "ballot":
                for lane in sorted({arrow.lane for arrow in arrows}):
                    mine = [arrow for arrow in arrows if arrow.lane == lane]
                    text = texts.pop((index, lane), "proposes")
                    to = tuple(sorted({arrow.to for arrow in mine}))
                    yield _Item(mine[0].t, 1, lane, signs.ballot, to, "", "event", text, index, begins=True)
        for (index, lane), text in texts.items():
            spell = known.get(index) if index is not None else None
            yield _Item(spell.start if spell else 0, 1, lane, signs.ballot, (), "", "event", text, index, begins=True)

    def _of_mark(
        self, mark: Mark, ways: dict[tuple[str, int | None], list[Arrow]], picture: Timeline
    ) -> _Item | None:
        signs = self._signs
        match mark.kind:
            case "decided":
                votes = tuple(a.lane for a in ways["vote", mark.round] if a.to == mark.lane)
                return _Item(mark.t, 3, mark.lane, signs.decided, votes, signs.vote, "yes", mark.text, mark.round)
            case "written":
                late = tuple(a.lane for a in ways["late", mark.round] if a.to == mark.lane)
                more = f"; late votes of {listed(late)}" if late else ""
                return _Item(mark.t, 6, mark.lane, signs.written, late, signs.late, "good", mark.text + more, mark.round)
            case "vote" if mark.text.startswith("votes no"):
                to = tuple(a.to for a in ways["refusal", mark.round] if a.lane == mark.lane)
                return _Item(mark.t, 2, mark.lane, signs.cross, to, "", "no", mark.text, mark.round)
            case "grant" if " anew " in mark.text:
                return _Item(mark.t, 4, mark.lane, signs.dot, (), "", "late", mark.text, mark.round)
            case "leader":
                voters = tuple(a.lane for a in ways["elects", None] if a.to == mark.lane and a.arrives == mark.t)
                return _Item(mark.t, 3, mark.lane, signs.star, voters, signs.vote, "good", f"term {mark.term}: {mark.text}")
            case "send" | "ok" as kind:
                ends = ways["send" if kind == "send" else "ack", mark.round]
                to = tuple(a.to if kind == "send" else a.lane for a in ends if mark.lane in (a.lane, a.to) and a.t == mark.t)
                end = "" if kind == "send" else signs.dot
                return _Item(mark.t, 7, mark.lane, signs.dot, to, end, "", mark.text, mark.round)
            case kind if kind in _TOLD_BY_ROWS or (kind == "election" and mark.text.startswith("asks")):
                return None
            case kind:
                bad = kind in ("timeout", "step_down", "peer_down", "no_quorum", "refused", "fault", "stop", "fail", "unknown")
                sign = signs.cross if bad else signs.dot
                text = mark.text if mark.lane >= picture.nodes else f"node {picture.lanes[mark.lane][5:]} {mark.text}"
                return _Item(mark.t, 4, mark.lane, sign, (), "", "bad" if bad else "event", text, mark.round)

    def _of_bar(self, bar: Bar, giver: int | None) -> _Item:
        turns = f"turn {bar.turn}" if bar.turn == bar.upto else f"turns {bar.turn} to {bar.upto}"
        about = "" if bar.sure else "about "
        text = f"holds {turns} for {about}{duration(bar.end - bar.start, self._symbols)}"
        others = () if giver is None else (giver,)
        return _Item(bar.start, 5, bar.lane, self._signs.holds, others, self._signs.dot, "leader", text, bar.round)

    # --- drawing ---

    def _fit(self, lanes: int) -> None:
        if self._width is not None:
            room = self._width - _LEFT - _LEAST_TEXT
            self._cell = max(_NARROWEST, min(_WIDEST, room // max(1, lanes)))

    def _name(self, lane: str) -> str:
        kind, _, name = lane.partition(" ")
        return lane if self._cell >= len(lane) + 1 else kind[0] + name if self._cell > 2 or len(name) > 1 else name

    def _lines(self, item: _Item, state: _Lanes) -> Iterator[Line]:
        when = f"{item.t / 1e6:>10.4f}  "
        about = f"r{item.round}" if item.round is not None else ""
        text = item.text.replace("→", self._symbols.arrow).replace("…", self._symbols.more).replace("µ", self._symbols.micro)
        if item.lane < 0:
            lanes: Sequence[Span] = [(self._signs.cross * self._cell * state.count, "bad")]
            style = "bad"
        else:
            lanes, style = self._lanes(item, state), item.style
        used = _LEFT + self._cell * state.count + 1
        first, *more = self._folded(text, None if self._width is None else max(_SHORTEST, self._width - used))
        yield self._cut([(when, "dim"), (f"{about:<6}", "number"), *lanes, (" " + first, style)])
        for part in more:
            yield self._cut([(" " * _LEFT, ""), ("".join(self._bare(item.t, state)), "dim"), (" " + part, style)])

    @staticmethod
    def _folded(text: str, width: int | None) -> list[str]:
        return [text] if width is None else textwrap.wrap(text, width, break_on_hyphens=False) or [""]

    def _bare(self, t: int, state: _Lanes) -> list[str]:
        """The columns, when nothing happens but what goes on."""
        signs = self._signs
        bases = {"held": signs.held, "down": signs.down, "fault": signs.fault, "": signs.lane}
        row = [" "] * (self._cell * state.count)
        for lane in range(state.count):
            row[lane * self._cell + self._cell // 2] = bases[state.at(lane, t)]
        return row

    def _lanes(self, item: _Item, state: _Lanes) -> Sequence[Span]:
        """The columns: what goes on in each, and the line that joins those that have to do with one another."""
        signs, cell, half = self._signs, self._cell, self._cell // 2
        row = self._bare(item.t, state)
        ends = [lane for lane in item.others if lane != item.lane]
        if ends:
            low, high = min([item.lane, *ends]) * cell + half, max([item.lane, *ends]) * cell + half
            for place in range(low, high + 1):
                row[place] = signs.rule if row[place] == " " or place % cell != half else row[place]
            into = bool(item.other_sign)
            for lane in ends:
                row[lane * cell + half] = item.other_sign or (signs.right if lane > item.lane else signs.left)
                if into and cell > 2:
                    side = 1 if lane > item.lane else -1
                    row[item.lane * cell + half + side] = signs.left if side > 0 else signs.right
        row[item.lane * cell + half] = item.sign
        before, after = "".join(row[: item.lane * cell + half]), "".join(row[item.lane * cell + half + 1 :])
        return [(before, "dim"), (item.sign, item.style or "event"), (after, "dim")]

    def _cut(self, line: Line) -> Line:
        if self._width is None or sum(len(text) for text, _ in line) <= self._width:
            return line
        out: Line = []
        left = self._width - len(self._symbols.more)
        for text, style in line:
            out.append((text[:left], style))
            left -= len(out[-1][0])
        return [*out, (self._symbols.more, "dim")]


class _Lanes:
    """What goes on in each lane at a time; asked in the order of time."""

    def __init__(self, picture: Timeline) -> None:
        self.count = len(picture.lanes)
        self._spans: list[list[tuple[int, int, str]]] = [[] for _ in picture.lanes]
        for bar in picture.bars:
            self._spans[bar.lane].append((bar.start, bar.end, "held"))
        for band in picture.bands:
            self._spans[band.lane].append((band.start, band.end, "down" if band.kind == "down" else "fault"))
        for spans in self._spans:
            spans.sort(reverse=True)
        self._open: list[list[tuple[int, int, str]]] = [[] for _ in picture.lanes]

    def at(self, lane: int, t: int) -> str:
        """`held`, `down`, `fault` or nothing."""
        spans, held = self._spans[lane], self._open[lane]
        while spans and spans[-1][0] <= t:
            held.append(spans.pop())
        self._open[lane] = held = [span for span in held if span[1] > t]
        kinds = {kind for _, _, kind in held}
        return next((kind for kind in ("held", "down", "fault") if kind in kinds), "")
