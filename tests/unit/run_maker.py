"""A small made-up run as it is left on disk: vote logs, histories and the shared file, that agree with one another.

Time is a counter in microseconds, so the same calls give the same bytes; nothing is decided here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_runtime.records import native_block, render_round
from node_runtime.votelog import EVENTS
from votesync_cli.recorded import Recorded, recorded

EPOCH = 1_700_000_000_000_000  # Unix microseconds at the zero of the clock
BOOT = "made"


@dataclass(slots=True)
class RunMaker:
    """The run. `now` is the monotonic clock; node 0 leads until `elect` says otherwise."""

    nodes: int = 5
    now: int = 1_000_000
    term: int = 1
    leader: int = 0
    index: int = 1
    logs: dict[int, list[str]] = field(default_factory=dict)
    histories: dict[str, list[str]] = field(default_factory=dict)
    seqs: dict[str, int] = field(default_factory=dict)
    file: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.logs = {node: [] for node in range(self.nodes)}
        for node in range(self.nodes):
            self.say(node, "start", term=0, version=1, cluster="made", nodes=self.nodes, pid=1, last=0, writer="turns")
        self.elect(0, first=True)

    def say(self, node: int, event: str, *, term: int | None = None, at: int | None = None, **fields: object) -> None:
        """One line of a node's log."""
        assert set(fields) <= set(EVENTS[event])
        mono = self.now if at is None else at
        head = {"ts": (EPOCH + mono) / 1e6, "mono": mono, "node": node, "event": event}
        self.logs[node].append(json.dumps(head | fields | {"term": self.term if term is None else term}))

    def note(self, session: str, event: str, **fields: object) -> None:
        """One line of a client's history."""
        lines = self.histories.setdefault(session, [])
        if not lines:
            begin = {"event": "begin", "session": session, "from": 1, "to": 50, "boot": BOOT}
            lines.append(json.dumps(begin | {"ts": (EPOCH + self.now) / 1e6, "mono": self.now}))
        lines.append(json.dumps({"event": event, "session": session, **fields, "mono": self.now}))

    def elect(self, winner: int, *, first: bool = False) -> None:
        """Another leader."""
        self.term += not first
        self.say(winner, "election", pre=False)
        for node in range(self.nodes):
            if node != winner:
                self.now += 300
                self.say(node, "voted", candidate=winner)
        self.say(winner, "leader", votes=list(range(self.nodes // 2 + 1)), took_us=300 * self.nodes)
        for node in range(self.nodes):
            if node != winner:
                self.now += 100
                self.say(node, "follow", leader=winner)
        self.leader = winner
        self.index += not first

    def send(self, session: str, node: int) -> tuple[int, str, int, int]:
        """A client sends its next message; returns what `round` takes."""
        self.now += 1000
        seq = self.seqs[session] = self.seqs.get(session, 0) + 1
        time = EPOCH + self.now
        self.note(session, "invoke", seq=seq, time=time, text=str(seq), node=node)
        return (time, session, node, seq)

    def round(self, *messages: tuple[int, str, int, int], stalls: bool = False, no: int | None = None) -> int:
        """The messages are proposed, decided, written in turns, acknowledged; `stalls`: the first writer does not write."""
        self.index += 1
        rows = sorted(messages)
        blocks = [native_block(node, session, time, str(seq)) for time, session, node, seq in rows]
        offset = len(self.file)
        turns: list[list[int]] = []
        for place, (row, block) in enumerate(zip(rows, blocks, strict=True)):
            start = turns[-1][3] if turns else offset
            end = start + len(block) + (57 if place == len(rows) - 1 else 0)
            turns.append([row[2], 1, start, end])
        self.file += render_round(blocks)
        ballot = self._vote(rows, offset, no)
        self._write(turns, ballot, stalls=stalls)
        for _, session, _, seq in rows:
            self.now += 150
            self.note(session, "ok", seq=seq, round=self.index, offset=offset)
        return self.index

    def _vote(self, rows: list[tuple[int, str, int, int]], offset: int, no: int | None) -> int:
        digest = hashlib.blake2b(f"{self.term}/{self.index}".encode(), digest_size=8).hexdigest()
        self.now += 2000
        start = self.now
        gathered = {str(row[2]): [1, row[0]] for row in rows}
        self.say(
            self.leader, "ballot", at=start + 900, round=self.index, digest=digest, count=len(rows), offset=offset,
            size=len(self.file) - offset, messages=gathered,
        )  # fmt: skip
        counted = {str(self.leader): 900}
        late: dict[str, int] = {}
        enough = self.nodes // 2
        for node in (node for node in range(self.nodes) if node != self.leader):
            self.now += 500
            told: dict[str, Any] = {"first": self.index, "round": self.index, "digest": "" if node == no else digest}
            reason = "session" if node == no else "yes"
            self.say(node, "vote", **told, ok=node != no, reason=reason, persist_us=300)
            if node != no:
                (counted if len(counted) <= enough else late)[str(node)] = self.now - start + 200
        quorum = max(counted.values())
        self.say(
            self.leader, "decided", at=start + quorum, round=self.index, digest=digest, votes=counted, quorum_us=quorum
        )
        self.now = start + max([quorum, *late.values()]) + 100
        self._late = late
        return start

    _late: dict[str, int] = field(default_factory=dict)

    def _write(self, turns: list[list[int]], ballot: int, *, stalls: bool) -> None:
        grant: dict[str, Any] = {"round": self.index, "turn": 0, "turns": turns, "more": 0}
        self.say(self.leader, "grant", **grant, attempt=0, absent=[], reason="")
        writers = list(range(len(turns)))
        if stalls:
            self.now += 250_000
            self.say(self.leader, "timeout", round=self.index, turn=0, writer=turns[0][0], waited_us=250_000)
            others = [node for node in range(self.nodes) if node != self.leader]
            self.say(self.leader, "grant", **grant, attempt=1, absent=others, reason="timeout")
            self.now += 400
            told = [[0, turns[0][2], turns[-1][3]]]
            self.say(self.leader, "turn", round=self.index, attempt=1, turns=told, position=turns[-1][3])
            writers = []
        for number in writers:
            self.now += 400
            row = turns[number]
            self.say(row[0], "turn", round=self.index, attempt=0, turns=[[number, row[2], row[3]]], position=row[3])
        self.now += 200
        took = self.now - ballot
        self.say(self.leader, "written", round=self.index, position=turns[-1][3], late=self._late, took_us=took)

    def fault(self, node: int, kind: str, us: int) -> None:
        """A fault on a node's links for a while, in which nothing else happens."""
        detail = {"id": 1, "kind": kind, "from": [node], "to": [0], "amount": 0.0}
        self.say(node, "fault", fault=kind, detail=detail)
        self.now += us
        self.say(node, "heal", fault=kind)

    def recorded(self) -> Recorded:
        """The run as `explain` and `timeline` read it."""
        logs = [self.logs[node] for node in sorted(self.logs)]
        return recorded(logs, ([line.encode() for line in lines] for lines in self.histories.values()))

    def lines(self) -> list[bytes]:
        """The shared file's."""
        return bytes(self.file).splitlines(keepends=True)

    def keep(self, directory: Path) -> Path:
        """Write it down as a kept run."""
        (directory / "votes").mkdir(parents=True)
        (directory / "history").mkdir()
        for node, lines in self.logs.items():
            (directory / "votes" / f"cluster_sync_{node + 1}.log").write_text("\n".join(lines) + "\n", "utf-8")
        for session, lines in self.histories.items():
            (directory / "history" / f"client_{session}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        (directory / "output.txt").write_bytes(self.file)
        return directory


def story() -> RunMaker:
    """A bit of everything: plain rounds, a vote against, a fault, a turn that stalls, an election, another round."""
    maker = RunMaker()
    maker.round(*(maker.send(str(node), node) for node in (1, 0, 3)))
    maker.round(*(maker.send(str(node), node) for node in (0, 4)), no=2)
    maker.fault(3, "cut", 20_000)
    maker.round(*(maker.send(str(node), node) for node in (3, 1)), stalls=True)
    maker.say(0, "step_down", reason="node 2 is in term 2")
    maker.elect(2)
    maker.round(maker.send("2", 2))
    return maker
