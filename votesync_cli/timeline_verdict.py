"""Where in a diagram the violations belong that `verify --json` found. Pure.

A counterexample names lines of the file, lines of histories or lines of vote logs; each leads to a round or to a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from votesync_cli.blocks import Bar, walk
from votesync_cli.recorded import Recorded
from votesync_cli.timeline import Timeline, Violation
from votesync_cli.votes_evidence import whole


def failures(lines: Iterable[str]) -> list[Mapping[str, Any]]:
    """The rules that failed, out of the verdict's JSON Lines.

    Raises: ValueError where this is no verdict.
    """
    rows = [json.loads(line) for line in lines if line.strip()]
    if not rows or not all(isinstance(row, dict) for row in rows) or not any("verdict" in row for row in rows):
        raise ValueError("no line has a verdict")
    return [row for row in rows if row.get("status") == "FAIL"]


def lines_of(failed: Iterable[Mapping[str, Any]]) -> set[int]:
    """The lines of the checked file that the counterexamples name."""
    return {place["line"] for row in failed for place in _places(row) if not place.get("source") and whole(place.get("line"))}


def offsets_of(file: Iterable[bytes], lines: set[int]) -> dict[int, int]:
    """line -> the offset at which its round begins in the file."""
    out: dict[int, int] = {}
    inside: list[int] = []
    start, last = 0, max(lines, default=0)
    for item in walk(file):
        if isinstance(item, Bar):
            out |= dict.fromkeys([*inside, *({item.line} & lines)], item.start)
            inside, start = [], item.offset + 57
            if item.line >= last:
                return out
        else:
            inside += [line for line in (item.line, item.line + 1) if line in lines]
    return out | dict.fromkeys(inside, start)


def mark(picture: Timeline, found: Recorded, failed: Iterable[Mapping[str, Any]], offsets: Mapping[int, int]) -> None:
    """Put the violations into the picture; what has no place in it is said in a note."""
    starts = {
        whole(said.event.get("offset")): said.round
        for said in found.said if said.kind == "ballot" and whole(said.event.get("count"))
    }  # fmt: skip
    spells = {spell.round: spell for spell in picture.rounds}
    for row in failed:
        what = str((row.get("counterexample") or {}).get("what") or row.get("detail") or "it is broken")
        more = row.get("violations")
        text = f"{what} (the first of {more:,})" if isinstance(more, int) and more > 1 else what
        rounds = list(dict.fromkeys(_rounds(row, found, offsets, starts)))
        shown = [spells[index] for index in rounds if index in spells]
        times = [] if shown else [t - picture.zero for t in _times(row, found)]
        for spell in shown:
            picture.violations.append(Violation(str(row.get("rule")), spell.start, spell.end, spell.round, text))
        for t in (t for t in times[:1] if 0 <= t <= picture.end):
            picture.violations.append(Violation(str(row.get("rule")), t, t, None, text))
        if not shown and not times:
            picture.notes.append(f"verify found {row.get('rule')} broken at a place that this picture does not show: {text}")
    picture.violations.sort(key=lambda violation: violation.start)


def _places(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    places = (row.get("counterexample") or {}).get("places")
    return [place for place in places if isinstance(place, Mapping)] if isinstance(places, list) else []


def _rounds(
    row: Mapping[str, Any], found: Recorded, offsets: Mapping[int, int], starts: Mapping[int | None, int | None]
) -> Iterator[int]:
    for place in _places(row):
        line = whole(place.get("line"))
        index = starts.get(offsets.get(line)) if line is not None and not place.get("source") and line in offsets else None
        if place.get("source"):
            index = _of_history(place, found)
        if index is not None:
            yield index
    for vote in (row.get("counterexample") or {}).get("votes") or ():
        if isinstance(vote, Mapping) and (index := whole(vote.get("round"))) is not None:
            yield index


def _of_history(place: Mapping[str, Any], found: Recorded) -> int | None:
    """The round of the message on a history's line (or of the event, where it is a vote log's)."""
    event = _event(place)
    index = whole(event.get("round"))
    if index is not None:
        return index
    sent = found.sent.get((str(event.get("session")), whole(event.get("seq")) or 0))
    return sent.round if sent is not None else None


def _times(row: Mapping[str, Any], found: Recorded) -> Iterator[int]:
    """When the lines of logs and histories were written that a counterexample shows."""
    for place in _places(row):
        event = _event(place)
        sent = found.sent.get((str(event.get("session")), whole(event.get("seq")) or 0))
        if sent is not None:
            yield sent.answered if event.get("event") == "ok" and sent.answered is not None else sent.invoked
    for vote in (row.get("counterexample") or {}).get("votes") or ():
        mono = whole(vote.get("mono")) if isinstance(vote, Mapping) else None
        if mono is not None:
            yield mono


def _event(place: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        event = json.loads(str(place.get("text")))
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
