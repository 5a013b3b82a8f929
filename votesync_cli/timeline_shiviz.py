"""The run in the log format of ShiViz: each event with its host and its vector clock. Pure.

A host's clock ticks with each of its events; an event also knows all that the events knew from which an arrow leads to it.
Arrows that would make a circle (a line may be logged a little after what it caused) are left out.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from votesync_cli.timeline import Mark, Timeline

PARSER = r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)"


def shiviz(picture: Timeline) -> Iterator[str]:
    """The lines, with their newlines: two for each event, in an order that the clocks agree with.

    The first line is the pattern by which ShiViz reads the rest, the second (empty) the one that would part executions.
    """
    yield f"{PARSER}\n\n"
    hosts = [lane.replace(" ", "_") for lane in picture.lanes]
    clocks: dict[int, dict[int, int]] = {}
    now: list[dict[int, int]] = [{} for _ in hosts]
    for number, causes in _in_causal_order(picture):
        mark = picture.marks[number]
        clock = now[mark.lane]
        for cause in causes:
            for host, count in clocks[cause].items():
                clock[host] = max(clock.get(host, 0), count)
        clock[mark.lane] = clock.get(mark.lane, 0) + 1
        clocks[number] = dict(clock)
        named = {hosts[host]: count for host, count in sorted(clock.items())}
        yield f"{hosts[mark.lane]} {json.dumps(named)}\n{_said(mark)}\n"


def _said(mark: Mark) -> str:
    about = f" round {mark.round}" if mark.round is not None else ""
    return f"{mark.kind}{about}: {mark.text}".replace("\n", " ")


def _in_causal_order(picture: Timeline) -> Iterator[tuple[int, Sequence[int]]]:
    """Each mark with those that it follows on other lanes, after all of them."""
    causes: dict[int, list[int]] = defaultdict(list)
    for arrow in picture.arrows:
        if arrow.cause >= 0 and arrow.effect >= 0 and picture.marks[arrow.cause].lane != picture.marks[arrow.effect].lane:
            causes[arrow.effect].append(arrow.cause)
    lanes: list[deque[int]] = [deque() for _ in picture.lanes]
    for number, mark in enumerate(picture.marks):
        lanes[mark.lane].append(number)
    done: set[int] = set()
    while any(lanes):
        heads = [lane[0] for lane in lanes if lane]
        ready = [head for head in heads if all(cause in done for cause in causes[head])]
        chosen = min(ready or heads, key=lambda head: (picture.marks[head].t, head))
        lanes[picture.marks[chosen].lane].popleft()
        done.add(chosen)
        yield chosen, [cause for cause in causes.pop(chosen, ()) if cause in done]
