"""The picture that `top` draws of a `Board`, line by line, for a width. Pure."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from votesync_cli.board import MISSED_OF, Board, NodeLine, Turn
from votesync_cli.views_text import UNICODE, Line, Symbols, clock, count, duration, fold, mood, sentence, sparkline

EVENTS_SHOWN = 8


class Picture:
    """How a board looks on lines of `width` columns (None: as wide as it gets)."""

    def __init__(self, width: int | None, symbols: Symbols = UNICODE, zone: tzinfo | None = None) -> None:
        self._width = width
        self._symbols = symbols
        self._zone = zone

    def lines(self, board: Board, height: int | None = None) -> list[Line]:
        """All of it, cut to the width; of the events as many as the height has room for, three at least."""
        above = [
            *self._head(board), [],
            *self._turn(board.turn), [],
            *self._nodes(board), [],
            *self._links(board), [],
            *self._faults(board),
        ]  # fmt: skip
        room = EVENTS_SHOWN if height is None else max(3, height - len(above) - 1)
        return [self._cut(line) for line in (*above, *self._events(board, room))]

    @property
    def _is_wide(self) -> bool:
        return self._width is None or self._width >= 90

    def _head(self, board: Board) -> list[Line]:
        lead = f"node {board.leader} leads term {board.term}" if board.leader is not None else "no leader"
        well = board.exit_code == 0
        rates = f"{board.rounds_s:,.1f} rounds/s  {board.messages_s:,.1f} messages/s"
        done = f"round {count(board.round)}  {count(board.written)} bytes written"
        p50, p99, top = (duration(board.quantile(share), self._symbols) for share in (0.5, 0.99, 1.0))
        history = board.history[-max(10, min(60, (self._width or 100) - 50)) :]
        return [
            [
                (f"{board.project}  ", "head"), (lead, "leader" if well else "bad"),
                (f"  {board.healthy} of {len(board.nodes)} nodes healthy", "good" if well else "bad"),
                (f"  {clock(board.ts, self._zone)}", "dim"),
            ],
            [(f"{rates}  {done}", "")],
            [
                ("quorum ", "dim"), (sparkline(history, self._symbols), "yes"),
                (f" p50 {p50}  p99 {p99}  max {top}", ""),
            ],
        ]  # fmt: skip

    def _turn(self, turn: Turn | None) -> list[Line]:
        if turn is None:
            return [[("turn   ", "dim"), ("nobody's: all that is decided is written", "")]]
        behind = self._symbols.arrow.join(map(str, turn.waiting))
        again = f", attempt {turn.attempt}" if turn.attempt else ""
        return [
            [
                ("turn   ", "dim"), (f"node {turn.writer}", "leader"),
                (f" writes turn {turn.turn} of round {turn.round}{again}", ""),
                (f"; behind it {behind}" if behind else "; nobody behind it", ""),
            ]
        ]  # fmt: skip

    def _nodes(self, board: Board) -> list[Line]:
        names = f"{'node':>4}  {'state':<9}  {'role':<10}  {'term':>5}"
        last = f"  {'last':>8}" if self._is_wide else ""
        rest = f"{'vote':<9}  {'queue':>6}  {'lag':>5}{last}  health"
        return [[(f"{names}  {rest}", "head")], *(self._node(node) for node in board.nodes)]

    def _node(self, node: NodeLine) -> Line:
        vote, kind = self._vote(node)
        health = {True: "healthy", False: node.why or "not healthy", None: node.why or "does not answer"}[node.healthy]
        last = f"  {count(node.last):>8}" if self._is_wide else ""
        numbers = f"{count(node.queue):>6}  {count(node.lag):>5}{last}  "
        role = "leader" if node.role == "leader" else "bad" if node.role in ("candidate", "recovering") else ""
        return [
            (f"{self._symbols.up if node.healthy else self._symbols.down} ", "good" if node.healthy else "bad"),
            (f"{node.node:>2}  ", "number"), (f"{node.state:<9}  ", "" if node.state == "running" else "bad"),
            (f"{node.role:<10}  ", role), (f"{count(node.term):>5}  ", ""), (f"{vote:<9}  ", kind), (numbers, "number"),
            (health, "good" if node.healthy else "bad"),
        ]  # fmt: skip

    def _vote(self, node: NodeLine) -> tuple[str, str]:
        if node.vote is None:
            return "-", "dim"
        told = node.vote.reason if node.vote.kind == "no" else duration(node.vote.us, self._symbols) if node.vote.us else ""
        return (self._symbols.vote(node.vote.kind) + told)[:9], node.vote.kind

    def _links(self, board: Board) -> list[Line]:
        """From each node (rows) to each (columns): the link, and in a leader's row how many votes it did without."""
        ids = [node.node for node in board.nodes]
        widest = max((len(str(many)) for many in board.missed.values()), default=0) + 1
        cell = max(2, len(str(ids[-1])) if ids else 1, widest) + 1
        roomy = self._width is None or 11 + cell * len(ids) <= self._width
        if not roomy:
            cell = 1
        names = "".join((str(node) if roomy else str(node)[-1]).ljust(cell) for node in ids)
        title = f"{self._symbols.up} up  {self._symbols.down} down  number: votes missing in {MISSED_OF} rounds"
        lines: list[Line] = [[("links  ", "dim"), (title, "dim")], [("to        ", "dim"), (names, "head")]]
        for node in board.nodes:
            spans: Line = [(f"from {node.node:>3}  ", "dim")]
            for peer in ids:
                text, style = self._link(node, peer, board.missed.get((node.node, peer), 0) if roomy else 0)
                spans.append((text.ljust(cell), style))
            lines.append(spans)
        return lines

    def _link(self, node: NodeLine, peer: int, missed: int) -> tuple[str, str]:
        if peer == node.node:
            return "\\", "dim"
        up = node.links.get(peer)
        mark, style = ("?", "dim") if up is None else (self._symbols.up, "yes") if up else (self._symbols.down, "no")
        return (f"{mark}{missed}", "late" if up else "no") if missed else (mark, style)

    @staticmethod
    def _faults(board: Board) -> list[Line]:
        if not board.faults:
            return [[("faults ", "dim"), ("none", "")]]
        return [[("faults ", "dim"), (f"node {node}: {_said(fault)}", "bad")] for node, fault in board.faults]

    def _events(self, board: Board, room: int) -> list[Line]:
        news = fold(board.happenings)[-room:]
        lines: list[Line] = [[("events", "dim"), ("" if news else " none yet", "")]]
        for folded in reversed(news):
            item = folded.happening
            lines.append([(f"{clock(item.ts, self._zone)}  ", "dim"), (sentence(folded, self._symbols), mood(item))])
        return lines

    def _cut(self, line: Line) -> Line:
        if self._width is None:
            return line
        out: Line = []
        left = self._width
        for text, style in line:
            if left > 0:
                out.append((text[:left], style))
                left -= len(text)
        return out


def _said(fault: Any) -> str:
    return " ".join(f"{name}={value}" for name, value in fault.items())
