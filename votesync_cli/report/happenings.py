"""What happened between the rounds, in order, and the stretches of time in which something was broken on purpose. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from votesync_cli.recorded import SAME_CLOCK, Said
from votesync_cli.timeline import Band
from votesync_cli.timeline_words import told
from votesync_cli.views_text import fold, listed, mood, sentence
from votesync_cli.votes_model import ALWAYS, HAPPENINGS, Happening

STATES = frozenset({"down", "paused"})  # what a node is; all else are faults at it
BREAKING = frozenset({"kill", "stop", "pause", "restart"})
TOGETHER = 500_000  # microseconds between two lines that may be one event, told by several nodes


class Event(NamedTuple):
    """One line of the table: when, of which kind and mood (good, bad, event), and what."""

    t: int
    kind: str
    mood: str
    text: str


class Stretch(NamedTuple):
    """A fault, or nodes that were down, from `start` to `end`."""

    start: int
    end: int
    kind: str
    nodes: tuple[int, ...]

    def text(self, nodes: int) -> str:
        """`node 3 down`, `cut at nodes 0 and 2`, `cut at all nodes`."""
        some = f"node{'s' if len(self.nodes) > 1 else ''} {listed(self.nodes)}"
        who = "all nodes" if len(self.nodes) == nodes > 2 else some
        return f"{who} {self.kind}" if self.kind in STATES else f"{self.kind} at {who}"


class Deed(NamedTuple):
    """Something that was done by hand: `t` in microseconds of the monotonic clock, `ts` in Unix seconds."""

    t: int
    ts: float
    verb: str
    what: str

    def at(self, base: int | None) -> int:
        """When it was, on the axis whose zero is at `base` Unix microseconds."""
        wall = int(self.ts * 1e6) - base if base is not None else self.t
        return self.t if abs(wall - self.t) < SAME_CLOCK else wall


def deeds_of(lines: Iterable[bytes]) -> list[Deed]:
    """The lines that a run keeps of them; faults of links and clocks are left out, for the nodes tell of those."""
    out = []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        match row:
            case {"ts": float(ts) | int(ts), "mono": int(t), "verb": str(verb), "what": str(what)} if verb != "fault":
                out.append(Deed(t, float(ts), verb, what))
    return out


def by_hand(deeds: Iterable[Deed], base: int | None, end: int) -> tuple[list[Event], list[Stretch]]:
    """Them as events, and for how long nodes were paused (to `end` where nothing ended it)."""
    told, found = [], []
    paused: dict[int, int] = {}
    for deed in deeds:
        t, match = deed.at(base), re.fullmatch(r"cluster_sync_(\d{1,9})", deed.what)
        node = int(match[1]) - 1 if match is not None else -1
        told.append(Event(t, deed.verb, "bad" if deed.verb in BREAKING else "good", f"{deed.what}, by hand"))
        if node >= 0 and deed.verb == "pause":
            paused.setdefault(node, t)
        elif node in paused:
            found.append(Stretch(paused.pop(node), t, "paused", (node,)))
    found += [Stretch(t, max(t, end), "paused", (node,)) for node, t in paused.items()]
    return told, found


def events(said: Iterable[Said]) -> list[Event]:
    """All that is news, what several nodes say at about the same time as one."""
    out: list[Event] = []
    for group in _groups(item for item in said if _is_news(item)):
        out += _faults([item for item in group if item.kind in ("fault", "heal")])
        out += [
            Event(item.t, "refusal", "bad", f"node {item.node} voted no on round {item.round}: {item.event.get('reason')}")
            for item in group if item.kind == "vote"
        ]  # fmt: skip
        times: dict[int, int] = {}
        happened: list[Happening] = []
        for item in group:
            if item.kind in HAPPENINGS and item.kind not in ("fault", "heal"):
                detail = {key: value for key, value in item.event.items() if key not in ALWAYS}
                happened.append(Happening(item.kind, item.node, item.term, float(item.event["ts"]), detail))
                times[id(happened[-1])] = item.t
        for folded in fold(happened):
            one = folded.happening
            out.append(Event(times[id(one)], one.event, mood(one), sentence(folded)))
    return sorted(out, key=lambda event: event.t)


def _is_news(item: Said) -> bool:
    if item.kind == "vote":
        return not item.event.get("ok")
    if item.kind not in HAPPENINGS or item.kind in ("voted", "follow", "peer_up"):
        return False
    return not (item.kind == "election" and item.event.get("pre")) and not (
        item.kind == "repair" and not item.event.get("changed")
    )


def _groups(items: Iterable[Said]) -> Iterator[list[Said]]:
    group: list[Said] = []
    for item in items:
        if group and item.t - group[-1].t > TOGETHER:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _faults(items: Sequence[Said]) -> Iterator[Event]:
    """The same fault at several nodes is one event."""
    same: dict[tuple[str, str], list[Said]] = {}
    for item in items:
        same.setdefault((item.kind, str(item.event.get("fault"))), []).append(item)
    for (kind, fault), found in same.items():
        nodes = sorted({item.node for item in found})
        who = f"node{'s' if len(nodes) > 1 else ''} {listed(nodes)}"
        what = told(found[0]) if len(found) == 1 else f"fault {fault}" + (" healed" if kind == "heal" else "")
        yield Event(found[0].t, kind, "bad" if kind == "fault" else "good", f"{who}: {what}")


def stretches(bands: Iterable[Band], nodes: Sequence[int], said: Iterable[Said]) -> list[Stretch]:
    """Bands of one kind that begin and end at about the same time, as one; in the order of time."""
    lost: dict[object, list[int]] = {}
    for item in said:
        if item.kind == "peer_down":
            lost.setdefault(item.event.get("peer"), []).append(item.t)
    out: list[Stretch] = []
    for found in sorted((_single(band, nodes[band.lane], lost) for band in bands), key=lambda found: (found.kind, found.start)):
        last = out[-1] if out else None
        if last is not None and last.kind == found.kind and _are_one(last, found):
            together = tuple(sorted({*last.nodes, *found.nodes}))
            out[-1] = Stretch(last.start, max(last.end, found.end), last.kind, together)
        else:
            out.append(found)
    return sorted(out)


def _are_one(one: Stretch, other: Stretch) -> bool:
    return abs(one.start - other.start) <= TOGETHER and abs(one.end - other.end) <= TOGETHER


def _single(band: Band, node: int, lost: Mapping[object, Sequence[int]]) -> Stretch:
    """One node's; it is down from when another one lost it, where that is logged, for an idle node says nothing."""
    known = [t for t in lost.get(node, ()) if band.kind == "down" and band.start <= t <= band.end]
    return Stretch(min(known, default=band.start), band.end, band.kind, (node,))
