"""What the vote logs come to: each round with its times, each node with its votes and turns, who led when. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from votesync_cli.recorded import Said
from votesync_cli.stories import Story
from votesync_cli.timeline import Spell, spell_of
from votesync_cli.verify.votebook import Makings
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import RoundView

DIED = "it was lost"
_AT_ONCE = 20_000  # events between two looks at what is told by then


class Round(NamedTuple):
    """One round on the axis: proposed at `start`, written (else decided) at `end`. `attempts` grants, `stalls` of turns."""

    round: int
    start: int
    end: int
    state: str
    term: int | None
    leader: int | None
    messages: int
    size: int
    quorum_us: int | None
    attempts: int
    stalls: int
    refusals: int

    @property
    def took(self) -> int:
        """Microseconds from the proposal to the end."""
        return self.end - self.start


class Reign(NamedTuple):
    """A node led a term from `start` to `end`; `why` it ended."""

    node: int
    term: int
    start: int
    end: int
    why: str


@dataclass(slots=True)
class Node:
    """One node's part in the run. `no` counts refusals by their reason; `turns` permissions to write, `held` microseconds."""

    node: int
    yes: int = 0
    late: int = 0
    silent: int = 0
    no: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    written: int = 0
    held: int = 0
    led: int = 0
    terms: int = 0
    stood: int = 0
    starts: int = 0


@dataclass(slots=True)
class Votes:
    """All of it. `states` counts rounds by what became of them; rounds without a time are in none of `rounds`."""

    rounds: list[Round] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    reigns: list[Reign] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    elections: int = 0
    terms: int = 0
    stalls: int = 0
    span: int = 0  # microseconds from the first election to the last line
    leaderless: int = 0  # of them, those in which nobody led


def newest(said: Sequence[Said]) -> list[Said]:
    """What was said since the cluster was last made anew (`up --fresh`)."""
    makings = Makings()
    told = [makings.of(item.event) for item in said]  # a node's lines stand in the order of its log
    last = max(told, default=0)
    return [item for item, making in zip(said, told, strict=True) if making == last]


def timed(told: Mapping[int, Story]) -> list[Spell]:
    """The stretches of time of all rounds that have one."""
    return [spell for story in told.values() if (spell := spell_of(story)) is not None]


def views(said: Iterable[Said]) -> Iterator[RoundView]:
    """The rounds as `tail` tells them."""
    stream = VoteStream(hold_back=0.0)
    for number, item in enumerate(said, 1):
        stream.feed(item.event)
        if number % _AT_ONCE == 0:
            yield from (view for view in stream.take() if isinstance(view, RoundView))
    yield from (view for view in stream.close() if isinstance(view, RoundView))


def votes(said: Sequence[Said], told: Mapping[int, Story], nodes: Iterable[int]) -> Votes:
    """`told` are the `stories` of what was said."""
    out = Votes(nodes=[Node(node) for node in nodes])
    own = {row.node: row for row in out.nodes}
    for view in views(said):
        _count(view, own)
        out.states[view.state] += 1
        story = told.get(view.round)
        found = _timed(view, story) if story is not None and view.state != "replaced" else None
        if found is not None:
            out.rounds.append(found)
    for story in told.values():
        for held in story.holds():
            if held.writer in own:
                own[held.writer].held += held.end - held.start
        out.stalls += len(story.timeouts)
    out.rounds.sort(key=lambda found: (found.start, found.round))
    out.reigns = list(reigns(said))
    _lead(out, own, said)
    return out


def _count(view: RoundView, own: Mapping[int, Node]) -> None:
    for node, vote in view.votes.items():
        row = own.get(node)
        if row is None:
            continue
        if vote.kind == "no":
            row.no[vote.reason or "no"] += 1
        else:
            row.yes += vote.kind == "yes"
            row.late += vote.kind == "late"
            row.silent += vote.kind == "silent"
    for turn in view.turns if view.state == "written" else ():
        if turn.writer in own:
            own[turn.writer].turns += 1
            own[turn.writer].written += turn.end - turn.start


def _timed(view: RoundView, story: Story) -> Round | None:
    spell = spell_of(story)
    if spell is None:
        return None
    return Round(
        view.round, spell.start, spell.end, view.state, view.term, view.leader, view.count or 0, view.size or 0,
        view.quorum_us, view.attempts, view.stalls, len(story.refusals),
    )  # fmt: skip


def _lead(out: Votes, own: Mapping[int, Node], said: Sequence[Said]) -> None:
    for reign in out.reigns:
        own[reign.node].led += reign.end - reign.start
        own[reign.node].terms += 1
    for item in said:
        if item.node in own:
            own[item.node].starts += item.kind == "start"
            own[item.node].stood += item.kind == "election" and not item.event.get("pre")
        out.terms = max(out.terms, item.term)
    out.elections = len(out.reigns)
    if out.reigns:
        out.span = said[-1].t - out.reigns[0].start
        over = out.reigns[0].start
        for reign in out.reigns:
            out.leaderless += max(0, reign.start - over)
            over = max(over, reign.end)
        out.leaderless += max(0, said[-1].t - over)


def reigns(said: Sequence[Said]) -> Iterator[Reign]:
    """Who led when. It ends when the leader steps down or stops, when another node lost it, or when the next one is elected."""
    leads: Said | None = None
    last = lost = 0  # when the leader last said something, and when it was first lost since then (0: never)
    for item in said:
        why = _end_of(leads, item) if leads is not None else None
        if leads is not None and why is not None:
            gone = why == DIED or (lost > 0 and item.kind == "leader")
            yield Reign(leads.node, leads.term, leads.t, (lost or last) if gone else item.t, DIED if gone else why)
            leads = None
        if item.kind == "leader" and (leads is None or item.term > leads.term):
            leads, last, lost = item, item.t, 0
        elif leads is not None and item.node == leads.node:
            last, lost = item.t, 0
        elif leads is not None and item.kind == "peer_down" and item.event.get("peer") == leads.node:
            lost = lost or item.t
    if leads is not None:
        yield Reign(leads.node, leads.term, leads.t, lost or said[-1].t, DIED if lost else "the run ended")


def _end_of(reign: Said, item: Said) -> str | None:
    if item.kind == "leader" and item.term > reign.term:
        return f"node {item.node} was elected"
    if item.node == reign.node and item.kind == "step_down":
        return str(item.event.get("reason") or "it stepped down")
    if item.node == reign.node and item.kind == "stop":
        return "it stopped"
    return DIED if item.node == reign.node and item.kind == "start" else None
