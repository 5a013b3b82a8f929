"""The state of a cluster at one moment, put together from what its nodes say and from their vote logs. Pure.

`Meter` counts rounds as they are told; `board` joins its counts with the nodes' `status` answers; `Board` and
`WhoResult` are what `top` and `who` return.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from votesync_cli.results import NodeStatus, Table
from votesync_cli.votes_model import Happening, Item, RoundView, VoteView

WINDOW = 10.0  # seconds over which rates are measured
SECONDS = 60  # bars of the latency's history, one a second
MISSED_OF = 200  # rounds in which missing votes are counted
EVENTS = 50  # happenings that are kept


@dataclass(slots=True)
class _Ended:
    ts: float
    rounds: int
    messages: int
    quorum_us: int | None


class Meter:
    """Rates, latencies, last and missing votes, and the last happenings of a stream of votes."""

    def __init__(self) -> None:
        self._ended: deque[_Ended] = deque(maxlen=100_000)
        self._seconds: deque[tuple[int, int]] = deque(maxlen=SECONDS)  # (second, greatest quorum_us in it)
        self._missed: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=MISSED_OF)  # (leader, who it did without)
        self.last_votes: dict[int, VoteView] = {}
        self.happenings: deque[Happening] = deque(maxlen=EVENTS)

    def take(self, items: Iterable[Item], every: int = 1) -> None:
        """Count these; where rounds were sampled, each stands for `every`."""
        for item in items:
            if isinstance(item, Happening):
                if not item.is_minor:
                    self.happenings.append(item)
            elif item.state != "replaced":
                self._take_round(item, every)

    def _take_round(self, view: RoundView, every: int) -> None:
        self._ended.append(_Ended(view.ts, every, every * (view.count or 0), view.quorum_us))
        self.last_votes.update(view.votes)
        if view.leader is not None:
            self._missed.append((view.leader, tuple(n for n, vote in view.votes.items() if vote.kind in ("no", "silent"))))
        if view.quorum_us is not None:
            second = int(view.ts)
            if self._seconds and self._seconds[-1][0] == second:
                second, highest = self._seconds.pop()
                self._seconds.append((second, max(highest, view.quorum_us)))
            else:
                self._seconds.append((second, view.quorum_us))

    def rates(self, now: float) -> tuple[float, float]:
        """Rounds and messages a second over the last `WINDOW` seconds; `now` in Unix seconds."""
        recent = self._recent(now)
        return sum(ended.rounds for ended in recent) / WINDOW, sum(ended.messages for ended in recent) / WINDOW

    def latencies(self, now: float) -> tuple[int, ...]:
        """Microseconds from ballot to decision of the rounds of the last `WINDOW` seconds, in order of size."""
        return tuple(sorted(ended.quorum_us for ended in self._recent(now) if ended.quorum_us is not None))

    def history(self, now: float) -> tuple[int, ...]:
        """The greatest latency of each of the last `SECONDS` seconds, 0 where nothing was decided."""
        known = dict(self._seconds)
        return tuple(known.get(second, 0) for second in range(int(now) - SECONDS + 1, int(now) + 1))

    def missed(self) -> Mapping[tuple[int, int], int]:
        """(leader, node) -> how many of the last `MISSED_OF` rounds that leader decided without a vote of that node."""
        return Counter((leader, node) for leader, nodes in self._missed for node in nodes)

    def _recent(self, now: float) -> list[_Ended]:
        while self._ended and self._ended[0].ts < now - WINDOW:
            self._ended.popleft()
        return [ended for ended in self._ended if ended.ts <= now]


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One node. `lag` is in rounds behind the leader, `link` says whether it reaches each peer; None: unknown."""

    node: int
    service: str
    state: str
    role: str
    term: int | None
    leader: int | None
    vote: VoteView | None
    queue: int | None
    lag: int | None
    last: int | None
    healthy: bool | None
    why: str
    links: Mapping[int, bool]


@dataclass(frozen=True, slots=True)
class Turn:
    """Who may write now: `writer` has turn `turn` of `round`; `waiting` come after it, in this order."""

    round: int
    turn: int
    writer: int
    attempt: int
    waiting: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        holder = {"round": self.round, "turn": self.turn, "writer": self.writer, "attempt": self.attempt}
        return {"holder": holder, "waiting": list(self.waiting)}


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that `top` shows. Rates are per second, latencies in microseconds, `ts` in Unix seconds."""

    project: str
    ts: float
    term: int | None
    leader: int | None
    written: int | None
    round: int | None
    turn: Turn | None
    nodes: tuple[NodeLine, ...]
    rounds_s: float
    messages_s: float
    latencies: tuple[int, ...]
    history: tuple[int, ...]
    missed: Mapping[tuple[int, int], int]
    faults: tuple[tuple[int, Mapping[str, Any]], ...]
    happenings: tuple[Happening, ...]
    table: Table | None = None
    view: str = "top"

    @property
    def healthy(self) -> int:
        """How many nodes can have messages decided."""
        return sum(1 for node in self.nodes if node.healthy)

    @property
    def exit_code(self) -> int:
        """1 where no majority of the nodes is healthy."""
        return 0 if 2 * self.healthy > len(self.nodes) else 1

    def quantile(self, share: float) -> int | None:
        """The latency that this share of the rounds did not exceed; None where there were none."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))] if self.latencies else None

    def to_text(self) -> str:
        """The board in words; `top` draws it instead."""
        return f"{self.project}: {self.healthy} of {len(self.nodes)} nodes healthy, {self.rounds_s:.1f} rounds/s"

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object."""
        yield {
            "project": self.project, "ts": self.ts, "term": self.term, "leader": self.leader, "round": self.round,
            "written": self.written, "healthy": self.healthy,
            **(self.turn.to_json() if self.turn else {"holder": None, "waiting": []}),
            "rounds_s": round(self.rounds_s, 2), "messages_s": round(self.messages_s, 2),
            "quorum_us": {"p50": self.quantile(0.5), "p99": self.quantile(0.99), "max": self.quantile(1.0)},
            "history_us": list(self.history),
            "nodes": [_node_json(node) for node in self.nodes],
            "links": {str(n.node): {str(peer): up for peer, up in sorted(n.links.items())} for n in self.nodes},
            "missed": [{"leader": of, "node": node, "rounds": many} for (of, node), many in sorted(self.missed.items())],
            "faults": [{"node": node, **fault} for node, fault in self.faults],
            "events": [happening.to_json() for happening in self.happenings],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class WhoResult:
    """Who may write now, who waits for a turn, and who has messages that no round holds yet (`queues`)."""

    project: str
    term: int | None
    leader: int | None
    turn: Turn | None
    queues: Mapping[int, int]
    table: Table | None = None

    @property
    def exit_code(self) -> int:
        """1 where nobody leads."""
        return 0 if self.leader is not None else 1

    def to_text(self) -> str:
        """One sentence on the writer, one on who waits."""
        lines = [self._writer()]
        if self.turn is not None:
            behind = " then ".join(map(str, self.turn.waiting))
            lines.append(f"Waiting for their turns, in order: {behind}." if behind else "No turn of this round comes after it.")
        queued = ", ".join(f"{many:,} at node {node}" for node, many in sorted(self.queues.items()) if many)
        lines.append(f"Messages that are not written yet: {queued}." if queued else "No messages wait at any node.")
        return "\n".join(lines)

    def _writer(self) -> str:
        if self.leader is None:
            return "Nobody may write: no node that answers leads a majority."
        if self.turn is None:
            return f"Nobody needs to write now: all that is decided is in the file (node {self.leader} leads term {self.term})."
        again = f", granted anew {self.turn.attempt} times" if self.turn.attempt else ""
        where = f"turn {self.turn.turn} of round {self.turn.round}{again}"
        return f"Node {self.turn.writer} may write: {where} (node {self.leader} leads term {self.term})."

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object."""
        turn = self.turn.to_json() if self.turn else {"holder": None, "waiting": []}
        queues = {str(node): many for node, many in sorted(self.queues.items())}
        yield {"project": self.project, "term": self.term, "leader": self.leader, **turn, "queues": queues}


def board(project: str, nodes: tuple[NodeStatus, ...], meter: Meter, now: float) -> Board:
    """Join the nodes' answers and the counts; `now` in Unix seconds."""
    leader = _leader(nodes)
    said = leader.status if leader and leader.status else {}
    rounds_s, messages_s = meter.rates(now)
    return Board(
        project=project,
        ts=now,
        term=_int(said.get("term")),
        leader=leader.node if leader else None,
        written=_greatest(nodes, "written"),
        round=_greatest(nodes, "decided"),
        turn=_turn(said),
        nodes=tuple(_line(node, said, meter) for node in nodes),
        rounds_s=rounds_s,
        messages_s=messages_s,
        latencies=meter.latencies(now),
        history=meter.history(now),
        missed=meter.missed(),
        faults=tuple((n.node, fault) for n in nodes for fault in _faults(n)),
        happenings=tuple(meter.happenings),
    )


def who(project: str, nodes: tuple[NodeStatus, ...]) -> WhoResult:
    """What the nodes' answers say about the turn."""
    leader = _leader(nodes)
    said = leader.status if leader and leader.status else {}
    queues = {node.node: queue for node in nodes if node.status and (queue := _int(node.status.get("queue"))) is not None}
    return WhoResult(project, _int(said.get("term")), leader.node if leader else None, _turn(said), queues)


def _leader(nodes: Iterable[NodeStatus]) -> NodeStatus | None:
    """The node that leads the highest term and is in touch with a majority, by its own word."""
    leading = [n for n in nodes if n.status and n.status.get("role") == "leader" and n.status.get("healthy")]
    return max(leading, key=lambda node: _int((node.status or {}).get("term")) or 0, default=None)


def _turn(said: Mapping[str, Any]) -> Turn | None:
    holder, waiting = said.get("holder"), said.get("waiting")
    if not isinstance(holder, Mapping):
        return None
    index, number, writer = (_int(holder.get(key)) for key in ("round", "turn", "writer"))
    if index is None or number is None or writer is None:
        return None
    behind = tuple(node for node in (waiting if isinstance(waiting, list) else ()) if isinstance(node, int))
    return Turn(index, number, writer, _int(holder.get("attempt")) or 0, behind)


def _line(node: NodeStatus, leader: Mapping[str, Any], meter: Meter) -> NodeLine:
    said: Mapping[str, Any] = node.status or {}
    peers = said.get("peers")
    links = {int(peer): bool(link.get("connected")) for peer, link in (peers.items() if isinstance(peers, Mapping) else ())}
    behind = leader.get("peers", {}).get(str(node.node), {}).get("lag")
    return NodeLine(
        node=node.node,
        service=node.service,
        state=node.state,
        role=str(said.get("role", "-")),
        term=_int(said.get("term")),
        leader=_int(said.get("leader")),
        vote=meter.last_votes.get(node.node),
        queue=_int(said.get("queue")),
        lag=0 if said.get("role") == "leader" else _int(behind),
        last=_int(said.get("last")),
        healthy=bool(said.get("healthy")) if said else None,
        why=str(said.get("why") or "") if said else node.problem,
        links=links,
    )


def _faults(node: NodeStatus) -> list[Mapping[str, Any]]:
    found = (node.status or {}).get("faults")
    return [fault for fault in found if isinstance(fault, Mapping)] if isinstance(found, list) else []


def _greatest(nodes: Iterable[NodeStatus], field: str) -> int | None:
    return max((value for node in nodes if node.status and (value := _int(node.status.get(field))) is not None), default=None)


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _node_json(node: NodeLine) -> dict[str, Any]:
    vote = None if node.vote is None else {"vote": node.vote.kind, "us": node.vote.us, "reason": node.vote.reason}
    return {
        "node": node.node, "service": node.service, "state": node.state, "role": node.role, "term": node.term,
        "leader": node.leader, "vote": vote, "queue": node.queue, "lag": node.lag, "last": node.last,
        "healthy": node.healthy, "why": node.why,
    }  # fmt: skip
