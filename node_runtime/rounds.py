"""The rules of a round: how it is gathered and sorted, how a node checks it, and whose turns it has.

A round is sorted by (time, node, session, seq). Sorting never breaks a session: a message that would stand before
its session's previous one waits for the next round (DESIGN section 4).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from itertools import accumulate, groupby, islice
from operator import attrgetter, le

from node_runtime.codec import encode_round, messages_of
from node_runtime.log import Point
from node_runtime.messages import Message, No, NodeId, Policy, Round, Turn
from node_runtime.records import SEPARATOR
from node_runtime.sessions import SessionTable

MAX_ROUND_BYTES = 1024 * 1024

_node_of = attrgetter("node")
_block_of = attrgetter("block")


class Gathering:
    """The leader's pool: messages of all nodes that are not yet in a round, each session in its order."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Message]] = {}
        self._nodes: Counter[NodeId] = Counter()
        self.count = 0

    def offer(self, messages: Iterable[Message], sessions: SessionTable) -> int:
        """Take what continues its session; drop doubles and what comes after a gap (it is sent again, rule 36).

        Returns how many were taken.
        """
        taken: list[Message] = []
        queues = self._queues
        for message in messages:
            queue = queues.get(message.session)
            if queue is None:
                if message.seq != sessions.last(message.session) + 1:
                    continue
                queues[message.session] = deque((message,))
            elif message.seq == queue[-1].seq + 1:
                queue.append(message)
            else:
                continue
            taken.append(message)
        self._nodes.update(map(_node_of, taken))
        self.count += len(taken)
        return len(taken)

    def has_all(self, nodes: Iterable[NodeId]) -> bool:
        """Whether each of these nodes has a message here."""
        return all(self._nodes[node] > 0 for node in nodes)

    def take(self, most: int) -> list[Message]:
        """Remove and return the sorted messages of the next round, at most `most` and `MAX_ROUND_BYTES`."""
        share = max(1, most // max(1, len(self._queues)))
        room = MAX_ROUND_BYTES
        chosen: list[Message] = []
        for session in list(self._queues):
            queue = self._queues[session]
            run = _sorted_start(queue, min(share, most - len(chosen)))
            size = sum(map(len, map(_block_of, run)))
            while size > room and (len(run) > 1 or chosen):
                size -= len(run.pop().block)
            if not run:
                break
            for _ in run:
                queue.popleft()
            room -= size
            chosen += run
            if not queue:
                del self._queues[session]
            if len(chosen) >= most:
                break
        self._nodes.subtract(Counter(map(_node_of, chosen)))
        self.count -= len(chosen)
        chosen.sort()
        return chosen


def _sorted_start(queue: deque[Message], most: int) -> list[Message]:
    """The first messages of a session, as far as sorting leaves them in their order."""
    run = list(islice(queue, most))
    if not all(map(le, run, islice(run, 1, None))):
        return run[: next(at for at in range(1, len(run)) if run[at] < run[at - 1])]
    return run


def build_round(last: Point, term: int, policy: Policy, messages: list[Message]) -> Round:
    """The round that follows `last`; without messages it is a no-op (rule 10)."""
    return encode_round(last.index + 1, term, last.digest, policy, last.end, messages)


def check_round(round_: Round, last: Point, sessions: SessionTable) -> No:
    """What a node checks before it votes; `No.YES` when all is well."""
    if round_.index != last.index + 1:
        return No.GAP
    if round_.parent != last.digest or round_.term < last.term:
        return No.PARENT
    if round_.offset != last.end:
        return No.OFFSET
    if not is_sorted(round_):
        return No.UNSORTED
    if not sessions.continues(round_):
        return No.SESSION
    return No.YES


def is_sorted(round_: Round) -> bool:
    """Whether the messages ascend by (time, node, session, seq), the total order of a round (rule 50)."""
    times = round_.times
    if not all(map(le, times, islice(times, 1, None))):
        return False
    if len(set(times)) == len(times):
        return True
    keys = [message[:4] for message in messages_of(round_)]
    return all(map(le, keys, islice(keys, 1, None)))


def turns_of(round_: Round) -> tuple[Turn, ...]:
    """The turns of a round, computed from the round alone, so that every node knows them.

    `Policy.TURNS`: a turn is a run of neighbouring messages of one node. `Policy.WINNER`: the node with the
    earliest message writes all. The last turn writes the separator too.
    """
    if not round_.size:
        return ()
    if round_.policy is Policy.WINNER:
        return (Turn(0, round_.nodes[0], 0, round_.count, round_.offset, round_.end),)
    ends = list(accumulate(round_.lengths, initial=round_.offset))
    turns: list[Turn] = []
    first = 0
    for number, (writer, run) in enumerate(groupby(round_.nodes)):
        last = first + sum(1 for _ in run)
        turns.append(Turn(number, writer, first, last, ends[first], ends[last]))
        first = last
    turns[-1] = turns[-1]._replace(end=round_.end)
    return tuple(turns)


def turn_bytes(round_: Round, turn: Turn) -> bytes:
    """The bytes that a turn writes at its start."""
    data = round_.blocks[turn.start - round_.offset : turn.end - round_.offset]
    return data + SEPARATOR if turn.end == round_.end else data


def summary(round_: Round) -> dict[str, list[int]]:
    """Messages per node with their earliest time, for the vote log: {node: [count, earliest time]}."""
    counts = Counter(round_.nodes)
    earliest: dict[NodeId, int] = {}
    for node, time in zip(round_.nodes, round_.times, strict=True):
        if node not in earliest:
            earliest[node] = time
            if len(earliest) == len(counts):
                break
    return {str(node): [counts[node], earliest[node]] for node in sorted(counts)}
