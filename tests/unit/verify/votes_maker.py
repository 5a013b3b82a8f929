"""Makes the vote logs that nodes would have written beside a file."""

from __future__ import annotations

import hashlib
from itertools import groupby

from verify_maker import Row, blocks, closed

from node_runtime.votelog import Event, encode
from votesync_cli.verify.votebook import VoteBook, load_votes

NODES = 5
Logs = dict[int, list[Event]]


def start(node: int, last: int = 0) -> Event:
    """A node's first line."""
    return _event(node, "start", 0, nodes=NODES, last=last, decided=last, recovering=False)


def logs_of(rounds: list[list[Row]], term: int = 1, leader: int = 0, voters: tuple[int, ...] = (1, 2, 3, 4)) -> Logs:
    """The logs of a run without trouble: node `leader` proposes and grants, `voters` vote, each node writes its own."""
    logs: Logs = {node: [start(node)] for node in range(NODES)}
    offset = 0
    for index, rows in enumerate(rounds, 1):
        data = closed(*rows)
        digest = hashlib.blake2b(data + bytes([index % 256]), digest_size=8).hexdigest()
        here = {"round": index, "digest": digest}
        logs[leader].append(_event(leader, "ballot", term, **here, count=len(rows), offset=offset, size=len(data), messages={}))
        for node in voters:
            logs[node].append(_event(node, "vote", term, first=index, **here, ok=True, reason="yes", persist_us=9))
        counted = {str(node): 5 for node in (leader, *voters)}
        logs[leader].append(_event(leader, "decided", term, **here, votes=counted, quorum_us=5))
        turns = _turns(rows, offset, offset + len(data))
        logs[leader].append(
            _event(leader, "grant", term, round=index, turn=0, attempt=0, turns=turns, more=0, absent=[], reason="")
        )
        for node in sorted({turn[0] for turn in turns}):
            own = [[number, first, end] for number, (writer, _, first, end) in enumerate(turns) if writer == node]
            logs[node].append(_event(node, "turn", term, round=index, attempt=0, turns=own, position=own[-1][2]))
        offset += len(data)
        logs[leader].append(_event(leader, "written", term, round=index, position=offset, late={}, took_us=9))
    for node in range(NODES):
        logs[node].append(_event(node, "stop", term, reason="SIGTERM"))
    return logs


def book_of(logs: Logs) -> VoteBook:
    """These logs as they are read; nodes in any order."""
    return load_votes(encode(event) for node in sorted(logs, reverse=True) for event in logs[node])


def events(logs: Logs, kind: str, index: int) -> list[Event]:
    """The events of one kind about one round."""
    return [event for log in logs.values() for event in log if event["event"] == kind and event.get("round") == index]


def drop(logs: Logs, *unwanted: Event) -> None:
    """Take events away."""
    for log in logs.values():
        log[:] = [event for event in log if all(event is not other for other in unwanted)]


def _turns(rows: list[Row], start: int, end: int) -> list[list[int]]:
    turns: list[list[int]] = []
    for writer, run in groupby(rows, key=lambda row: row[0]):
        own = list(run)
        turns.append([writer, len(own), start, start + len(blocks(*own))])
        start = turns[-1][3]
    turns[-1][3] = end
    return turns


def _event(node: int, event: str, term: int, **fields: object) -> Event:
    return {"ts": 1.0, "mono": 1, "node": node, "event": event, "term": term, **fields}
