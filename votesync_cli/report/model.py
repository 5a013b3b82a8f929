"""All that a report says of a run, as values: made from recorded evidence, drawn by `page` and `markdown`. Pure.

Times are microseconds after `zero`. What could not be had is named in `missing`, by the section that lacks it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from votesync_cli.recorded import Recorded
from votesync_cli.report.clients import Client, Clients
from votesync_cli.report.fairness import Overtaking
from votesync_cli.report.happenings import Deed, Event, Stretch, by_hand, events, stretches
from votesync_cli.report.moments import Artist, Moment, drawn, moments
from votesync_cli.report.nodes import Votes, votes
from votesync_cli.report.numbers import Bucket, Grid, Spread, evenness, grid, histogram, spread, spreads, sums
from votesync_cli.stories import stories
from votesync_cli.timeline import Violation
from votesync_cli.verify.verdict import Report

PICTURES = 1_000_000  # bytes of diagrams in one report
NOTABLE = frozenset({"leader", "election", "fault", "heal", "step_down", "timeout", "start"})
LONGEST = 8  # times the busy time: what happened before and after it is shown as long as it takes no more room
MARGIN = 0.1  # of the busy time: so much is shown at least


@dataclass(frozen=True, slots=True)
class Material:
    """The evidence. `broken` are the violations with their rounds; `order_by` says whose times `order` rests on."""

    title: str
    source: str
    found: Recorded
    clients: Clients | None = None
    verdict: Report | None = None
    broken: tuple[Violation, ...] = ()
    order: Overtaking | None = None
    order_by: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    deeds: tuple[Deed, ...] = ()


@dataclass(slots=True)
class Curves:
    """The run over time, a value for each part of `cut`. `rate` is messages a second, of what `rate_of` says."""

    cut: Grid
    rate: list[float] = field(default_factory=list)
    rate_of: str = ""
    waits: list[Spread | None] = field(default_factory=list)
    took: list[Spread | None] = field(default_factory=list)


@dataclass(slots=True)
class RunReport:
    """The report. `began` is `zero` in Unix seconds, None where no log tells; `busy` is from when to when messages went."""

    title: str
    source: str
    verdict: Report | None
    began: float | None
    policy: str
    busy: tuple[int, int]
    curves: Curves
    votes: Votes
    wait: Spread | None
    classes: list[Bucket]
    quorum: Spread | None
    took: Spread | None
    per_round: Spread | None
    clients: list[Client] | None
    evenness: float | None
    order: Overtaking | None
    order_by: str
    events: list[Event]
    stretches: list[Stretch]
    moments: list[Moment]
    missing: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def messages(self) -> int:
        """How many are in the file; without a file, how many the vote logs tell of, or the clients were told of."""
        if self.verdict is not None:
            return self.verdict.blocks
        written = sum(found.messages for found in self.votes.rounds if found.state == "written")
        return written or sum(row.acked for row in self.clients or ())

    @property
    def rate(self) -> float | None:
        """Messages a second over the busy time; None where there was none."""
        span = self.busy[1] - self.busy[0]
        return self.messages / span * 1e6 if span > 0 and self.messages else None

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object; pictures are left out."""
        shown = {
            item.name: _plain(getattr(self, item.name)) for item in fields(self) if item.name not in ("moments", "verdict")
        }
        shown["moments"] = [_plain(replace(moment, svg="")) | {"drawn": bool(moment.svg)} for moment in self.moments]
        shown["verdict"] = list(self.verdict.to_json()) if self.verdict is not None else None
        yield {"messages": self.messages, "rate": self.rate, **shown}


def _plain(value: object) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | array):
        return [_plain(item) for item in value]
    return value


def report(material: Material) -> RunReport:
    """Put it together."""
    found = material.found
    told = stories(found.said)
    seen = votes(found.said, told, found.nodes)
    busy = _busy(seen, material.clients) or (found.said[0].t if found.said else 0,) * 2
    zero, end = _shown(found, busy)
    artist = Artist(found, material.broken)
    chosen = moments(seen.rounds, told, found.said, material.broken)
    people, base = material.clients, found.base
    ordered = sorted(people.waits) if people is not None else []
    deeds, paused = by_hand(material.deeds, base, end)
    happened = sorted([*events(found.said), *deeds], key=lambda event: event.t)
    last = max((item.t for item in found.said if item.kind in ("start", "leader")), default=0)  # `down` at the end is no fault
    troubles = sorted([*stretches(artist.bands(), found.nodes, found.said), *paused])
    broken = [trouble for trouble in troubles if trouble.kind != "down" or trouble.start <= max(busy[1], last)]
    return RunReport(
        title=material.title, source=material.source, verdict=material.verdict,
        began=(base + zero) / 1e6 if base is not None else None, policy=_policy(found),
        busy=(busy[0] - zero, busy[1] - zero), curves=_curves(seen, people, grid(0, end - zero), zero),
        wait=spread(ordered), classes=histogram(ordered),
        quorum=spread(r.quorum_us for r in seen.rounds if r.quorum_us is not None),
        took=spread(r.took for r in seen.rounds if r.state == "written"),
        per_round=spread(r.messages for r in seen.rounds),
        clients=people.rows if people is not None else None,
        evenness=evenness([row.mean for row in people.rows if row.mean is not None]) if people is not None else None,
        order=material.order, order_by=material.order_by,
        events=[event._replace(t=event.t - zero) for event in happened],
        stretches=[s._replace(start=s.start - zero, end=s.end - zero) for s in broken],
        moments=[replace(moment, start=moment.start - zero) for moment in drawn(chosen, artist.window, PICTURES)],
        missing=material.missing, notes=material.notes, votes=_from_zero(seen, zero),
    )  # fmt: skip


def _policy(found: Recorded) -> str:
    """How turns are given, as the nodes said when they started; "" where none did."""
    return next((str(said.event.get("writer") or "") for said in found.said if said.kind == "start"), "")


def _busy(seen: Votes, people: Clients | None) -> tuple[int, int] | None:
    """From the first message that was sent (or proposed) to the last that was written or acknowledged; None without any."""
    starts = [found.start for found in seen.rounds[:1]]
    ends = [max(found.end for found in seen.rounds)] if seen.rounds else []
    if people is not None:
        starts += [people.first] if people.first is not None else []
        ends += [max(people.acks)] if people.acks else []
    return (min(starts), max([*starts, *ends])) if starts else None


def _shown(found: Recorded, busy: tuple[int, int]) -> tuple[int, int]:
    """From when to when the report draws: all of it, or the busy time alone where that would be hard to see."""
    if not found.said:
        return busy
    first, last = found.said[0].t, found.said[-1].t
    notable = [item.t for item in found.said if item.kind in NOTABLE]
    first, last = min(first, busy[0]), max(busy[1], max(notable, default=last))
    if last - first <= LONGEST * (busy[1] - busy[0]) or busy[0] == busy[1]:
        return first, last
    room = int((busy[1] - busy[0]) * MARGIN)
    return min(busy[0], max(first, busy[0] - room)), max(busy[1], min(last, busy[1] + room))


def _curves(seen: Votes, people: Clients | None, cut: Grid, zero: int) -> Curves:
    out = Curves(cut)
    done = [found for found in seen.rounds if found.state in ("written", "decided")]
    if done:
        out.rate_of = "written, by the vote logs"
        many = sums(cut, ((found.end - zero, found.messages) for found in done))
        out.took = spreads(cut, ((found.end - zero, found.took) for found in done))
    elif people is not None and people.acks:
        out.rate_of = "acknowledged, by the clients' histories"
        many = sums(cut, ((ack - zero, 1) for ack in people.acks))
    else:
        return out
    out.rate = [amount / cut.width * 1e6 for amount in many]
    if people is not None and people.acks:
        out.waits = spreads(cut, ((ack - zero, wait) for ack, wait in zip(people.acks, people.waits, strict=True)))
    return out


def _from_zero(seen: Votes, zero: int) -> Votes:
    return replace(
        seen, rounds=[r._replace(start=r.start - zero, end=r.end - zero) for r in seen.rounds],
        reigns=[r._replace(start=r.start - zero, end=r.end - zero) for r in seen.reigns],
    )  # fmt: skip
