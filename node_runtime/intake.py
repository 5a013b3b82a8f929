"""A node's own queue: what its clients sent and nobody has decided and written yet.

Messages stay here until their round is decided and in the file; they are handed to the leader again after each
change of leader and, when nothing moves, from time to time. A repeat does no harm (rule 35).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby, islice, repeat
from operator import attrgetter
from typing import Any, NamedTuple

from node_runtime.messages import Message, Round, Row
from node_runtime.sessions import Place, SessionTable

Rows = list[Row]


class Pending(NamedTuple):
    """One message that waits, whom the answer goes to, and since when (ticks)."""

    message: Message
    client: Any
    since: int


_client_of = attrgetter("client")
_seq_of = attrgetter("seq")
_session_of = attrgetter("session")
_pending = Pending._make


@dataclass(slots=True)
class _Cursor:
    """How far a round is settled, while its turns are written one after the other."""

    index: int
    number: int
    offset: int
    wanted: list[deque[Pending] | None]
    seqs: list[int]

    def advance(self, round_: Round, last: int) -> dict[int, list[int]]:
        """Where the messages up to `last` stand in the file, for each session that is wanted."""
        first, self.number = self.number, max(last, self.number)
        offsets = list(accumulate(round_.lengths[first:last], initial=self.offset))
        self.offset = offsets.pop()
        if len(self.wanted) == 1:
            return {0: offsets}
        found: defaultdict[int, list[int]] = defaultdict(list)
        for place, offset in zip(round_.session_of[first:last], offsets, strict=True):
            if self.wanted[place] is not None:
                found[place].append(offset)
        return found


def is_run(messages: Sequence[Message]) -> bool:
    """Whether these are some messages of one session with consecutive numbers."""
    if not messages:
        return False
    first, count = messages[0].seq, len(messages)
    return list(map(_seq_of, messages)) == list(range(first, first + count)) and len(set(map(_session_of, messages))) == 1


class Intake:
    """Messages in order, a queue a session."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queues: dict[str, deque[Pending]] = {}
        self._cursor: _Cursor | None = None
        self.outbox: list[Message] = []
        self.count = 0
        self.moved = 0

    @property
    def full(self) -> bool:
        """Whether no more is to be read from clients."""
        return self.count >= self._most

    def add(self, message: Message, client: Any, place: Place, now: int) -> int | None:
        """Queue a message behind its session's others, or put a new client to one that is queued already.

        Returns None, or the sequence number that is expected instead where there is a gap (rule 36).
        """
        queue = self._queues.get(message.session)
        if not queue:
            if message.seq > place.last + 1:
                return place.last + 1
            if queue is None:
                queue = self._queues[message.session] = deque()
        else:
            expected = queue[-1].message.seq + 1
            if message.seq > expected:
                return expected
            position = message.seq - queue[0].message.seq
            if position < 0:
                return queue[0].message.seq
            if message.seq < expected:
                queue[position] = Pending(queue[position].message, client, now)
                return None
        queue.append(Pending(message, client, now))
        if not self.count:
            self.moved = now
        self.count += 1
        self.outbox.append(message)
        return None

    def extend(self, run: Sequence[Message], client: Any, place: Place, now: int) -> bool:
        """Queue a run of one session's consecutive messages, if it goes on where the session stands (else do nothing)."""
        session, first = run[0].session, run[0].seq
        queue = self._queues.get(session)
        if first != (queue[-1].message.seq if queue else place.last) + 1:
            return False
        if queue is None:
            queue = self._queues[session] = deque()
        queue.extend(map(_pending, zip(run, repeat(client), repeat(now), strict=False)))
        if not self.count:
            self.moved = now
        self.count += len(run)
        self.outbox += run
        return True

    def queued(self, session: str) -> int:
        """The highest queued number of a session, or 0."""
        queue = self._queues.get(session)
        return queue[-1].message.seq if queue else 0

    def send_again(self) -> None:
        """Everything that waits goes to the leader once more."""
        self.outbox = [pending.message for queue in self._queues.values() for pending in queue]

    def settle(self, round_: Round, last: int, now: int) -> list[tuple[Any, str, Rows]]:
        """The first `last` messages of a decided round are in the file: take them out and say whom to tell what.

        A round may be settled turn by turn; each message is looked at once.
        """
        cursor = self._cursor
        if cursor is None or cursor.index != round_.index:
            wanted = [self._queues.get(span.session) for span in round_.sessions]
            if not any(wanted):
                return []
            cursor = self._cursor = _Cursor(round_.index, 0, round_.offset, wanted, [span.first for span in round_.sessions])
        answers: list[tuple[Any, str, Rows]] = []
        for place, offsets in cursor.advance(round_, last).items():
            queue = cursor.wanted[place]
            if queue:
                answers += self._settled(queue, cursor.seqs[place], round_.index, offsets)
            cursor.seqs[place] += len(offsets)
        if answers:
            self.moved = now
        if last >= round_.count:
            self._cursor = None
            self._forget_empty(round_)
        return answers

    def _settled(self, queue: deque[Pending], seq: int, index: int, offsets: list[int]) -> list[tuple[Any, str, Rows]]:
        """Take messages seq, seq + 1, … off their queue, in which numbers have no gap; what waits before them is old."""
        ahead = queue[0].message.seq - seq
        taken = [queue.popleft() for _ in range(min(len(queue), len(offsets) - ahead))]
        self.count -= len(taken)
        rows: Iterator[Row] = zip(range(seq, seq + len(offsets)), repeat(index), offsets, strict=False)
        if ahead > 0:
            rows = islice(rows, ahead, None)
        elif ahead < 0:
            rows = chain(((old, None, None) for old in range(seq + ahead, seq)), rows)
        return [
            (client, taken[0].message.session, list(islice(rows, len(list(group)))))
            for client, group in groupby(taken, key=_client_of)
        ]

    def settle_old(self, sessions: SessionTable, written: int, now: int) -> list[tuple[Any, str, Rows]]:
        """Answer what waits although its round is in the file already: it was queued while that was being written."""
        answers: list[tuple[Any, str, Rows]] = []
        for session, queue in list(self._queues.items()):
            place = sessions.place(session)
            if place.round > written:
                continue
            while queue and queue[0].message.seq <= place.last:
                pending = queue.popleft()
                self.count -= 1
                self.moved = now
                answers.append((pending.client, session, [(pending.message.seq, None, None)]))
            if not queue:
                del self._queues[session]
        return answers

    def expire(self, before: int) -> list[tuple[Any, str, int]]:
        """Give up what has waited since before `before`, a session's later messages with it, so that none overtakes."""
        gone: list[tuple[Any, str, int]] = []
        for session, queue in list(self._queues.items()):
            if queue and queue[0].since < before:
                gone += [(pending.client, session, pending.message.seq) for pending in queue]
                self.count -= len(queue)
                del self._queues[session]
        if gone:
            self.send_again()
        return gone

    def oldest(self) -> int | None:
        """Since when the oldest message waits."""
        return min((queue[0].since for queue in self._queues.values() if queue), default=None)

    def _forget_empty(self, round_: Round) -> None:
        for span in round_.sessions:
            if span.session in self._queues and not self._queues[span.session]:
                del self._queues[span.session]
