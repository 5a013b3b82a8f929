"""What a run left behind, on one axis of time: the nodes' vote logs and the clients' histories. Pure.

The axis is CLOCK_MONOTONIC in microseconds, which all processes and containers of one boot of one machine share. What
was logged elsewhere or after a reboot is put on it by the wall clock, and counted as `by_wall`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from node_runtime import votelog
from node_runtime.votelog import Event
from votesync_cli.votes_evidence import whole

SAME_CLOCK = 2_000_000  # microseconds by which wall and monotonic clocks of one boot may drift apart


class Said(NamedTuple):
    """One event of a node's log: `t` on the common axis, `place` its number in that log, from 0."""

    t: int
    node: int
    kind: str
    term: int
    round: int | None
    event: Event
    place: int


@dataclass(slots=True)
class Sent:
    """One message as its client's history tells it; times on the common axis, None where the history does not say.

    `tries` are (when, node): the first one and each time it was sent again. `outcome`: ok, fail, unknown, or "" so far.
    """

    session: str
    seq: int
    time: int
    text: str
    tries: list[tuple[int, int]] = field(default_factory=list)
    outcome: str = ""
    answered: int | None = None
    round: int | None = None
    offset: int | None = None
    code: str = ""

    @property
    def invoked(self) -> int:
        """When it was sent first."""
        return self.tries[0][0]

    @property
    def name(self) -> str:
        """`session:seq`, as `explain` takes it."""
        return f"{self.session}:{self.seq}"


@dataclass(slots=True)
class Recorded:
    """Everything, in the order of the axis; a node's events also in the order of its log.

    `base`: Unix microseconds at the zero of the axis; None where no node has said anything.
    """

    said: list[Said] = field(default_factory=list)
    sent: dict[tuple[str, int], Sent] = field(default_factory=dict)
    by_wall: int = 0
    base: int | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """Every node that has said something or was counted by one that did."""
        counts = (whole(said.event.get("nodes")) or 0 for said in self.said if said.kind == "start")
        return tuple(sorted({said.node for said in self.said} | set(range(min(64, max(counts, default=0))))))

    @property
    def sessions(self) -> tuple[str, ...]:
        """All sessions, those that are numbers first and in their order."""
        return tuple(sorted({session for session, _ in self.sent}, key=session_key))


def session_key(session: str) -> tuple[int, int, str]:
    """Numbers in their order, then the other names."""
    return (0, int(session), "") if session.isdecimal() and len(session) < 18 else (1, 0, session)


def recorded(logs: Iterable[Iterable[str | bytes]], histories: Iterable[Iterable[bytes]] = ()) -> Recorded:
    """Read the nodes' logs (in each, a node's lines stand in their order) and the clients' histories."""
    out = Recorded()
    events = list(_events(logs))
    if events:
        out.base = _base(events)
        out.said = _aligned(events, out.base, out)
    for history in histories:
        _read_history(history, out)
    return out


def onto_axis(zero: int, base: int | None) -> int:
    """Microseconds to add to the times of a clock whose zero was at `zero` (Unix microseconds): 0 for the axis' own."""
    return zero - base if base is not None and abs(zero - base) >= SAME_CLOCK else 0


def _events(logs: Iterable[Iterable[str | bytes]]) -> Iterator[Event]:
    for log in logs:
        for line in log:
            event = votelog.decode(line)
            if event is not None:
                yield event


def _base(events: Sequence[Event]) -> int:
    """Unix microseconds at the zero of the clock that most of the log shares."""
    starts = [event for event in events if event["event"] == "start"]  # no fault bends a clock yet
    bases = sorted(_wall(event) - mono for event in starts or events if (mono := whole(event.get("mono"))) is not None)
    return bases[len(bases) // 2] if bases else 0


def _wall(event: Event) -> int:
    return int(float(event["ts"]) * 1e6)


def _aligned(events: Sequence[Event], base: int, out: Recorded) -> list[Said]:
    """The events on the axis; a node's never fall behind one another, for their order is known."""
    shares: dict[int, bool] = {}  # whether the node, as it runs, shares the axis' clock; a skew bends `ts` alone
    latest: dict[int, int] = {}
    places: dict[int, int] = {}
    said = []
    for event in events:
        node, kind = event["node"], event["event"]
        mono, wall = whole(event.get("mono")), _wall(event)
        if kind == "start" or node not in shares:
            shares[node] = mono is not None and abs(wall - mono - base) < SAME_CLOCK
        t = mono if shares[node] and mono is not None else wall - base
        out.by_wall += not shares[node]
        t = latest[node] = max(t, latest.get(node, t))
        place = places[node] = places.get(node, -1) + 1
        term = whole(event.get("term")) or 0
        said.append(Said(t, node, kind, term, whole(event.get("round")), event, place))
    return sorted(said, key=attrgetter("t"))


def _read_history(lines: Iterable[bytes], out: Recorded) -> None:
    """One client's file; a batch that begins on another clock is shifted by what the wall clocks say."""
    shift = 0
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict) or not isinstance(event.get("session"), str):
            continue
        mono = whole(event.get("mono"))
        if mono is None:
            continue
        if event.get("event") == "begin":
            ts = event.get("ts")
            shift = onto_axis(int(ts * 1e6) - mono, out.base) if isinstance(ts, int | float) else 0
        elif _note_message(event, mono + shift, out.sent):
            out.by_wall += bool(shift)


def _note_message(event: dict[str, Any], t: int, sent: dict[tuple[str, int], Sent]) -> bool:
    session = event["session"]
    match event:
        case {"event": "invoke", "seq": int(seq), "time": int(time), "text": str(text), "node": int(node)}:
            sent.setdefault((session, seq), Sent(session, seq, time, text)).tries.append((t, node))
        case {"event": "resend", "from": int(first), "to": int(last), "node": int(node)}:
            for seq in range(first, min(last, first + 100_000) + 1):
                known = sent.get((session, seq))
                if known is not None and known.outcome != "ok":
                    known.tries.append((t, node))
        case {"event": "ok" | "fail" | "unknown" as outcome, "seq": int(seq)}:
            known = sent.get((session, seq))
            if known is not None and known.outcome != "ok":
                known.outcome, known.answered, known.code = outcome, t, str(event.get("code") or "")
                known.round, known.offset = whole(event.get("round")), whole(event.get("offset"))
        case _:
            return False
    return True
