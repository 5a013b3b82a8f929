"""How fair the order of the file is: who was overtaken, how often, and by how much. Pure.

A message is *overtaken* where a message of another client that was sent later stands before it in the file. It is
overtaken *by* as much as the latest such message was sent later. A *pair* is one message and one that overtook it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from votesync_cli.report.numbers import Spread, inversions, spread
from votesync_cli.verify.history import Histories, SessionHistory
from votesync_cli.verify.reader import Run

NEVER = -(2**62)


class Overtaken(NamedTuple):
    """Of one client: its messages in the file, how many of them were overtaken, and by how many microseconds."""

    messages: int
    overtaken: int
    by: Spread | None


@dataclass(frozen=True, slots=True)
class Overtaking:
    """Of the whole file; `pairs` counts each message with each that overtook it. `unplaced` blocks are in no history."""

    messages: int
    overtaken: int
    pairs: int
    by: Spread | None
    clients: Mapping[str, Overtaken]
    unplaced: int = 0


def overtaking(order: Sequence[int], sent: Sequence[int], names: Sequence[str], unplaced: int = 0) -> Overtaking:
    """`order`: the client (its place in `names`) of each message in the order of the file; `sent`: when it was sent."""
    leads: dict[int, list[int]] = {}
    top, other, first = NEVER, NEVER, -1  # the latest sending so far, the latest of another client, and whose the first is
    for client, t in zip(order, sent, strict=True):
        lead = (other if client == first else top) - t
        if lead > 0:
            leads.setdefault(client, []).append(lead)
        if client == first:
            top = max(top, t)
        elif t > top:
            top, other, first = t, top, client
        elif t > other:
            other = t
    many = Counter(order)
    clients = {
        names[client]: Overtaken(count, len(leads.get(client, ())), spread(leads.get(client, ())))
        for client, count in sorted(many.items())
    }
    every = [lead for found in leads.values() for lead in found]
    return Overtaking(len(order), len(every), _pairs(order, sent), spread(every), clients, unplaced)


def _pairs(order: Sequence[int], sent: Sequence[int]) -> int:
    """All pairs in the wrong order, less those of one client with itself."""
    own: dict[int, array[int]] = {}
    for client, t in zip(order, sent, strict=True):
        own.setdefault(client, array("q")).append(t)
    return inversions(sent) - sum(map(inversions, own.values()))


@dataclass(slots=True)
class OrderReader:
    """Notes, while the file goes by, whose each block is and when it was sent.

    With histories the time is that of `sends`, for each session's messages in their order; without them it is the time
    that the client gave its message.
    """

    histories: Histories | None
    sends: Mapping[bytes, array[int]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    order: array[int] = field(default_factory=lambda: array("i"))
    sent: array[int] = field(default_factory=lambda: array("q"))
    unplaced: int = 0
    _seen: dict[bytes, list[int]] = field(default_factory=dict)  # session -> its number, how many of its blocks went by

    def feed(self, run: Run) -> None:
        """The next blocks."""
        for session, time, text in zip(run.sessions, run.times, run.texts, strict=True):
            known = self._seen.get(session)
            if known is None:
                known = self._seen[session] = [len(self.names), 0]
                self.names.append(session.decode(errors="replace"))
            known[1] += 1
            t = self._sent(session, known[1], time, text)
            if t is None:
                self.unplaced += 1
            else:
                self.order.append(known[0])
                self.sent.append(t)

    def result(self) -> Overtaking:
        """What it comes to."""
        return overtaking(self.order, self.sent, self.names, self.unplaced)

    def _sent(self, session: bytes, number: int, time: bytes, text: bytes) -> int | None:
        if self.histories is None:
            return int(time) if session and time.isdigit() else None
        own = self.histories.sessions.get(session)
        index = _index(own, number, time, text) if own is not None and time.isdigit() else None
        return None if own is None or index is None else self.sends[session][index]


def _index(own: SessionHistory, number: int, time: bytes, text: bytes) -> int | None:
    """Which message of the session a block is: the one of its number where the time agrees, else any that agrees."""
    index, stamp = number - own.first, int(time)
    if 0 <= index < len(own) and own.times[index] == stamp:
        return index
    return next(iter(own.find(stamp, text)), None)
