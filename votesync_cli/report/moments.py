"""The moments of a run that are worth a picture: broken rules, elections, stalled turns, refused ballots, slow rounds. Pure.

Each is a few neighbouring rounds. Moments that overlap become one; the most telling ones are drawn, the others are named.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from votesync_cli.recorded import Recorded, Said
from votesync_cli.report.nodes import Round
from votesync_cli.stories import Story
from votesync_cli.timeline import Band, Choice, Mark, Spell, Timeline, Violation, timeline
from votesync_cli.timeline_svg import svg
from votesync_cli.views_text import duration

DRAWN = 10  # pictures at most
SLOWEST = 3  # rounds
WIDEST = 4  # rounds in one picture, where moments are put together
MOST_EVENTS = 1200  # in one picture; more cannot be read
KINDS = ("violation", "election", "replaced", "stall", "refusal", "slow")  # the most telling first


class Reason(NamedTuple):
    """Why a moment is shown; `kind` is one of KINDS."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Rounds `first` to `last` (None: to the end of the run), and why they are shown.

    `svg` is "" where it is not drawn: `undrawn` says why.
    """

    first: int
    last: int | None
    reasons: tuple[Reason, ...]
    start: int
    svg: str = ""
    undrawn: str = ""

    @property
    def rank(self) -> int:
        """How telling it is; 0 is the most."""
        return min(KINDS.index(reason.kind) for reason in self.reasons)

    @property
    def name(self) -> str:
        """`round 4`, `rounds 4 to 6`, `round 9 to the end`."""
        if self.last is None:
            return f"round {self.first} to the end"
        return f"round {self.first}" if self.first == self.last else f"rounds {self.first} to {self.last}"


def moments(
    rounds: Sequence[Round], told: Mapping[int, Story], said: Iterable[Said], broken: Iterable[Violation]
) -> list[Moment]:
    """All of them, in the order of time; nothing is drawn yet. `broken` have rounds where their place is known."""
    ordered = sorted(rounds, key=attrgetter("start"))
    place = {found.round: number for number, found in enumerate(ordered)}
    wanted = [*_elections(ordered, said)]
    wanted += [(place[of], place[of], reason) for of, reason in _reasons(ordered, told, broken) if of in place]
    joined: list[tuple[int, int, list[Reason]]] = []
    for a, b, reason in sorted(wanted, key=lambda item: (item[0], item[1])):
        if joined and a <= joined[-1][1] and (b <= joined[-1][1] or b - joined[-1][0] < WIDEST):
            start, end, reasons = joined[-1]
            joined[-1] = (start, max(b, end), [*reasons, reason])
        else:
            joined.append((a, b, [reason]))
    return [_moment(ordered, a, b, reasons) for a, b, reasons in joined]


def _moment(rounds: Sequence[Round], a: int, b: int, reasons: Iterable[Reason]) -> Moment:
    unique = sorted(dict.fromkeys(reasons), key=lambda reason: KINDS.index(reason.kind))
    numbers = [found.round for found in rounds[a : b + 1]]
    return Moment(min(numbers), max(numbers) if b < len(rounds) else None, tuple(unique), rounds[a].start)


def _reasons(rounds: Sequence[Round], told: Mapping[int, Story], broken: Iterable[Violation]) -> Iterator[tuple[int, Reason]]:
    for violation in broken:
        if violation.round is not None:
            yield violation.round, Reason("violation", f"verify: {violation.rule} is broken: {violation.text}")
    for index, story in told.items():
        yield from ((index, reason) for reason in _failures(story))
    slow = sorted((found for found in rounds if found.state in ("written", "decided")), key=lambda found: -found.took)
    for rank, found in enumerate(slow[:SLOWEST] if len(slow) > 1 else slow):
        which = ("the slowest round", "the second slowest round", "the third slowest round")[rank]
        yield found.round, Reason("slow", f"{which}: {duration(found.took)} from its ballot to its end")


def _failures(story: Story) -> Iterator[Reason]:
    for item in story.timeouts:
        waited = item.event.get("waited_us")
        for_long = f" for {duration(waited)}" if isinstance(waited, int) else ""
        text = f"turn {item.event.get('turn')} stalled: nothing from node {item.event.get('writer')}{for_long}"
        yield Reason("stall", text)
    anew = [grant for grant in story.grants if grant.event.get("attempt")]
    if anew and not story.timeouts:
        yield Reason(
            "stall", f"the permission was granted anew by node {anew[0].node}: {anew[0].event.get('reason') or 'no reason'}"
        )
    for item in story.refusals:
        yield Reason("refusal", f"node {item.node} voted no: {item.event.get('reason')}")
    for proposal in story.replaced:
        yield Reason("replaced", f"what node {proposal.leader} proposed in term {proposal.term} was not decided")


def _elections(rounds: Sequence[Round], said: Iterable[Said]) -> Iterator[tuple[int, int, Reason]]:
    """Each election but the first one: the places of the round before it and the round after it (or of none: the end)."""
    starts = [found.start for found in rounds]
    stood: dict[int, int] = {}  # term -> when somebody first stood for it
    first = True
    for item in said:
        if item.kind == "election" and not item.event.get("pre"):
            stood.setdefault(item.term, item.t)
        if item.kind != "leader" or not rounds:
            continue
        if not first:
            before = max(0, bisect_right(starts, stood.get(item.term, item.t)) - 1)
            after = max(before, bisect_left(starts, item.t))
            while after < len(rounds) and rounds[after].took == 0:  # its end is in no log: the next one shows more
                after += 1
            yield before, after, Reason("election", f"node {item.node} was elected for term {item.term}")
        first = False


# --- pictures ---


class Artist:
    """Draws windows of a run without going through all of it each time."""

    def __init__(self, found: Recorded, broken: Sequence[Violation]) -> None:
        self._broken = broken
        self._rounds: dict[int, list[Said]] = {}
        self._others: list[Said] = []
        latest: dict[int, Said] = {}
        for item in found.said:
            if item.round is not None:
                self._rounds.setdefault(item.round, []).append(item)
            else:
                if item.kind == "start" and item.node in latest and latest[item.node].round is not None:
                    self._others.append(latest[item.node])  # the last word before a node was down
                self._others.append(item)
            latest[item.node] = item
        self._others += [item for item in latest.values() if item.round is not None]

    def bands(self) -> list[Band]:
        """Faults and nodes that were down, over the whole run; on the axis, lanes are nodes by their place."""
        picture = timeline(Recorded(sorted(self._others, key=attrgetter("t"))))
        return [band._replace(start=band.start + picture.zero, end=band.end + picture.zero) for band in picture.bands]

    def window(self, moment: Moment) -> Timeline:
        """The rounds of a moment with what happened meanwhile."""
        last = max(self._rounds) if moment.last is None else moment.last
        inside = [item for index in range(moment.first, last + 1) for item in self._rounds.get(index, ())]
        unique = {id(item): item for item in (*self._others, *inside)}
        said = sorted(unique.values(), key=attrgetter("t"))
        picture = timeline(Recorded(said), Choice(moment.first, moment.last))
        spells = {spell.round: spell for spell in picture.rounds}
        for violation in self._broken:
            if violation.round in spells:
                spell = spells[violation.round]
                picture.violations.append(violation._replace(start=spell.start, end=spell.end))
        return picture


def drawn(found: Iterable[Moment], draw: Callable[[Moment], Timeline], budget: int) -> list[Moment]:
    """The most telling ones with their pictures, of `budget` bytes in all; the others say why they have none."""
    from dataclasses import replace

    out: dict[Moment, Moment] = {}
    listed = list(found)
    for place, moment in enumerate(sorted(listed, key=lambda moment: (moment.rank, moment.start))):
        if place >= DRAWN:
            out[moment] = replace(moment, undrawn=f"only the {DRAWN} most telling moments are drawn")
            continue
        picture = draw(moment)
        text = (
            "".join(svg(picture, f"Space-time diagram of {moment.name}", styled=False))
            if len(picture.marks) <= MOST_EVENTS
            else ""
        )
        if not text or len(text) > budget:
            out[moment] = replace(moment, undrawn=f"{len(picture.marks):,} events are too many for a picture here")
            continue
        budget -= len(text)
        out[moment] = replace(moment, svg=text)
    return [out[moment] for moment in listed]


def canvas(rounds: Iterable[Spell], end: int) -> Timeline:
    """An empty picture of the whole run on the axis itself, in which `timeline_verdict.mark` finds the broken places."""
    return Timeline(rounds=list(rounds), marks=[Mark(end, 0, "end", 0, None, "")])
