"""A node's own queue: what its clients sent and nobody has decided and written yet.

Messages stay here until their round is decided and in the file; they are handed to the leader again after each
change of leader and, when nothing moves, from time to time. A repeat does no harm (rule 35).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from node_runtime.messages import Message, Round
from node_runtime.sessions import Place, SessionTable

Rows = list[tuple[int, int | None, int | None]]


class Pending(NamedTuple):
    """One message that waits, whom the answer goes to, and since when (ticks)."""

    message: Message
    client: Any
    since: int


@dataclass(slots=True)
class _Cursor:
    """How far a round is settled, while its turns are written one after the other."""

    index: int
    number: int
    offset: int
    wanted: list[deque[Pending] | None]
    seqs: list[int]


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
        told: dict[int, tuple[Any, str, Rows]] = {}
        answers: list[tuple[Any, str, Rows]] = []
        offset, seqs = cursor.offset, cursor.seqs
        rows = zip(round_.session_of[cursor.number : last], round_.lengths[cursor.number : last], strict=True)
        for place, length in rows:
            seq = seqs[place]
            seqs[place] = seq + 1
            queue = cursor.wanted[place]
            while queue and queue[0].message.seq <= seq:
                pending = queue.popleft()
                self.count -= 1
                answer = told.get(place)
                if answer is None or answer[0] is not pending.client:
                    answer = told[place] = (pending.client, pending.message.session, [])
                    answers.append(answer)
                exact = pending.message.seq == seq
                answer[2].append((pending.message.seq, round_.index if exact else None, offset if exact else None))
            offset += length
        cursor.number, cursor.offset = max(last, cursor.number), offset
        if answers:
            self.moved = now
        if last >= round_.count:
            self._cursor = None
            self._forget_empty(round_)
        return answers

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
