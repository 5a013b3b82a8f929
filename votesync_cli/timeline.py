"""A run as a space-time diagram: what each node did when, and which message led from which event to which. Pure.

A lane is a node, or a client's session. The logs tell what a node did, not what travelled between nodes; so arrows join the
pairs of events that belong together (docs/TIMELINE.md). Times are microseconds from `zero`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from votesync_cli.recorded import Recorded, Said, session_key
from votesync_cli.results import Table
from votesync_cli.stories import Cast, Held, Proposal, Story, stories
from votesync_cli.timeline_words import told

ARROWS = ("ballot", "vote", "late", "refusal", "grant", "pass", "written", "asks", "elects", "leads", "send", "ack")
BALLOT, CLIENT = "ballot", -1


class Mark(NamedTuple):
    """One event on a lane. `kind` is the log's word for it, or `send`, `ok`, `fail`, `unknown` of a client."""

    t: int
    lane: int
    kind: str
    term: int
    round: int | None
    text: str


class Arrow(NamedTuple):
    """A message from one lane to another; `cause` and `effect` number the marks at its ends, -1 where there is none."""

    kind: str
    lane: int
    t: int
    to: int
    arrives: int
    round: int | None
    cause: int = -1
    effect: int = -1


class Bar(NamedTuple):
    """A node holds the permission to write."""

    lane: int
    start: int
    end: int
    round: int
    turn: int
    upto: int
    attempt: int
    sure: bool


class Band(NamedTuple):
    """A fault, or a time in which a node was down."""

    lane: int
    start: int
    end: int
    kind: str
    text: str


class Violation(NamedTuple):
    """What `verify` found broken: from `start` to `end`, in `round` (None: not known where)."""

    rule: str
    start: int
    end: int
    round: int | None
    text: str


class Spell(NamedTuple):
    """One round's stretch of time, from its ballot to its end. `state`: written, decided, open; `many` messages."""

    round: int
    start: int
    end: int
    state: str
    leader: int | None
    many: int | None


@dataclass(slots=True)
class Timeline:
    """The picture. `lanes` are their names; the first `nodes` of them are nodes. `notes` say what to be careful about."""

    lanes: list[str] = field(default_factory=list)
    nodes: int = 0
    zero: int = 0
    began: float = 0.0
    marks: list[Mark] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    rounds: list[Spell] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    exit_code: int = 0
    table: Table | None = None
    view: str = "timeline"

    def to_text(self) -> str:
        """How much there is of it; its view draws it."""
        return f"{len(self.rounds)} rounds, {len(self.marks)} events on {len(self.lanes)} lanes"

    @property
    def end(self) -> int:
        """When the last thing happens."""
        last = [self.marks[-1].t if self.marks else 0]
        last += [max((arrow.arrives for arrow in self.arrows), default=0), max((bar.end for bar in self.bars), default=0)]
        return max(last)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a thing, in the order of time; `us` is microseconds after the first."""
        yield {"lanes": self.lanes, "nodes": self.nodes, "began": self.began, "end_us": self.end, "notes": self.notes}
        rows: list[tuple[int, dict[str, Any]]] = []
        for mark in self.marks:
            rows.append((mark.t, _named("event", mark, lane=self.lanes[mark.lane])))
        for arrow in self.arrows:
            rows.append((arrow.t, _named("arrow", arrow, lane=self.lanes[arrow.lane], to=self.lanes[arrow.to])))
        for bar in self.bars:
            rows.append((bar.start, _named("holds", bar, lane=self.lanes[bar.lane])))
        for band in self.bands:
            rows.append((band.start, _named("band", band, lane=self.lanes[band.lane])))
        for violation in self.violations:
            rows.append((violation.start, _named("violation", violation)))
        yield from (row for _, row in sorted(rows, key=lambda item: item[0]))


def _named(what: str, value: Any, **also: object) -> dict[str, Any]:
    return {"is": what, **value._asdict(), **also}


class Choice(NamedTuple):
    """What to draw: rounds `first` to `last` with all that happens meanwhile; None: no bound. `clients` adds their lanes."""

    first: int | None = None
    last: int | None = None
    clients: bool = False


EVERYTHING = Choice()


def timeline(found: Recorded, choice: Choice = EVERYTHING) -> Timeline:
    """Draw it."""
    told_rounds = stories(found.said)
    chosen = {
        index: story for index, story in sorted(told_rounds.items())
        if (choice.first is None or index >= choice.first) and (choice.last is None or index <= choice.last)
    }  # fmt: skip
    start, end = _window(found, chosen, choice)
    out = _Drawing(found, choice, start).draw(chosen, start, end)
    if found.by_wall:
        out.notes.append(f"{found.by_wall:,} events are placed by wall clocks, for they were logged on another clock.")
    return out


def _window(found: Recorded, chosen: Mapping[int, Story], choice: Choice) -> tuple[int, int]:
    """From when to when; a choice of rounds begins and ends with them."""
    times = [said.t for said in found.said]
    if choice.clients and choice[:2] == (None, None):
        times += [sent.invoked for sent in found.sent.values()] + [s.answered for s in found.sent.values() if s.answered]
    start, end = min(times, default=0), max(times, default=0)
    spells = [spell for story in chosen.values() if (spell := spell_of(story)) is not None]
    if spells and choice.first is not None:
        start = max(start, min(spell.start for spell in spells))
    if spells and choice.last is not None:
        end = min(end, max(spell.end for spell in spells))
    sends = [sent.invoked for sent in found.sent.values() if sent.round in chosen] if choice.clients else []
    return min([start, *sends]), end


def spell_of(story: Story) -> Spell | None:
    """The stretch of time of a round; None where no log says when it began."""
    chosen = story.chosen
    if chosen is None:
        return None
    starts = [chosen.start] if chosen.start is not None else [vote.t for vote in chosen.votes]
    if not starts or starts[0] is None:
        return None
    start = starts[0]
    state = "written" if story.written else "decided" if chosen.decided else "open"
    ends = [said.t for said in story.written[:1]] or [chosen.decided.t if chosen.decided else start]
    return Spell(story.round, start, max(start, ends[0]), state, chosen.leader, chosen.field("count"))


class _Drawing:
    """The picture while it is made; times are made relative to `zero` only here."""

    def __init__(self, found: Recorded, choice: Choice, zero: int) -> None:
        nodes = found.nodes
        sessions = sorted(found.sessions, key=session_key) if choice.clients else []
        self._found = found
        names: list[int | str] = [*nodes, *sessions]
        self._lane = {name: number for number, name in enumerate(names)}
        self._out = Timeline([*(f"node {n}" for n in nodes), *(f"client {s}" for s in sessions)], len(nodes), zero)
        self._mark: dict[int, int] = {}  # id of a line -> its mark
        self._zero = zero

    def draw(self, chosen: Mapping[int, Story], start: int, end: int) -> Timeline:
        """All of it."""
        out = self._out
        inside = [said for said in self._found.said if self._is_shown(said, chosen, start, end)]
        anchor = next((said for said in inside), None)
        if anchor is not None:
            out.began = float(anchor.event["ts"]) - (anchor.t - self._zero) / 1e6
        self._marks(inside)
        for story in chosen.values():
            self._round(story)
        self._elections(inside)
        out.bands = list(self._bands(start, end))
        if len(self._lane) > out.nodes:
            self._clients(chosen, start, end)
        out.arrows.sort(key=lambda arrow: arrow.t)
        out.bars.sort(key=lambda bar: bar.start)
        return out

    @staticmethod
    def _is_shown(said: Said, chosen: Mapping[int, Story], start: int, end: int) -> bool:
        if said.round is not None:
            return said.round in chosen
        return start <= said.t <= end

    def _marks(self, inside: Iterable[Said]) -> None:
        shown = [(self._time_of(said), said) for said in inside]
        shown.sort(key=lambda item: item[0])
        for t, said in shown:
            self._mark[id(said)] = len(self._out.marks)
            text = told(said)
            self._out.marks.append(Mark(t, self._lane[said.node], said.kind, said.term, said.round, text))

    def _time_of(self, said: Said) -> int:
        return said.t - self._zero

    def _at(self, said: Said | None) -> int:
        return self._mark.get(id(said), -1) if said is not None else -1

    # --- rounds ---

    def _round(self, story: Story) -> None:
        spell = spell_of(story)
        if spell is not None:
            self._out.rounds.append(spell._replace(start=spell.start - self._zero, end=spell.end - self._zero))
        for proposal in story.proposals.values():
            leader, start = proposal.leader, proposal.start
            if leader is not None and start is not None:
                for cast in story.cast(proposal):
                    if cast.node != leader:
                        self._vote(story.round, cast, proposal, leader, start)
        for held in story.holds():
            self._hold(story, held)

    def _vote(self, index: int, cast: Cast, proposal: Proposal, leader: int, start: int) -> None:
        """The ballot's way to a node, and the vote's way back."""
        left = cast.left if cast.left is not None else cast.came
        if left is None or (cast.said is not None and cast.said.round != index):
            return  # one vote on many rounds, by a node that was behind: drawn at the last of them
        reached = max(start, left - (cast.persist_us or 0))
        self._arrow(BALLOT, leader, start, cast.node, min(reached, left), index, proposal.ballot, cast.said)
        if not cast.ok:
            self._arrow("refusal", cast.node, left, leader, left, index, cast.said, None)
        elif cast.came is not None:
            late = cast.node not in proposal.majority
            kind, effect = ("late", None) if late else ("vote", proposal.decided)
            self._arrow(kind, cast.node, left, leader, cast.came, index, cast.said, effect)

    def _hold(self, story: Story, held: Held) -> None:
        lane, start, end = self._lane[held.writer], held.start - self._zero, held.end - self._zero
        self._out.bars.append(Bar(lane, start, max(end, start), story.round, held.turn, held.upto, held.attempt, held.sure))
        grant = next((s for s in story.grants if s.t == held.start and s.node == held.giver), None)
        before = None if grant is not None else self._turn_before(story, held)
        if held.giver != held.writer:
            kind = "grant" if grant is not None else "pass"
            self._arrow(kind, held.giver, held.start, held.writer, held.start, story.round, grant or before, held.said)
        written = next((said for said in story.written if said.t >= held.end), None)
        if written is not None and held.said is not None and written.node != held.writer and self._is_last(story, held):
            self._arrow("written", held.writer, held.end, written.node, written.t, story.round, held.said, written)

    @staticmethod
    def _turn_before(story: Story, held: Held) -> Said | None:
        said = [other.said for other in story.holds() if other.attempt == held.attempt and other.upto + 1 == held.turn]
        return said[0] if said else None

    @staticmethod
    def _is_last(story: Story, held: Held) -> bool:
        return all(other.upto <= held.upto for other in story.holds() if other.attempt == held.attempt)

    def _arrow(
        self, kind: str, node: int, t: int, to: int, arrives: int, index: int | None, cause: Said | None, effect: Said | None
    ) -> None:
        lanes = self._lane[node], self._lane[to]
        at, end = t - self._zero, max(arrives, t) - self._zero
        self._out.arrows.append(Arrow(kind, lanes[0], at, lanes[1], end, index, self._at(cause), self._at(effect)))

    # --- elections, faults, clients ---

    def _elections(self, inside: Sequence[Said]) -> None:
        """A candidate asks, a voter answers, a leader is heard of: joined by the term."""
        stands = {(s.term, s.node): s for s in inside if s.kind == "election" and not s.event.get("pre")}
        leads = {s.term: s for s in inside if s.kind == "leader"}
        for said in inside:
            if said.kind == "voted" and (stood := stands.get((said.term, said.event.get("candidate") or 0))) is not None:
                self._arrow("asks", stood.node, stood.t, said.node, said.t, None, stood, said)
                won = leads.get(said.term)
                if won is not None and won.node == stood.node and said.node in (won.event.get("votes") or ()):
                    self._arrow("elects", said.node, min(said.t, won.t), won.node, won.t, None, said, won)
            elif said.kind == "follow" and (won := leads.get(said.term)) is not None and won.node != said.node:
                self._arrow("leads", won.node, min(won.t, said.t), said.node, said.t, None, won, said)

    def _bands(self, start: int, end: int) -> Iterator[Band]:
        """Faults from where they were put on to where they were taken off, and nodes that were down."""
        open_faults: dict[tuple[int, str], Said] = {}
        last: dict[int, Said] = {}
        for said in self._found.said:
            if said.kind == "start":
                for key in [key for key in open_faults if key[0] == said.node]:
                    yield from self._band(open_faults.pop(key), said.t, start, end)
                if said.node in last:
                    yield from self._down(last[said.node], said.t, start, end)
            elif said.kind == "fault":
                open_faults.setdefault((said.node, str(said.event.get("fault"))), said)
            elif said.kind == "heal" and (put := open_faults.pop((said.node, str(said.event.get("fault"))), None)) is not None:
                yield from self._band(put, said.t, start, end)
            last[said.node] = said
        for put in open_faults.values():
            yield from self._band(put, end, start, end)
        for node, said in last.items():
            lost = [s for s in self._found.said if s.kind == "peer_down" and s.event.get("peer") == node and s.t >= said.t]
            if said.kind == "stop" or lost:
                yield from self._down(said, end, start, end)

    def _band(self, put: Said, until: int, start: int, end: int) -> Iterator[Band]:
        if put.t <= end and until >= start:
            lane, kind = self._lane[put.node], str(put.event.get("fault"))
            yield Band(lane, max(put.t, start) - self._zero, min(until, end) - self._zero, kind, told(put))

    def _down(self, last: Said, until: int, start: int, end: int) -> Iterator[Band]:
        if last.t <= end and until >= start:
            text = f"node {last.node} was down: it said nothing between its last line and its next start"
            yield Band(self._lane[last.node], max(last.t, start) - self._zero, min(until, end) - self._zero, "down", text)

    def _clients(self, chosen: Mapping[int, Story], start: int, end: int) -> None:
        """Marks and arrows of the clients; marks of nodes are kept where they are, for arrows name them by number."""
        for sent in self._found.sent.values():
            if (sent.round not in chosen if sent.round is not None else not start <= sent.invoked <= end):
                continue
            lane = self._lane[sent.session]
            marks, zero = self._out.marks, self._zero
            for t, node in sent.tries:
                marks.append(Mark(t - zero, lane, "send", 0, sent.round, f"sends {sent.name} to node {node}"))
                self._client_arrow("send", lane, t, self._lane.get(node, -1), t, sent.round, len(marks) - 1)
            if sent.answered is not None:
                words = {"ok": "is told that it is written", "fail": "is refused", "unknown": "ends without an answer"}
                text = f"{sent.name} {words.get(sent.outcome, sent.outcome)}"
                marks.append(Mark(sent.answered - zero, lane, sent.outcome, 0, sent.round, text))
                if sent.outcome == "ok":
                    node = self._lane.get(sent.tries[-1][1], -1)
                    self._client_arrow("ack", node, sent.answered, lane, sent.answered, sent.round, -1, len(marks) - 1)
        self._in_order()

    def _client_arrow(
        self, kind: str, lane: int, t: int, to: int, arrives: int, index: int | None, cause: int, effect: int = -1
    ) -> None:
        if lane >= 0 and to >= 0:
            self._out.arrows.append(Arrow(kind, lane, t - self._zero, to, arrives - self._zero, index, cause, effect))

    def _in_order(self) -> None:
        """Sort the marks by time, and let arrows follow them."""
        marks = self._out.marks
        order = sorted(range(len(marks)), key=lambda number: marks[number].t)
        moved = {old: new for new, old in enumerate(order)} | {-1: -1}
        self._out.marks = [marks[number] for number in order]
        self._out.arrows = [a._replace(cause=moved[a.cause], effect=moved[a.effect]) for a in self._out.arrows]
