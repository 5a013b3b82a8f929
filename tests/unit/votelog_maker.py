"""A small made-up cluster that writes vote logs exactly as `votelog.EVENTS` says: same calls, same logs.

It decides nothing: a test calls `elect`, `burst`, `kill`, `restart` and gets each node's log. Time is a counter; each
node's clock may be wrong by a constant (`skew`, seconds), as clocks are.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from node_runtime.votelog import EVENTS, Event

EPOCH = 1_700_000_000.0


@dataclass(slots=True)
class Made:
    """One round of the made-up log."""

    index: int
    digest: str
    offset: int
    size: int
    messages: dict[int, tuple[int, int]]
    turns: list[list[int]]


@dataclass(slots=True)
class LogMaker:
    """The cluster. `logs` holds what each node wrote, in its order."""

    nodes: int = 5
    skew: Sequence[float] = ()
    seed: int = 1
    logs: dict[int, list[Event]] = field(default_factory=dict)
    alive: set[int] = field(default_factory=set)
    now: float = 0.0
    term: int = 0
    leader: int | None = None
    index: int = 0
    end: int = 0
    inherited: int = 0
    terms: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)
    random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.random.seed(self.seed)
        self.logs = {node: [] for node in range(self.nodes)}
        self.terms = dict.fromkeys(range(self.nodes), 0)
        self.last = dict.fromkeys(range(self.nodes), 0)
        for node in range(self.nodes):
            self.start(node)

    def say(self, node: int, event: str, **fields: object) -> None:
        """One event in a node's log, a little later than the last; a node that is down says nothing."""
        assert set(fields) <= set(EVENTS[event]), f"{event} has no field {set(fields) - set(EVENTS[event])}"
        self.now += 0.0002
        if node in self.alive:
            skew = self.skew[node] if node < len(self.skew) else 0.0
            ts = round(EPOCH + self.now + skew, 6)
            head = {"ts": ts, "mono": int(self.now * 1e6), "node": node, "event": event, "term": self.terms[node]}
            self.logs[node].append({**head, **fields})

    def start(self, node: int) -> None:
        """A node comes up with what its journal holds."""
        self.alive.add(node)
        last = self.last[node]
        self.say(
            node, "start", version="0.1.0", cluster="made", nodes=self.nodes, pid=100 + node, writer="turns",
            decided=last, last=last, synced=0, recovering=False,
        )  # fmt: skip
        if self.leader in self.alive and self.term:
            self.follow(node)

    def follow(self, node: int) -> None:
        """A node hears of the leader, unless it had before."""
        if node != self.leader and node in self.alive and self.terms[node] < self.term:
            self.terms[node] = self.term
            self.say(node, "follow", leader=self.leader)

    def kill(self, node: int) -> None:
        """SIGKILL: the node says nothing more, the others lose it."""
        self.alive.discard(node)
        for peer in sorted(self.alive):
            self.say(peer, "peer_down", peer=node, reason="connection lost")

    def elect(self, winner: int) -> None:
        """Somebody that is up wins the next term, decides a no-op, and compares the file up to what it inherited."""
        old = self.leader
        self.say(winner, "election", pre=True)
        self.term = self.terms[winner] = self.term + 1
        self.say(winner, "election", pre=False)
        if old in self.alive and old != winner and old is not None:
            self.say(old, "step_down", reason=f"node {winner} asks for votes of term {self.term}")
        self.leader = winner
        voters = [node for node in sorted(self.alive) if node != winner]
        for node in voters:
            self.terms[node] = self.term
            self.say(node, "voted", candidate=winner)
        self.say(winner, "leader", votes=sorted([winner, *voters]), took_us=4100)
        for node in voters:
            self.say(node, "follow", leader=winner)
        self.index += 1  # the no-op, which is not logged
        self.say(winner, "repair", start=self.inherited, end=self.end, changed=0)
        self.inherited = self.end

    def make(self) -> Made:
        """The next round: a few messages of a few nodes, and their turns."""
        who = sorted(self.random.sample(range(self.nodes), self.random.randint(1, self.nodes)))
        messages = {node: (self.random.randint(1, 3), 368_000 + self.random.randrange(9_000)) for node in who}
        self.index += 1
        offset, turns = self.end, []
        for node, (many, _) in sorted(messages.items(), key=lambda item: item[1][1]):
            turns.append([node, many, self.end, self.end + 60 * many])
            self.end += 60 * many
        self.end += 57
        turns[-1][3] = self.end
        digest = hashlib.blake2b(f"{self.term}/{self.index}".encode(), digest_size=8).hexdigest()
        return Made(self.index, digest, offset, self.end - offset, messages, turns)

    def ballot(self, made: Made) -> None:
        """The leader proposes."""
        assert self.leader is not None
        messages = {str(node): list(row) for node, row in made.messages.items()}
        self.say(
            self.leader, "ballot", round=made.index, digest=made.digest, count=sum(m for m, _ in made.messages.values()),
            offset=made.offset, size=made.size, messages=messages,
        )  # fmt: skip
        self.last[self.leader] = made.index

    def votes(self, made: Made, silent: Collection[int] = (), no: Collection[int] = ()) -> list[int]:
        """The followers that are up vote; returns those that said yes. Who missed rounds takes them all at once."""
        yes = []
        for node in sorted(self.alive - {self.leader} - set(silent)):
            self.follow(node)
            if node in no:
                self.say(node, "vote", first=made.index, round=made.index, digest="", ok=False, reason="session")
                continue
            first = min(self.last[node] + 1, made.index)
            self.say(
                node, "vote", first=first, round=made.index, digest=made.digest, ok=True, reason="yes",
                persist_us=self.random.randint(200, 900),
            )  # fmt: skip
            self.last[node] = made.index
            yes.append(node)
        return yes

    def decide(self, made: Made, yes: Sequence[int]) -> tuple[int, ...]:
        """The leader decides with as few votes as it takes; returns the late ones."""
        assert self.leader is not None
        enough = self.nodes // 2
        votes = {str(self.leader): 310, **{str(node): 600 + 150 * place for place, node in enumerate(yes[:enough])}}
        self.say(self.leader, "decided", round=made.index, digest=made.digest, votes=votes, quorum_us=600 + 150 * (enough - 1))
        return tuple(yes[enough:])

    def write(self, made: Made, late: Sequence[int] = (), stalls: int | None = None) -> None:
        """The turns; `stalls` is a writer whose turn times out and is granted to the leader."""
        assert self.leader is not None
        absent = [turn[0] for turn in made.turns if turn[0] not in self.alive]
        grant = {"round": made.index, "more": 0}
        self.say(self.leader, "grant", **grant, turn=0, attempt=0, turns=made.turns, absent=absent, reason="")
        at = next((number for number, turn in enumerate(made.turns) if turn[0] == stalls), None)
        if at is not None and stalls != self.leader:
            self.now += 0.25
            self.say(self.leader, "timeout", round=made.index, turn=at, writer=stalls, waited_us=250_300)
            others = [node for node in range(self.nodes) if node != self.leader]
            again = {"turn": at, "attempt": 1, "turns": made.turns[at:], "absent": others, "reason": "timeout"}
            self.say(self.leader, "grant", **grant, **again)
        late_us = {str(node): 2100 + 100 * node for node in late}
        self.say(self.leader, "written", round=made.index, position=self.end, late=late_us, took_us=2900)
        self.inherited = made.offset + made.size

    def burst(
        self, rounds: int = 1, *, silent: Collection[int] = (), no: Collection[int] = (), stalls: int | None = None
    ) -> None:
        """Some rounds, all stages of them overlapping: proposed one after the other, then decided, then written."""
        made = []
        for _ in range(rounds):
            made.append(self.make())
            self.ballot(made[-1])
        late = [self.decide(each, self.votes(each, silent, no)) for each in made]
        for each, slow in zip(made, late, strict=True):
            self.write(each, slow, stalls)

    def die_half_way(self, *, decided: bool, logged: bool = True) -> None:
        """The leader dies with a round proposed (its ballot in its log or not), perhaps decided, not written."""
        assert self.leader is not None
        made = self.make()
        if logged:
            self.ballot(made)
        yes = self.votes(made)
        if decided:
            self.decide(made, yes)
        self.kill(self.leader)

    def propose_in_vain(self, rounds: int = 1) -> None:
        """The leader, cut off, proposes rounds that nobody hears; the next leader decides others in their place."""
        assert self.leader is not None
        index, end, last = self.index, self.end, self.last[self.leader]
        for _ in range(rounds):
            self.ballot(self.make())
        self.index, self.end, self.last[self.leader] = index, end, last

    def merged(self) -> list[Event]:
        """All logs in the order in which the events happened."""
        return sorted((event for log in self.logs.values() for event in log), key=lambda event: (event["mono"], event["node"]))
