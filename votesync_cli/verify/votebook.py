"""The nodes' vote logs as evidence: who proposed, who voted, who was granted a turn and who wrote (docs/VOTELOG.md).

The order of events is that of each node's own log; no clock is read. Memory: one to two kilobytes a round. A node that
is killed loses the last lines it had not written yet, and a log may begin after the cluster did; both are known here,
so that a line that may be missing is not taken for a vote that was not given.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, NamedTuple

from node_runtime import votelog
from node_runtime.messages import MAX_NODES
from node_runtime.votelog import Event

_MOST_IN_A_BALLOT = 65_536  # rounds: a frame has 8 MiB, a round more than 128 bytes


class Ballot(NamedTuple):
    """A leader's proposal: a round of `size` bytes at `offset`; the leader holds it itself."""

    round: int
    digest: str
    term: int
    leader: int
    offset: int
    size: int
    messages: int


class Ranged(NamedTuple):
    """A vote on a later round that took this one with it; it names only the later one's digest."""

    node: int
    term: int


class Stretch(NamedTuple):
    """Neighbouring turns, from `turn` on, that one node wrote in one go under one grant: bytes [start, end)."""

    node: int
    term: int
    round: int
    attempt: int
    turn: int
    start: int
    end: int


class Granted(NamedTuple):
    """A permission: the turns from `turn` on, each three numbers of `turns` (owner, start, end); `more` are not listed."""

    leader: int
    turn: int
    turns: array[int]
    more: int


@dataclass(slots=True)
class Life:
    """One run of a node's process. `held`: the last round of its journal when it started; None where that is not logged.

    `reach` is the last round that it spoke of, `end` the highest offset that it proposed up to, `place` how far its
    granting came: its latest (term, 0) or the (term, round) of its latest grant.
    """

    held: int | None
    clean: bool = False
    reach: int = 0
    end: int = 0
    place: tuple[int, int] = (0, 0)

    def may_have_lost(self, index: int, term: int) -> bool:
        """Whether its last lines, which nobody has, may have told of a vote for round `index` of `term`."""
        return not self.clean and (index > self.reach or term > self.place[0])


@dataclass(slots=True)
class Misdeed:
    """Something that one log alone shows to be wrong; `events` are the lines."""

    what: str
    events: tuple[Event, ...]


@dataclass(slots=True)
class NodeLog:
    """One node's log, in its order."""

    lives: list[Life] = field(default_factory=list)
    term: int = 0
    granting: Event | None = None  # the grant whose round it has not reported written
    turned: tuple[int, int, int] = (0, 0, 0)  # (term, round, attempt) of its latest turn or grant


class VoteBook:
    """Everything that the rules ask of the vote logs."""

    def __init__(self) -> None:
        self.size = 0  # nodes of the cluster, 0 where no log says it
        self.logs: dict[int, NodeLog] = {}
        self.ballots: dict[int, list[Ballot]] = {}  # by round
        self.at_offset: dict[int, list[Ballot]] = {}
        self.votes: dict[tuple[int, str], int] = {}  # nodes as bits
        self.ranged: dict[int, list[Ranged]] = {}
        self.decided: dict[int, set[str]] = {}
        self.granted: dict[tuple[int, int, int], Granted] = {}
        self.leaders: dict[int, int] = {}  # by term
        self._written_by = array("q")  # `Stretch`es, one behind the other
        self.misdeeds: list[Misdeed] = []
        self.events = 0

    @property
    def majority(self) -> int:
        """How many nodes are a majority of all."""
        return self.size // 2 + 1

    # --- what may be missing ---

    def may_have_voted(self, node: int, index: int, term: int) -> bool:
        """Whether this node may have voted in `term` or later for round `index` of that term though no line says so."""
        log = self.logs.get(node)
        if log is None or log.lives[0].held is None or index <= log.lives[0].held:
            return True
        lives = log.lives
        for life, following in pairwise(lives):
            if life.may_have_lost(index, term) and index <= (following.held or 0):
                return True
        return lives[-1].may_have_lost(index, term)

    def may_have_proposed(self, offset: int) -> bool:
        """Whether a ballot at this offset may have been cast though no line says so."""
        if any(node not in self.logs for node in range(self.size)):
            return True
        for log in self.logs.values():
            if log.lives[0].held != 0 and offset < min(self.at_offset, default=offset + 1):
                return True
            if any(not life.clean and life.end <= offset for life in log.lives):
                return True
        return False

    def may_have_granted(self, term: int, index: int) -> bool:
        """Whether the leader of `term` may have granted a turn of a round though no line says so."""
        leader = self.leaders.get(term)
        log = self.logs.get(leader) if leader is not None else None
        if log is None or log.lives[0].held is None or index <= log.lives[0].held:
            return True
        return any(not life.clean and life.place[0] == term and life.place[1] < index for life in log.lives)

    # --- filling ---

    def add(self, event: Event) -> None:
        """The next event of its node's log. Fields that are not what they should be make the event count nothing."""
        node, kind = event["node"], event["event"]
        if not 0 <= node < MAX_NODES:
            return
        self.events += 1
        if kind == "start":
            self._start(event)
            return
        log = self.logs.setdefault(node, NodeLog([Life(None)]))
        term = event.get("term")
        if isinstance(term, int):
            if term < log.term:
                self._accuse(f"node {node} goes back from term {log.term} to term {term}", event)
            log.term = max(log.term, term)
            log.lives[-1].place = max(log.lives[-1].place, (log.term, 0))
        take = getattr(self, f"_{kind}", None)
        if take is not None:
            try:
                take(log, event)
            except (KeyError, TypeError, ValueError, OverflowError):
                self.events -= 1

    def _accuse(self, what: str, *events: Event) -> None:
        self.misdeeds.append(Misdeed(what, events))

    def _start(self, event: Event) -> None:
        node, held = event["node"], event.get("last")
        log = self.logs.setdefault(node, NodeLog())
        log.lives.append(Life(held if isinstance(held, int) else None))
        log.granting = None
        if isinstance(event.get("nodes"), int):
            self.size = max(self.size, event["nodes"])

    def _stop(self, log: NodeLog, event: Event) -> None:
        log.lives[-1].clean = True

    def _ballot(self, log: NodeLog, event: Event) -> None:
        ballot = Ballot(
            int(event["round"]), str(event["digest"]), int(event["term"]), int(event["node"]), int(event["offset"]),
            int(event["size"]), int(event["count"]),
        )  # fmt: skip
        self._lead(ballot.term, event)
        self.ballots.setdefault(ballot.round, []).append(ballot)
        self.at_offset.setdefault(ballot.offset, []).append(ballot)
        self._yes(ballot.round, ballot.digest, ballot.leader)
        self._reach(log, ballot.round)
        log.lives[-1].end = max(log.lives[-1].end, ballot.offset + ballot.size)

    def _vote(self, log: NodeLog, event: Event) -> None:
        first, last, node = int(event["first"]), int(event["round"]), int(event["node"])
        if not event.get("ok"):
            return
        if not last - _MOST_IN_A_BALLOT < first <= last:
            raise ValueError("no ballot is that large")
        self._yes(last, str(event["digest"]), node)
        for index in range(first, last):
            self.ranged.setdefault(index, []).append(Ranged(node, int(event["term"])))
        log.lives[-1].reach = max(log.lives[-1].reach, last)

    def _decided(self, log: NodeLog, event: Event) -> None:
        index, digest = int(event["round"]), str(event["digest"])
        self.decided.setdefault(index, set()).add(digest)
        votes = event["votes"]
        for node in votes:
            self._yes(index, digest, int(node))
        self._reach(log, index)

    def _grant(self, log: NodeLog, event: Event) -> None:
        key = (int(event["term"]), int(event["round"]), int(event["attempt"]))
        turns = array("q", [int(cell) for owner, _, start, end in event["turns"] for cell in (owner, start, end)])
        granted = Granted(int(event["node"]), int(event["turn"]), turns, int(event["more"]))
        self._lead(key[0], event)
        if key in self.granted:
            self._accuse(f"attempt {key[2]} of round {key[1]} was granted twice in term {key[0]}", event)
        elif key <= log.turned:
            self._accuse(f"round {key[1]} was granted after a later grant of the same leader", event)
        elif self._overlaps(log, key):
            assert log.granting is not None
            self._accuse(f"round {key[1]} was granted while round {log.granting['round']} was not written", log.granting, event)
        self.granted[key] = granted
        log.granting = event
        log.turned = key
        self._reach(log, key[1])
        log.lives[-1].place = max(log.lives[-1].place, key[:2])

    def _overlaps(self, log: NodeLog, key: tuple[int, int, int]) -> bool:
        """Whether an earlier round is still being written; of a round that another leader proposed the end is not logged."""
        before = log.granting
        if before is None or before["term"] != key[0] or before["round"] == key[1]:
            return False
        return any(ballot.term == key[0] for ballot in self.ballots.get(before["round"], ()))

    def _written(self, log: NodeLog, event: Event) -> None:
        if log.granting is not None and int(event["round"]) >= log.granting["round"]:
            log.granting = None

    def _repair(self, log: NodeLog, event: Event) -> None:
        log.granting = None

    def _turn(self, log: NodeLog, event: Event) -> None:
        key = (int(event["term"]), int(event["round"]), int(event["attempt"]))
        stretches = [(event["node"], *key, int(number), int(start), int(end)) for number, start, end in event["turns"]]
        self._written_by.extend(array("q", chain.from_iterable(stretches)))
        if key < log.turned:
            self._accuse(f"node {event['node']} wrote under a grant after it knew of a newer one", event)
        log.turned = max(log.turned, key)
        self._reach(log, key[1])

    def _lead(self, term: int, event: Event) -> None:
        leader = self.leaders.setdefault(term, event["node"])
        if leader != event["node"]:
            self._accuse(f"nodes {leader} and {event['node']} both led term {term}", event)

    def _reach(self, log: NodeLog, index: int) -> None:
        log.lives[-1].reach = max(log.lives[-1].reach, index)

    def _yes(self, index: int, digest: str, node: int) -> None:
        if not 0 <= node < MAX_NODES:
            raise ValueError("no such node")
        key = (index, digest)
        self.votes[key] = self.votes.get(key, 0) | 1 << node

    # --- telling ---

    def stretches(self) -> Iterator[Stretch]:
        """What was written, node by node in the order of its log."""
        columns = [iter(self._written_by)] * len(Stretch._fields)
        return map(Stretch._make, zip(*columns, strict=True))

    def about(self, index: int) -> Iterator[Mapping[str, Any]]:
        """What the logs say about one round, as short events."""
        for ballot in self.ballots.get(index, ()):
            yield {"event": "ballot", **ballot._asdict()}
            voters = nodes_of(self.votes.get((index, ballot.digest), 0))
            decided = ballot.digest in self.decided.get(index, ())
            votes = {"yes": voters, "of": self.size, "decided": decided}
            yield {"event": "votes", "round": index, "digest": ballot.digest, **votes}
        for vote in self.ranged.get(index, ()):
            yield {"event": "vote", "round": index, **vote._asdict()}
        for stretch in self.stretches():
            if stretch.round == index:
                yield {"event": "turn", **stretch._asdict()}


def nodes_of(bits: int) -> list[int]:
    """The nodes of a set of bits, ascending."""
    return [node for node in range(bits.bit_length()) if bits >> node & 1]


class Makings:
    """Tells how often a node's cluster had been made anew when it said something: it had rounds and starts with none."""

    def __init__(self) -> None:
        self._made: dict[int, int] = {}
        self._reached: dict[int, int] = {}

    def of(self, event: Event) -> int:
        """0, or how many times `up --fresh` was told before; events of a node are given in the order of its log."""
        node, index = event["node"], event.get("round", 0)
        if event["event"] == "start" and event.get("last") == 0 and not event.get("recovering") and self._reached.get(node):
            self._made[node], self._reached[node] = self._made.get(node, 0) + 1, 0
        self._reached[node] = max(self._reached.get(node, 0), index if isinstance(index, int) else 0)
        return self._made.get(node, 0)


def load_votes(lines: Iterable[bytes]) -> VoteBook:
    """Read vote logs: the lines of each node in the order of its log, those of different nodes in any.

    What `docker compose logs` puts before a line is passed over, and so is any line that is no event. A node that had
    rounds and starts with none was made anew (`up --fresh`): what the logs say of the cluster before is forgotten.
    """
    book, newest, makings = VoteBook(), 0, Makings()
    for line in lines:
        event = votelog.decode(line[max(0, line.find(b"{")) :])
        if event is None:
            continue
        making = makings.of(event)
        if making > newest:
            book, newest = VoteBook(), making
        if making == newest:
            book.add(event)
    return book
