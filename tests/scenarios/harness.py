"""A few cores joined by a fake network, one shared file and a clock that only the test moves; what was said is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from node_runtime.codec import rendered
from node_runtime.consensus import Core
from node_runtime.log import Log
from node_runtime.messages import Ballot, Message, PeerMessage, Policy, Round
from node_runtime.state import (
    Compare,
    Compared,
    FileShort,
    FileSynced,
    Follower,
    HardState,
    Input,
    Leader,
    Output,
    Persisted,
    Received,
    Submitted,
    Timing,
    TurnDone,
)

MILLI = 1000
TIMING = Timing(400 * MILLI, 800 * MILLI, 80 * MILLI, 250 * MILLI, 10 * MILLI, 5000 * MILLI)


class Peer:
    """One core, and its journal, its clients' answers and its vote log; it obeys the core as `Duties` does."""

    def __init__(self, group: Group, me: int, hard: HardState, journal: Iterable[Round], decided: int, synced: int) -> None:
        self.group, self.me, self.hard, self.journal = group, me, hard, list(journal)
        self.acks: list[tuple[Any, str, int, int | None, int | None]] = []
        self.failures: list[tuple[Any, str, int, str]] = []
        self.events: list[dict[str, Any]] = []
        log = Log(lambda first, most: self.journal[first - 1 : first])
        for round_ in self.journal:
            log.restore(round_)
        log.restored(decided)
        draw = lambda low, high: min(high, low + me * 20 * MILLI)  # noqa: E731 - node 0 is always the first to stand
        nodes = range(group.nodes)
        self.core = Core(me, nodes, group.policy, TIMING, hard, log, draw, group.now, synced=synced, **group.options)
        self.state = self.core.state

    def feed(self, *inputs: Input) -> None:
        """Step and obey until nothing is owed."""
        owed = self.obey(self.core.step(self.group.now, inputs))
        while owed:
            owed = self.obey(self.core.step(self.group.now, owed))

    def obey(self, out: Output) -> list[Input]:
        """Do what an output says, in the order of its fields."""
        back: list[Input] = []
        self.hard = out.state[-1] if out.state else self.hard
        self.group.send(self.me, out.early)
        if out.rounds:
            self.journal[out.rounds[0].index - 1 :] = out.rounds
            back.append(Persisted(out.rounds[-1].index, out.rounds[-1].term))
        self.group.send(self.me, out.replies)
        back += [TurnDone(write, self.group.put(write.start, write.data)) for write in out.writes]
        back += [self._compare(order) for order in out.compare]
        self.acks += [(client, session, *row) for client, session, rows in out.acks for row in rows]
        self.failures += out.failures
        back += [FileSynced(index) for index in out.sync]
        back += [FileShort() for end in out.check if len(self.group.file) < end]
        self.events += out.trace
        return back

    @property
    def leading(self) -> Leader:
        """What it holds as a leader, decided in office or not."""
        assert isinstance(self.state.role, Leader)
        return self.state.role

    @property
    def deadline(self) -> int:
        """When it stands for election."""
        assert not isinstance(self.state.role, Leader)
        return self.state.role.deadline

    def patience(self, until: int) -> None:
        """It stands for election at this tick and hears no leader until then."""
        assert not isinstance(self.state.role, Leader)
        self.state.role.deadline = until
        if isinstance(self.state.role, Follower):
            self.state.role.heard = -(1 << 40)

    def _compare(self, order: Compare) -> Compared:
        log, file = self.state.log, self.group.file
        after = min(order.after, log.find_offset(len(file)))
        rounds = [log.round(index) for index in range(after + 1, order.upto + 1)]
        changed = sum(round_.size for round_ in rounds if file[round_.offset : round_.end] != rendered(round_))
        for round_ in rounds:
            self.group.put(round_.offset, rendered(round_))
        return Compared(after, order.upto, changed)


class Group:
    """The nodes and all that is between them: `drop` decides what is lost; nodes in `asleep` are paused."""

    def __init__(self, nodes: int = 3, policy: Policy = Policy.TURNS, **options: int) -> None:
        self.nodes, self.policy, self.options, self.now = nodes, policy, options, 0
        self.file = bytearray()
        self.wire: list[tuple[int, int, PeerMessage]] = []
        self.said: list[tuple[int, int, PeerMessage]] = []
        self.asleep: set[int] = set()
        self.drop: Callable[[int, int, PeerMessage], bool] = lambda sender, receiver, message: False
        self.peers = [Peer(self, me, HardState(), (), 0, 0) for me in range(nodes)]

    def restart(self, me: int, **changes: Any) -> Peer:
        """A node starts with what it had made durable, or with what the test says."""
        old = self.peers[me]
        kept = {"hard": old.hard, "journal": old.journal, "decided": old.state.log.decided, "synced": old.state.synced}
        self.peers[me] = Peer(self, me, **{**kept, **changes})
        return self.peers[me]

    def send(self, sender: int, messages: Iterable[tuple[int, PeerMessage]]) -> None:
        """Put on the wire what is not lost."""
        for receiver, message in messages:
            self.said.append((sender, receiver, message))
            if not self.drop(sender, receiver, message):
                self.wire.append((sender, receiver, message))

    def put(self, start: int, data: bytes) -> bool:
        """Write into the shared file; whether it is too short for that."""
        if len(self.file) >= start:
            self.file[start : start + len(data)] = data
        return len(self.file) < start

    def deliver(self) -> None:
        """Hand over all that is on the wire, and what is said to that, but nothing to those who sleep."""
        def ready() -> int | None:
            return next((at for at, item in enumerate(self.wire) if item[1] not in self.asleep), None)

        while (at := ready()) is not None:
            sender, receiver, message = self.wire.pop(at)
            self.peers[receiver].feed(Received(sender, message))

    def advance(self, millis: float) -> None:
        """Let time pass; every node that is awake is woken at its deadlines."""
        self.deliver()
        end = self.now + int(millis * MILLI)
        while self.now < end:
            awake = [peer for peer in self.peers if peer.me not in self.asleep]
            due = min((peer.core.deadline() for peer in awake), default=end)
            self.now = min(end, max(due, self.now + MILLI))
            for peer in awake:
                peer.feed()
            self.deliver()

    def elect(self, me: int = 0) -> Peer:
        """Node `me` becomes the leader, before anybody else's time is up."""
        for peer in self.peers:
            peer.patience(self.now + (0 if peer.me == me else 10_000 * MILLI))
        self.peers[me].feed()
        self.deliver()
        assert self.peers[me].state.leads
        return self.peers[me]

    def submit(self, me: int, *messages: Message, client: Any = "client") -> None:
        """A client of a node sends these at once."""
        self.peers[me].feed(Submitted(list(messages), client))

    @property
    def leaders(self) -> list[int]:
        """Who leads, each in its own mind."""
        return [peer.me for peer in self.peers if peer.state.leads]


def solo(
    me: int = 0, nodes: int = 3, *, term: int = 0, voted_for: int | None = None, recovering: bool = False,
    journal: Iterable[Round] = (), decided: int = 0, synced: int = 0, **options: int,
) -> Peer:  # fmt: skip
    """One core alone, with this behind it; what it says stays on the wire of `group`."""
    group = Group(nodes, Policy.TURNS, **options)
    return group.restart(
        me, hard=HardState(term, voted_for, recovering), journal=list(journal), decided=decided, synced=synced
    )


def step(peer: Peer, *received: tuple[int, PeerMessage]) -> Output:
    """One step of a core with what it receives; nothing of the output is done."""
    return peer.core.step(peer.group.now, [Received(sender, message) for sender, message in received])


def heartbeat(leader_log: Log, term: int, *rounds: Round, request: int = 1, decided: int = 0, written: int = 0) -> Ballot:
    """A ballot of the leader that has this log: `rounds` follow its end."""
    last = leader_log.last
    return Ballot(term, request, last.index, last.term, last.digest, decided, written, 0, rounds)
