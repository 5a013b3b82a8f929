"""A node's own queue: what its clients sent and nobody has decided and written yet.

Messages stay here until their round is decided and in the file; they are handed to the leader again after each
change of leader and, when nothing moves, from time to time. A repeat does no harm (rule 35).
"""

from __future__ import annotations

from collections import deque
from itertools import accumulate
from typing import Any, NamedTuple

from node_runtime.messages import Message, Round
from node_runtime.sessions import Place

Rows = list[tuple[int, int | None, int | None]]


class Pending(NamedTuple):
    """One message that waits, whom the answer goes to, and since when (ticks)."""

    message: Message
    client: Any
    since: int


class Intake:
    """Messages in order, a queue a session."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queues: dict[str, deque[Pending]] = {}
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
        if queue is None:
            if message.seq > place.last + 1:
                return place.last + 1
            self._queues[message.session] = deque((Pending(message, client, now),))
        else:
            expected = queue[-1].message.seq + 1
            if message.seq > expected:
                return expected
            if message.seq < expected:
                self._replace(queue, message, client, now)
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

    def settle(self, round_: Round, first: int, last: int, now: int) -> list[tuple[Any, str, Rows]]:
        """Messages [first, last) of a decided round are in the file: take them out and say whom to tell what."""
        wanted = [self._queues.get(span.session) for span in round_.sessions]
        if not any(wanted):
            return []
        seqs = [span.first for span in round_.sessions]
        told: dict[int, tuple[Any, str, Rows]] = {}
        answers: list[tuple[Any, str, Rows]] = []
        ends = accumulate(round_.lengths, initial=round_.offset)
        for number, (place, offset) in enumerate(zip(round_.session_of, ends, strict=False)):
            if number >= last:
                break
            seq = seqs[place]
            seqs[place] = seq + 1
            queue = wanted[place]
            if number < first or not queue:
                continue
            while queue and queue[0].message.seq <= seq:
                pending = queue.popleft()
                self.count -= 1
                answer = told.get(place)
                if answer is None or answer[0] is not pending.client:
                    answer = told[place] = (pending.client, pending.message.session, [])
                    answers.append(answer)
                exact = pending.message.seq == seq
                answer[2].append((pending.message.seq, round_.index if exact else None, offset if exact else None))
        self.moved = now
        self._forget_empty(round_)
        return answers

    def settle_old(self, session: str, place: Place, now: int) -> list[tuple[Any, str, Rows]]:
        """Answer what is queued although it was decided and written before."""
        queue = self._queues.get(session)
        answers: list[tuple[Any, str, Rows]] = []
        while queue and queue[0].message.seq <= place.last:
            pending = queue.popleft()
            self.count -= 1
            self.moved = now
            index = place.round if pending.message.seq == place.last else None
            answers.append((pending.client, session, [(pending.message.seq, index, None)]))
        if queue is not None and not queue:
            del self._queues[session]
        return answers

    def expire(self, before: int) -> list[tuple[Any, str, int]]:
        """Give up what has waited since before `before`, a session's later messages with it, so that none overtakes."""
        gone: list[tuple[Any, str, int]] = []
        for session, queue in list(self._queues.items()):
            if queue[0].since < before:
                gone += [(pending.client, session, pending.message.seq) for pending in queue]
                self.count -= len(queue)
                del self._queues[session]
        if gone:
            self.send_again()
        return gone

    def oldest(self) -> int | None:
        """Since when the oldest message waits."""
        return min((queue[0].since for queue in self._queues.values()), default=None)

    def _replace(self, queue: deque[Pending], message: Message, client: Any, now: int) -> None:
        position = message.seq - queue[0].message.seq
        if position >= 0:
            queue[position] = Pending(queue[position].message, client, now)
        else:
            queue.appendleft(Pending(message, client, now))
            self.count += 1

    def _forget_empty(self, round_: Round) -> None:
        for span in round_.sessions:
            if span.session in self._queues and not self._queues[span.session]:
                del self._queues[span.session]
