"""What the checker says: a verdict for each rule, the first counterexample, and the report of all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from votesync_cli.results import Part, Table


class Status(StrEnum):
    """PASS and FAIL are proven; NOT_CHECKED means that evidence is missing, for all of the file or for a part."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_CHECKED = "NOT CHECKED"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a line (from 1, 0 unknown) of `source`, or of the checked file where `source` is empty."""

    line: int
    text: str
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        place: dict[str, Any] = {"line": self.line, "text": self.text}
        return place | {"source": self.source} if self.source else place


@dataclass(frozen=True, slots=True)
class Counterexample:
    """One violation: what is wrong in a sentence, the blocks that show it, and the votes behind them."""

    what: str
    places: tuple[Place, ...] = ()
    votes: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"what": self.what, "places": [place.to_json() for place in self.places], "votes": [dict(v) for v in self.votes]}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one rule. `detail` says what was looked at, `needs` what is missing, `violations` how many were found."""

    rule: str
    status: Status
    detail: str
    needs: str = ""
    violations: int = 0
    counterexample: Counterexample | None = None

    def to_json(self) -> dict[str, Any]:
        """For `--json`; empty parts are left out."""
        line: dict[str, Any] = {"rule": self.rule, "status": str(self.status), "detail": self.detail}
        if self.needs:
            line["needs"] = self.needs
        if self.violations:
            line["violations"] = self.violations
        if self.counterexample is not None:
            line["counterexample"] = self.counterexample.to_json()
        return line


@dataclass(frozen=True, slots=True)
class Report:
    """All that one `verify` found out; sizes in bytes, `seconds` of running."""

    file: str
    size: int
    blocks: int
    rounds: int
    sessions: int
    seconds: float
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The rules that the file breaks."""
        return tuple(verdict for verdict in self.verdicts if verdict.status is Status.FAIL)

    @property
    def exit_code(self) -> int:
        """0 no rule failed, 1 one did, 3 there was nothing to check (DESIGN section 7)."""
        if self.size == 0 and not self.failed:
            return 3
        return 1 if self.failed else 0

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        if self.exit_code == 3:
            return f"{self.file} is empty: there is nothing to check."
        counts = f"{plural(self.blocks, 'block')} in {plural(self.rounds, 'round')}"
        if self.failed:
            return f"{self.file} breaks {', '.join(verdict.rule for verdict in self.failed)} ({counts})."
        passed = [verdict for verdict in self.verdicts if verdict.status is Status.PASS]
        missing = len(self.verdicts) - len(passed)
        rest = f", {plural(missing, 'rule')} not checked" if missing else ""
        return f"{self.file} keeps {plural(len(passed), 'rule')}{rest} ({counts})."

    @property
    def table(self) -> None:
        """None: a table alone would leave out the counterexamples, so its `page` is shown."""
        return None

    @property
    def rules_table(self) -> Table:
        """A row a rule."""
        return Table(("rule", "verdict", "detail"), tuple(_row(verdict) for verdict in self.verdicts))

    @property
    def page(self) -> tuple[Part, ...]:
        """The same as `to_text`, in its parts."""
        if self.exit_code == 3:
            return (self.sentence,)
        return (self.rules_table, *self.counterexamples(), "", *self.notes, self.sentence)

    def to_text(self) -> str:
        """The table, the first counterexample of each rule that fails, the sentence."""
        return "\n".join(part if isinstance(part, str) else part.to_text() for part in self.page)

    def counterexamples(self) -> Iterator[str]:
        """The lines that show what is wrong, an empty one before each rule."""
        for verdict in self.failed:
            shown = verdict.counterexample
            if shown is None:
                continue
            more = f" (the first of {verdict.violations:,})" if verdict.violations > 1 else ""
            yield f"\n{verdict.rule}: {shown.what}{more}"
            for place in shown.places:
                yield from _placed(place)
            for vote in shown.votes:
                yield f"  vote log | {json.dumps(dict(vote), ensure_ascii=False, separators=(',', ':'))}"

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a rule, then one for the whole."""
        for verdict in self.verdicts:
            yield verdict.to_json()
        yield {
            "verdict": {0: "PASS", 1: "FAIL", 3: "INCONCLUSIVE"}[self.exit_code],
            "file": self.file,
            "size": self.size,
            "blocks": self.blocks,
            "rounds": self.rounds,
            "sessions": self.sessions,
            "seconds": round(self.seconds, 3),
            "failed": [verdict.rule for verdict in self.failed],
            "notes": list(self.notes),
        }


def _row(verdict: Verdict) -> tuple[str, ...]:
    parts = [verdict.detail, f"needs {verdict.needs}" if verdict.needs else ""]
    if verdict.violations:
        parts.insert(0, plural(verdict.violations, "violation"))
    return verdict.rule, str(verdict.status), "; ".join(filter(None, parts))


def _placed(place: Place) -> Iterator[str]:
    """The lines of a place with their numbers; the blank at a line's end is shown by the bar behind it."""
    source = f"{place.source} " if place.source else ""
    for number, line in enumerate(place.text.split("\n"), place.line):
        yield f"  {source}{number or '':>8} | {line}"


def plural(count: int, noun: str) -> str:
    """`1 block`, `12,000 blocks`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
