"""The picture that `top` draws of a `Board`, line by line, for a width. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

from votesync_cli.board import MISSED_OF, Board, NodeLine, Turn
from votesync_cli.fault_results import told
from votesync_cli.views_text import (
    UNICODE,
    Folded,
    Line,
    Symbols,
    clock,
    count,
    duration,
    fold,
    fold_line,
    mood,
    sentence,
    sparkline,
)
from votesync_cli.views_text import spoken as in_words

EVENTS_SHOWN = 8
_INDENT = 7


def page(board: Board, width: int | None, symbols: Symbols = UNICODE) -> list[Line]:
    """The whole board."""
    return Picture(width, symbols).lines(board)


class Picture:
    """How a board looks on lines of `width` columns (None: as wide as it gets)."""

    def __init__(self, width: int | None, symbols: Symbols = UNICODE, zone: tzinfo | None = None) -> None:
        self._width = width
        self._symbols = symbols
        self._zone = zone

    def lines(self, board: Board, height: int | None = None) -> list[Line]:
        """All of it; events as many as the height has room for, three at least. Where that is little, links come in words."""
        head, nodes = self._folded([*self._head(board), [], *self._turn(board.turn), []]), [*self._nodes(board), []]
        faults = self._folded(self._faults(board))
        above = [*head, *nodes, *self._links(board), [], *faults]
        if height is not None and len(above) + 4 > height:
            above = [*head, *nodes, *self._folded([self._links_told(board)]), *faults]
        if height is not None and len(above) + 4 > height:
            above = [line for line in above if line]
        room = EVENTS_SHOWN if height is None else max(3, height - len(above) - 1)
        return [*above, *self._events(board, room)]

    @property
    def _is_wide(self) -> bool:
        return self._width is None or self._width >= 90

    @property
    def _is_narrow(self) -> bool:
        return self._width is not None and self._width < 76

    def _folded(self, lines: list[Line]) -> list[Line]:
        return [part for line in lines for part in fold_line(line, self._width, _INDENT)]

    def _head(self, board: Board) -> list[Line]:
        lead = f"node {board.leader} leads term {board.term}" if board.leader is not None else "no leader"
        well = board.exit_code == 0
        rates = f"{board.rounds_s:,.1f} rounds/s  {board.messages_s:,.1f} messages/s"
        done = f"round {count(board.round)}  {count(board.written)} bytes{'' if self._is_narrow else ' written'}"
        p50, p99, top = (duration(board.quantile(share), self._symbols) for share in (0.5, 0.99, 1.0))
        history = board.history[-max(10, min(60, (self._width or 100) - 50)) :]
        return [
            [
                (f"{board.project}  ", "head"), (lead, "leader" if well else "bad"),
                (f"  {board.healthy} of {len(board.nodes)} nodes healthy", "good" if well else "bad"),
                (f"  {clock(board.ts, self._zone)[:8]}", "dim"),
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
        state = "" if self._is_narrow else f"{'state':<9}  "
        names = f"{'node':>4}  {state}{'role':<10}  {'term':>5}"
        last = f"  {'last':>8}" if self._is_wide else ""
        rest = f"{'vote':<9}  {'queue':>6}  {'lag':>5}{last}  health"
        if self._is_narrow:
            rest = rest.removesuffix("  health")
        return [[(f"{names}  {rest}", "head")], *(line for node in board.nodes for line in self._node(node))]

    def _node(self, node: NodeLine) -> list[Line]:
        vote, kind = self._vote(node)
        health = {True: "healthy", False: node.why or "not healthy", None: node.why or "does not answer"}[node.healthy]
        last = f"  {count(node.last):>8}" if self._is_wide else ""
        numbers = f"{count(node.queue):>6}  {count(node.lag):>5}{last}  "
        role = "leader" if node.role == "leader" else "bad" if node.role in ("candidate", "recovering") else ""
        well = "good" if node.healthy else "bad"
        mark = (f"{self._symbols.up if node.healthy else self._symbols.down} ", well)
        head: Line = [mark, (f"{node.node:>2}  ", "number")]
        rest: Line = [(f"{count(node.term):>5}  ", ""), (f"{vote:<9}  ", kind), (numbers, "number")]
        if self._is_narrow:
            below: Line = [(f"{'':6}{self._symbols.note} {health}", "bad")]
            said = node.role if node.state == "running" else node.state
            row: Line = [*head, (f"{said:<10}  ", role or ("" if node.state == "running" else "bad")), *rest]
            return [row] if node.healthy else [row, *fold_line(below, self._width, 8)]
        state = (f"{node.state:<9}  ", "" if node.state == "running" else "bad")
        whole: Line = [*head, state, (f"{node.role:<10}  ", role), *rest, (health, well)]
        return fold_line(whole, self._width, sum(len(text) for text, _ in whole[:-1]))

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

    @staticmethod
    def _links_told(board: Board) -> Line:
        """Only what is wrong with them."""
        down, unknown = _broken(board)
        told = [f"{node} to {peer} down" for node, peer in down]
        told += [f"unknown from {node}" for node in unknown]
        told += [f"{many} votes of {peer} missing at {node}" for (node, peer), many in sorted(board.missed.items())]
        return [("links  ", "dim"), ("; ".join(told) or "all up, no vote missing", "bad" if down else "")]

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
        return [[("faults ", "dim"), (f"node {node}: {told(fault)}", "bad")] for node, fault in board.faults]

    def _events(self, board: Board, room: int) -> list[Line]:
        news = fold(board.happenings)[-room:]
        lines: list[Line] = [[("events", "dim"), ("" if news else " none yet", "")]]
        for folded in reversed(news):
            item = folded.happening
            line: Line = [(f"{clock(item.ts, self._zone)}  ", "dim"), (sentence(folded, self._symbols), mood(item))]
            lines += fold_line(line, self._width, 14)
        return lines[: room + 1]


def _broken(board: Board) -> tuple[list[tuple[int, int]], list[int]]:
    """The links that are down, and the nodes that say nothing of theirs."""
    down = [(node.node, peer) for node in board.nodes for peer, up in sorted(node.links.items()) if not up]
    return down, [node.node for node in board.nodes if not node.links and len(board.nodes) > 1]


# --- in words ---


def spoken(board: Board, zone: tzinfo | None = None) -> Iterator[str]:
    """The board in words, one fact a line."""
    lead = f"node {board.leader} leads term {board.term}" if board.leader is not None else "no node leads"
    yield f"{board.project}: {lead}; {board.healthy} of {len(board.nodes)} nodes healthy"
    yield in_words(f"{board.rounds_s:,.1f} rounds/s, {board.messages_s:,.1f} messages/s")
    yield f"round {count(board.round)} decided, {count(board.written)} bytes written"
    if board.latencies:
        half, most = duration(board.quantile(0.5)), duration(board.quantile(1.0))
        yield in_words(f"from ballot to decision: {half} for half of the rounds, {most} at most")
    yield told_turn(board.turn)
    yield from map(told_node, board.nodes)
    down, unknown = _broken(board)
    yield from (f"link from node {node} to node {peer}: down" for node, peer in down)
    yield from (f"links of node {node}: unknown" for node in unknown)
    if not down and not unknown:
        yield "links: all up"
    for (leader, node), many in sorted(board.missed.items()):
        yield f"votes of node {node} that leader {leader} did without, of the last {MISSED_OF} rounds: {many}"
    yield from told_faults(board)
    for folded in fold(board.happenings):
        yield told_event(folded, zone)


def changes(before: Board, board: Board, zone: tzinfo | None = None) -> Iterator[str]:
    """What has happened since the board before, in words."""
    known = {(item.ts, item.node, item.event) for item in before.happenings}
    for folded in fold(item for item in board.happenings if (item.ts, item.node, item.event) not in known):
        yield told_event(folded, zone)
    was = {node.node: node for node in before.nodes}
    for node in board.nodes:
        old = was.get(node.node)
        if old is None or (old.state, old.role, old.healthy, old.why) != (node.state, node.role, node.healthy, node.why):
            yield told_node(node)
    if before.leader != board.leader:
        yield f"node {board.leader} leads term {board.term}" if board.leader is not None else "no node leads"
    if before.faults and not board.faults:
        yield from told_faults(board)


def told_turn(turn: Turn | None) -> str:
    """Who writes, in words."""
    if turn is None:
        return "turn: nobody's, all that is decided is written"
    order = " then node ".join(map(str, turn.waiting))
    behind = f"waiting behind it: node {order}" if order else "nobody waits behind it"
    again = f", attempt {turn.attempt}" if turn.attempt else ""
    return f"turn: node {turn.writer} writes turn {turn.turn} of round {turn.round}{again}; {behind}"


def told_node(node: NodeLine) -> str:
    """A node, in words."""
    health = {True: "healthy", False: node.why or "not healthy", None: node.why or "does not answer"}[node.healthy]
    told = [node.state, node.role if node.role != "-" else "", health]
    told.append(f"term {node.term}" if node.term is not None else "")
    if node.vote is not None:
        how = f" because {node.vote.reason}" if node.vote.reason else f" after {duration(node.vote.us)}" if node.vote.us else ""
        told.append(f"last vote {node.vote.kind}{how}")
    numbers = (("queue", node.queue), ("lag", node.lag))
    told += [f"{name} {number:,}" for name, number in numbers if number is not None]
    return in_words(f"node {node.node}: {'; '.join(filter(None, told))}")


def told_faults(board: Board) -> Iterator[str]:
    """What is at work, in words."""
    yield from (in_words(f"fault at node {node}: {told(fault)}") for node, fault in board.faults)
    if not board.faults:
        yield "faults: none"


def told_event(folded: Folded, zone: tzinfo | None = None) -> str:
    """A happening with its time, in words."""
    return f"{clock(folded.happening.ts, zone)[:8]} {in_words(sentence(folded))}"
