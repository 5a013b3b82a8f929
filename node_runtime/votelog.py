"""The vote log: one JSON object a line, one line an event, at most a few a round (docs/VOTELOG.md).

Every event has `ts` (Unix seconds of the node's wall clock), `mono` (microseconds of its monotonic clock),
`node`, `event` and `term`. `EVENTS` names what else belongs to each. Durations end in `_us`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Event = dict[str, Any]

# event -> its own fields. Nodes in mappings are text keys, as JSON wants it.
EVENTS: dict[str, tuple[str, ...]] = {
    "start": ("version", "cluster", "nodes", "pid", "writer", "decided", "last", "synced", "recovering"),
    "stop": ("reason",),
    "peer_up": ("peer",),
    "peer_down": ("peer", "reason"),
    "election": ("pre",),  # this node stands (pre: asks whether it could win)
    "voted": ("candidate",),  # this node gave its vote of the term
    "leader": ("votes", "took_us"),  # this node won; votes = ids
    "follow": ("leader",),  # this node heard a new leader
    "step_down": ("reason",),
    "ballot": ("round", "digest", "count", "offset", "size", "messages"),  # leader; messages = {node: [count, earliest time]}
    "vote": ("first", "round", "digest", "ok", "reason", "persist_us"),  # a follower's vote on rounds first..round
    "decided": ("round", "digest", "votes", "quorum_us"),  # leader; votes = {node: microseconds after the ballot}
    "grant": ("round", "turn", "attempt", "turns", "more", "absent", "reason"),  # turns = [[writer, messages, start, end]…]
    "turn": ("round", "attempt", "turns", "position"),  # a writer: its turns of the round [[number, start, end]…]
    "written": ("round", "position", "late", "took_us"),  # leader; late = votes that came after the decision
    "timeout": ("round", "turn", "writer", "waited_us"),  # a turn that stalled
    "repair": ("start", "end", "changed"),  # a new leader compared the file with the log
    "restored": ("last",),  # a node with a damaged journal has fetched it again
    "no_quorum": ("waiting",),
    "refused": ("port", "reason", "count"),  # input from outside that was turned away
    "fault": ("fault", "detail"),
    "heal": ("fault",),
}

MAX_TURNS = 64  # a `grant` or `turn` event lists so many turns at most; `more` counts the rest


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def encode(event: Mapping[str, Any]) -> bytes:
    """One line, its newline included."""
    return _encode(event).encode() + b"\n"


def decode(line: bytes | str) -> Event | None:
    """The event on a line, or None where the line is not one (somebody else's output, a torn line)."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or event.get("event") not in EVENTS:
        return None
    if not isinstance(event.get("node"), int) or not isinstance(event.get("ts"), int | float):
        return None
    return event
