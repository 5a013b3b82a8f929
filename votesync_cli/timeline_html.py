"""The diagram as one HTML file that needs nothing else: the data, in columns, put into the template. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from votesync_cli.timeline import ARROWS, Timeline

PLACE = "/*DATA*/"
STATES = ("written", "decided", "open")


def html(picture: Timeline, template: str, title: str, *, judged: bool) -> str:
    """The page. `judged` says whether a verdict was given, so that the absence of violations means something."""
    data = json.dumps(page_data(picture, title, judged=judged), ensure_ascii=False, separators=(",", ":"))
    return template.replace(PLACE, data.replace("<", "\\u003c"), 1)  # no text of a log can end the script


def page_data(picture: Timeline, title: str, *, judged: bool) -> dict[str, Any]:
    """What the page's script reads: columns, with each time as the difference from the one before."""
    kinds = sorted({mark.kind for mark in picture.marks})
    number = {kind: place for place, kind in enumerate(kinds)}
    marks, arrows, bars = picture.marks, picture.arrows, picture.bars
    return {
        "title": title, "lanes": picture.lanes, "nodes": picture.nodes, "began": picture.began, "end": picture.end,
        "notes": picture.notes, "judged": judged, "kinds": kinds, "arrowKinds": list(ARROWS), "states": list(STATES),
        "marks": {
            "t": _steps(mark.t for mark in marks), "lane": [mark.lane for mark in marks],
            "kind": [number[mark.kind] for mark in marks], "term": [mark.term for mark in marks],
            "round": [_or_none(mark.round) for mark in marks], "text": [mark.text for mark in marks],
        },
        "arrows": {
            "t": _steps(arrow.t for arrow in arrows), "took": [arrow.arrives - arrow.t for arrow in arrows],
            "lane": [arrow.lane for arrow in arrows], "to": [arrow.to for arrow in arrows],
            "kind": [ARROWS.index(arrow.kind) for arrow in arrows], "round": [_or_none(arrow.round) for arrow in arrows],
        },
        "bars": {
            "t": _steps(bar.start for bar in bars), "took": [bar.end - bar.start for bar in bars],
            "lane": [bar.lane for bar in bars], "round": [bar.round for bar in bars], "turn": [bar.turn for bar in bars],
            "upto": [bar.upto for bar in bars], "attempt": [bar.attempt for bar in bars],
            "sure": [int(bar.sure) for bar in bars],
        },
        "bands": [[band.lane, band.start, band.end - band.start, band.kind, band.text] for band in picture.bands],
        "rounds": [
            [spell.round, spell.start, spell.end - spell.start, STATES.index(spell.state), spell.leader, spell.many]
            for spell in picture.rounds
        ],
        "violations": [[v.rule, v.start, v.end - v.start, v.round, v.text] for v in picture.violations],
    }  # fmt: skip


def _steps(times: Iterable[int]) -> Sequence[int]:
    out, last = [], 0
    for t in times:
        out.append(t - last)
        last = t
    return out


def _or_none(index: int | None) -> int:
    return -1 if index is None else index
