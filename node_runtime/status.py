"""What a node says of itself: the `status` and `health` of the core's state, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node_runtime.messages import NodeId
from node_runtime.quorum import majority
from node_runtime.state import Candidate, CoreState, Leader


def status_of(core: CoreState, connected: Mapping[NodeId, bool]) -> dict[str, Any]:
    """The fields of `{"op":"status"}` that the core knows (docs/PROTOCOL.md)."""
    healthy, why = health_of(core)
    return {
        "node": core.me,
        "role": role_of(core),
        "term": core.term,
        "leader": core.leader,
        "decided": core.log.decided,
        "last": core.log.last.index,
        "written_round": core.written,
        "written": core.log.point(min(core.written, core.log.last.index)).end,
        "synced": core.synced,
        "queue": core.intake.count,
        "sessions": len(core.log.sessions),
        "healthy": healthy,
        "why": why,
        "writer": core.policy.name.lower(),
        "nodes": len(core.nodes),
        **_turn(core),
        "peers": {str(peer): _peer(core, peer, connected.get(peer, False)) for peer in core.peers},
        "counters": dict(core.counters),
    }


def role_of(core: CoreState) -> str:
    """leader, candidate, recovering or follower."""
    if core.recovering:
        return "recovering"
    if isinstance(core.role, Leader):
        return "leader"
    return "candidate" if isinstance(core.role, Candidate) else "follower"


def health_of(core: CoreState) -> tuple[bool, str]:
    """Whether the node can have messages decided now (rule 55), and why not."""
    role = core.role
    if core.recovering:
        return False, "its journal was damaged and is being fetched from the others"
    if isinstance(role, Leader):
        heard = 1 + sum(core.now - progress.heard <= core.timing.election_max for progress in role.peers.values())
        if heard < majority(len(core.nodes)):
            return False, f"it leads, but hears {heard} of {len(core.nodes)} nodes"
        return (True, "") if core.leads else (False, "it leads, but has decided nothing in its term yet")
    if isinstance(role, Candidate) or role.leader is None:
        return False, "it knows no leader"
    return True, ""


def has_current_leader(core: CoreState) -> bool:
    """Whether a leader is known and a round of its term is decided here, so that the sessions are no longer old."""
    return core.leader is not None and core.log.point(core.log.decided).term == core.term


def settled_seq(core: CoreState, session: str) -> int:
    """The session's highest number that is decided and in the file, for `hello`."""
    place = core.log.sessions.place(session)
    if place.round <= core.settled:
        return place.last
    for index in range(core.settled + 1, core.log.last.index + 1):
        for span in core.log.round(index).sessions:
            if span.session == session:
                return span.first - 1
    return place.last


def _peer(core: CoreState, peer: NodeId, connected: bool) -> dict[str, Any]:
    role = core.role
    if not isinstance(role, Leader):
        return {"connected": connected, "match": None, "lag": None, "heard_ms": None}
    progress = role.peers[peer]
    return {
        "connected": connected,
        "match": progress.match,
        "lag": core.log.last.index - progress.match,
        "heard_ms": (core.now - progress.heard) // 1000,
    }


def _turn(core: CoreState) -> dict[str, Any]:
    """Who may write now and who waits behind, as the leader knows it."""
    role = core.role
    if not isinstance(role, Leader) or role.chain is None:
        return {"holder": None, "waiting": []}
    chain = role.chain
    turns = core.turns(core.log.round(chain.round))
    writers = [turn.writer for turn in turns[chain.turn :]]
    holder = {"round": chain.round, "turn": chain.turn, "writer": writers[0] if writers else None, "attempt": chain.attempt}
    return {"holder": holder, "waiting": writers[1:17]}
