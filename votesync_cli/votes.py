"""Many nodes' vote logs -> one ordered stream of rounds and of what happened between them. Pure.

The order is the logs' own: a node's events stay in the order of its log, rounds stand in the order of their indices,
and a happening stands before the first round that its node had not reached in its log and that ended later. Clocks
only place what the logs leave open, and no clock is read here: `now` is passed in.

A round is told when it ended (a leader reports it written, or a later round, or the next leader has compared the
file) *and* every other node's log has come as far, so the order in which lines arrive changes nothing. A node that
says nothing for `hold_back` seconds is not waited for until it speaks again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from node_runtime.votelog import Event
from votesync_cli.votes_evidence import NOWHERE, Evidence, Place, Position, Report, whole
from votesync_cli.votes_model import ALWAYS, HAPPENINGS, Happening, Item

HOLD_BACK = 0.3
MOST_WAITING = 4096


@dataclass(slots=True)
class _Node:
    """How far one node's log has come. `phase` within a term: 0 campaign, 2 a leader is known."""

    seq: int = 0
    ts: float = 0.0
    position: Position = NOWHERE
    phase: int = 0
    cluster: int = 0
    quiet: bool = False


class _Waiting(NamedTuple):
    phase: int
    place: Place
    happening: Happening


class VoteStream:
    """Takes the events of all nodes, each node's in order; gives rounds and happenings in one order.

    `nodes` are those whose logs will come; more are learned from what the events say. `hold_back` is in seconds of
    whatever clock `now` is from. At most about `most` rounds are held.
    """

    def __init__(self, nodes: Iterable[int] = (), *, hold_back: float = HOLD_BACK, most: int = MOST_WAITING) -> None:
        self._nodes: dict[int, _Node] = {node: _Node() for node in nodes}
        self._hold_back = hold_back
        self._most = most
        self._cluster = 0
        self._evidence = Evidence()
        self._waiting: list[_Waiting] = []
        self._ready: list[Item] = []

    @property
    def nodes(self) -> tuple[int, ...]:
        """Every node known of."""
        return tuple(sorted(self._nodes))

    @property
    def waiting(self) -> int:
        """Rounds that are held back."""
        return len(self._evidence)

    def feed(self, event: Event, now: float = 0.0) -> None:
        """Take one decoded event (`votelog.decode`)."""
        node, kind = event["node"], event["event"]
        state = self._nodes.setdefault(node, _Node())
        if kind == "start":
            self._on_start(event, state)
        state.quiet = False
        state.seq += 1
        state.ts = max(state.ts, float(event["ts"]))
        term = whole(event.get("term"))
        term = state.position[0] if term is None else max(term, state.position[0])
        if term > state.position[0]:
            state.position, state.phase = (term, -1), 0
        place = Place(term, node, state.seq, state.position, state.ts, now)
        if kind in HAPPENINGS:
            detail = {key: value for key, value in event.items() if key not in ALWAYS}
            phase = 1 if kind == "leader" else 2 if kind == "follow" else state.phase
            self._waiting.append(_Waiting(phase, place, Happening(kind, node, term, float(event["ts"]), detail)))
            state.phase = 2 if phase else 0
        self._evidence.note(event, place)
        index = whole(event.get("round"))
        if index is not None and kind in ("vote", "written"):
            state.position = max(state.position, (term, index))

    def hush(self, node: int) -> None:
        """The node's log has ended for now: the node is not waited for until it speaks again."""
        self._nodes.setdefault(node, _Node()).quiet = True

    def take(self, now: float = 0.0) -> list[Item]:
        """What can be told by now, in order."""
        out, self._ready = self._ready, []
        evidence = self._evidence
        while (index := evidence.head()) is not None:
            report = evidence.finish(index)
            full = len(evidence) > self._most
            if report is None and not full:
                break
            if report is not None and not full and not self._is_settled(index, report, now):
                break
            self._tell(index, report, out)
        late = [waiting for waiting in self._waiting if now - waiting.place.arrived >= self._hold_back > 0]
        if len(self._waiting) > self._most:
            late = self._waiting[: -self._most // 2]
        self._tell_happenings(late, out)
        return out

    def close(self) -> list[Item]:
        """Everything that is left: no log goes on."""
        out, self._ready = self._ready, []
        self._flush(out)
        return out

    # --- inside ---

    def _on_start(self, event: Event, state: _Node) -> None:
        """A node that starts with nothing, after it had been in a term, belongs to a cluster made anew."""
        if whole(event.get("last")) == 0 and (whole(event.get("term")) or 0) < state.position[0]:
            state.cluster += 1
            state.position = NOWHERE
            if state.cluster > self._cluster:
                self._cluster = state.cluster
                self._flush(self._ready)
                self._evidence = Evidence()
        count = event.get("nodes")
        for node in range(min(count, 64)) if isinstance(count, int) else ():
            self._nodes.setdefault(node, _Node())

    def _flush(self, out: list[Item]) -> None:
        while (index := self._evidence.head()) is not None:
            self._tell(index, self._evidence.finish(index), out)
        self._tell_happenings(list(self._waiting), out)

    def _missing(self, key: Position, report: Report) -> list[int]:
        """The nodes whose logs may still say something that belongs before the end of a round."""
        return [
            node
            for node, state in self._nodes.items()
            if not (state.quiet or node == report.place.node or state.position >= key)
        ]

    def _is_settled(self, index: int, report: Report, now: float) -> bool:
        missing = self._missing((report.term, index), report)
        if missing and now - report.place.arrived >= self._hold_back > 0:
            for node in missing:
                self._nodes[node].quiet = True
            return True
        return not missing

    def _tell(self, index: int, report: Report | None, out: list[Item]) -> None:
        evidence = self._evidence
        end = report or evidence.last_word(index)
        if self._waiting:
            in_time = evidence.in_time(index, end)
            early = [w for w in self._waiting if self._precedes(w.place, index, end, w.place.node in in_time)]
            self._tell_happenings(early, out)
        begun = evidence.told >= 0
        views = list(evidence.tell(index, end, self._nodes, ended=report is not None))
        out.extend(view for view in views if begun or view.leader is not None or view.quorum_us is not None)

    def _precedes(self, place: Place, index: int, end: Report, in_time: bool) -> bool:
        """Whether a happening stands before a round: its log had not reached it, and the round ended later."""
        if place.node == end.place.node:
            return place.seq < end.place.seq
        if place.before >= (end.term, index):
            return False
        return place.ts <= end.place.ts or (in_time and place.seq < self._evidence.vote_place(index, place.node))

    def _tell_happenings(self, chosen: list[_Waiting], out: list[Item]) -> None:
        if chosen:
            gone = {id(waiting) for waiting in chosen}
            self._waiting = [waiting for waiting in self._waiting if id(waiting) not in gone]
            out.extend(waiting.happening for waiting in _in_order(chosen))


def _in_order(chosen: list[_Waiting]) -> list[_Waiting]:
    """The order between two rounds: by clock, but what the logs tell of elections outdoes the clocks.

    What a node said before it voted for a leader stands before that leader's election, and what it said when it knew
    the leader (or a later term) stands after it. Each node's own order is kept: these bounds never fall along its log.
    """
    elected: dict[int, tuple[float, frozenset[int | None]]] = {}
    latest = 0.0
    for waiting in sorted((w for w in chosen if w.phase == 1), key=lambda w: w.place.term):
        latest = max(latest, waiting.place.ts)
        votes = waiting.happening.detail.get("votes")
        elected[waiting.place.term] = (latest, frozenset(map(whole, votes)) if isinstance(votes, list) else frozenset())

    def rank(waiting: _Waiting) -> tuple[float, int, int, int, int]:
        place, phase = waiting.place, waiting.phase
        after = max((at for term, (at, _) in elected.items() if (term, 1) <= (place.term, phase)), default=0.0)
        voted = (at for term, (at, votes) in elected.items() if (term, 1) > (place.term, phase) and place.node in votes)
        return (min(max(place.ts, after), min(voted, default=math.inf)), place.term, phase, place.node, place.seq)

    return sorted(chosen, key=rank)
