"""What `votesync chaos` returns: the plan, or what was done to the cluster, how it came through, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from votesync_cli.results import Part, Table


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule that was drawn and not carried out."""

    seed: int
    lines: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    exit_code: int = 0
    table: Table | None = None

    def to_text(self) -> str:
        """One line a step."""
        return "\n".join([f"Seed {self.seed}: {len(self.lines)} faults.", *self.lines])

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a step."""
        yield from self.rows


@dataclass(frozen=True, slots=True)
class Deed:
    """What became of one step: `nodes` it hit; `skipped` says why it could not be done.

    `begun` and `ended` are Unix seconds, `mono` the same two moments in microseconds of the clock that histories use.
    """

    number: int
    saying: str
    nodes: tuple[int, ...]
    begun: float
    ended: float
    mono: tuple[int, int]
    skipped: str = ""

    def to_json(self) -> dict[str, Any]:
        """For the record of a run."""
        return {
            "step": self.number, "fault": self.saying, "nodes": list(self.nodes), "begun": round(self.begun, 3),
            "ended": round(self.ended, 3), "skipped": self.skipped,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the common time line; `ts` in Unix seconds."""

    ts: float
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What was counted during the run."""

    acked: int
    invoked: int
    clients: int
    under_load: int
    leader_changes: int
    turns_taken_over: int
    restarts: int


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """The verdict. `wrong` are violations, `doubts` what makes it inconclusive; `report` is verify's own page."""

    seed: int
    seconds: float
    deeds: tuple[Deed, ...]
    facts: Facts
    wrong: tuple[str, ...]
    doubts: tuple[str, ...]
    report: tuple[Part, ...]
    timeline: tuple[str, ...]
    record: Path
    table: Table | None = None

    @property
    def verdict(self) -> str:
        """PASS, FAIL or INCONCLUSIVE."""
        return "FAIL" if self.wrong else "INCONCLUSIVE" if self.doubts else "PASS"

    @property
    def exit_code(self) -> int:
        """0, 1 or 3."""
        return {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}[self.verdict]

    def to_text(self) -> str:
        """The page as text."""
        return "\n".join(part if isinstance(part, str) else part.to_text() for part in self.page)

    @property
    def page(self) -> tuple[Part, ...]:
        """verify's report, the time line where something is wrong, the counts, the verdict."""
        facts, done = self.facts, [deed for deed in self.deeds if not deed.skipped]
        lines: list[Part] = [*self.report]
        if self.timeline:
            lines += ["", "What happened, on one time line:", *self.timeline]
        lines += [
            "",
            f"{len(done)} of {len(self.deeds)} faults were made, {facts.under_load} of them under load, in {self.seconds:g} s; "
            f"{facts.acked:,} messages acknowledged, {facts.leader_changes} changes of leader, "
            f"{facts.turns_taken_over} turns taken over, {facts.restarts} restarts.",
        ]
        lines += [f"FAIL: {what}" for what in self.wrong]
        lines += [f"Doubt: {what}" for what in self.doubts]
        lines.append(f"{self.verdict}: seed {self.seed}; all that was done and seen is in {self.record}.")
        return tuple(lines)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a step, then the verdict."""
        for deed in self.deeds:
            yield deed.to_json()
        facts = self.facts
        yield {
            "verdict": self.verdict,
            "seed": self.seed,
            "seconds": self.seconds,
            "faults": sum(not deed.skipped for deed in self.deeds),
            "skipped": sum(bool(deed.skipped) for deed in self.deeds),
            "under_load": facts.under_load,
            "acked": facts.acked,
            "invoked": facts.invoked,
            "leader_changes": facts.leader_changes,
            "turns_taken_over": facts.turns_taken_over,
            "restarts": facts.restarts,
            "wrong": list(self.wrong),
            "doubts": list(self.doubts),
            "record": str(self.record),
        }


def doubts_of(deeds: Sequence[Deed], facts: Facts, unchecked: Sequence[str]) -> tuple[str, ...]:
    """Why a run without a violation proves little; none where it proves something."""
    found = []
    done = [deed for deed in deeds if not deed.skipped]
    if not done:
        found.append("no fault could be made")
    elif not facts.under_load:
        found.append("the faults hit nothing: no client sent anything while they were at work")
    least = 10 * max(1, facts.clients)
    if facts.acked < least:
        found.append(f"only {facts.acked} messages were acknowledged; {least} are needed to say anything")
    if unchecked:
        found.append(f"there was no evidence for {', '.join(unchecked)}")
    return tuple(found)


def steadied(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One node's log, in its order, with the skews that its clock was given taken off its times again.

    A `heal` does not say which of several skews ended: it is taken for the one whose time was to be over first.
    """
    skews: list[tuple[float, float]] = []  # (when it was to end, how wrong the clock was), in seconds
    for event in events:
        kind, detail = event["event"], event.get("detail")
        if kind == "start":
            skews.clear()
        elif kind == "fault" and event.get("fault") == "skew" and isinstance(detail, dict):
            wrong = float(detail["amount"]) / 1000
            left = detail.get("left_ms")
            at = float(event["ts"]) - sum(skew for _, skew in skews) - wrong
            skews.append((math.inf if left is None else at + float(left) / 1000, wrong))
        elif kind == "heal" and event.get("fault") == "skew" and skews:
            skews.remove(min(skews))
        yield {**event, "ts": float(event["ts"]) - sum(skew for _, skew in skews)}


def time_line(moments: Sequence[Moment], around: Sequence[float], margin: float = 3.0, most: int = 80) -> tuple[str, ...]:
    """The moments in order, those near `around` (Unix seconds) where any is given, with the seconds since the first."""
    ordered = sorted(moments, key=lambda moment: moment.ts)
    if around:
        ordered = [m for m in ordered if min(around) - margin <= m.ts <= max(around) + margin]
    if not ordered:
        return ()
    start, left = ordered[0].ts, len(ordered) - most
    shown = ordered if left <= 0 else [*ordered[: most // 2], *ordered[-most // 2 :]]
    lines = [f"{moment.ts - start:9.3f} s  {moment.who:<8}  {moment.text}" for moment in shown]
    if left > 0:
        lines.insert(most // 2, f"{'…':>11}  ({left} more)")
    return tuple(lines)
