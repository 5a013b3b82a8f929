"""Whether a cluster has formed: every node knows the same leader, can decide, and is in touch with a majority.

It reads what the nodes' admin sockets answer to `status` and says what is missing, node by node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Status = Mapping[str, Any]


def missing(nodes: Mapping[str, int], statuses: Mapping[str, Status | None]) -> dict[str, str]:
    """What each service still lacks; empty where the cluster has formed.

    `nodes` maps service names to node ids. A service without a status has not answered.
    """
    lacks: dict[str, str] = {}
    leaders = {status.get("leader") for status in statuses.values() if status is not None} - {None}
    for service in nodes:
        status = statuses.get(service)
        reason = "it has not answered yet" if status is None else _lack(status, len(nodes), len(leaders) > 1)
        if reason:
            lacks[service] = reason
    return lacks


def _lack(status: Status, count: int, divided: bool) -> str:
    if status.get("leader") is None:
        return "it knows no leader"
    if divided:
        return f"it follows node {status['leader']}, and others follow another"
    peers = status.get("peers")
    heard = sum(1 for peer in peers.values() if _connected(peer)) if isinstance(peers, Mapping) else 0
    if 2 * (heard + 1) <= count:
        return f"it is in touch with {heard} of {count - 1} others, and that is no majority"
    if not status.get("healthy"):
        return str(status.get("why") or "it says that it is not healthy")
    return ""


def _connected(peer: object) -> bool:
    return bool(peer.get("connected")) if isinstance(peer, Mapping) else bool(peer)


def leader(statuses: Mapping[str, Status | None]) -> int | None:
    """The leader that the nodes name, where they agree on one."""
    named = {status.get("leader") for status in statuses.values() if status is not None}
    return next(iter(named)) if len(named) == 1 else None


def summary(lacks: Mapping[str, str], limit: int = 4) -> str:
    """The reasons in one sentence, without a full stop; nodes with the same reason stand together."""
    by_reason: dict[str, list[str]] = {}
    for service, reason in lacks.items():
        by_reason.setdefault(reason, []).append(service)
    parts = [f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}: {reason}" for reason, names in by_reason.items()]
    return "; ".join(parts[:limit] + (["…"] if len(parts) > limit else []))
