"""The replicated log in memory: its newest rounds, how far it is decided, and the sessions up to its end.

Older rounds are read back through `read`, which the driver backs with the journal and the simulator with its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from node_runtime.messages import GENESIS, Digest, Round
from node_runtime.sessions import SessionTable, Undo
from node_runtime.values import value

Read = Callable[[int, int], Sequence[Round]]

KEPT_BYTES = 4 * 1024 * 1024
UNDO_KEPT = 80  # more than the largest window of undecided rounds (ROUNDS_IN_FLIGHT is at most 64, and a no-op)


@value
class Point:
    """A place in the log: a round's index, term and digest, and where in the file the next one starts."""

    index: int
    term: int
    digest: Digest
    end: int


ORIGIN = Point(0, 0, GENESIS, 0)


def point_of(round_: Round) -> Point:
    """The place just behind a round."""
    return Point(round_.index, round_.term, round_.digest, round_.end)


class Log:
    """Rounds 1 to `last.index`; the newest `kept_bytes` are in memory, the rest behind `read(first, max_bytes)`."""

    def __init__(self, read: Read, kept_bytes: int = KEPT_BYTES) -> None:
        self._read = read
        self._kept_bytes = kept_bytes
        self._rounds: list[Round] = []
        self._bytes = 0
        self._undo: dict[int, Undo] = {}
        self.last = ORIGIN
        self.decided = 0
        self.sessions = SessionTable()

    def append(self, round_: Round) -> None:
        """Put one checked round at the end."""
        assert round_.index == self.last.index + 1, (round_.index, self.last)
        assert round_.parent == self.last.digest
        self._rounds.append(round_)
        self._bytes += len(round_.encoded)
        self._undo[round_.index] = self.sessions.apply(round_)
        self.last = point_of(round_)

    def restore(self, round_: Round) -> None:
        """Put back one round from the journal at a start; memory stays flat, for no more than a window can be cut."""
        self.append(round_)
        if len(self._undo) > UNDO_KEPT:
            del self._undo[next(iter(self._undo))]
        self._drop_before(round_.index - UNDO_KEPT)

    def restored(self, decided_hint: int) -> None:
        """The journal is read; a stored decided index is never above the last durable round (rule 23)."""
        self.decided = min(decided_hint, self.last.index)
        self._undo = {index: undo for index, undo in self._undo.items() if index > self.decided}
        self._drop_before(self.decided + 1)

    def cut_after(self, index: int) -> None:
        """Take off all rounds after `index`, which must be undecided (rule 12)."""
        assert index >= self.decided, f"rounds after {index} are to be cut, but {self.decided} is decided"
        while self.last.index > index:
            before = self.point(self.last.index - 1)
            if self._rounds:
                self._bytes -= len(self._rounds.pop().encoded)
            self.sessions.revert(self._undo.pop(self.last.index))
            self.last = before

    def decide(self, index: int) -> list[Round]:
        """Raise `decided` to `index`; returns the rounds that became decided, in order."""
        assert self.decided <= index <= self.last.index, (self.decided, index, self.last.index)
        fresh = [self.round(number) for number in range(self.decided + 1, index + 1)]
        for round_ in fresh:
            self._undo.pop(round_.index, None)
        self.decided = index
        return fresh

    def trim(self, keep_from: int) -> None:
        """Forget in memory what is over `kept_bytes` and before `keep_from` (and decided)."""
        self._drop_before(min(keep_from, self.decided + 1))

    def _drop_before(self, limit: int) -> None:
        drop = 0
        while self._bytes > self._kept_bytes and drop < len(self._rounds) - 1 and self._rounds[drop].index < limit:
            self._bytes -= len(self._rounds[drop].encoded)
            drop += 1
        if drop:
            del self._rounds[:drop]

    def round(self, index: int) -> Round:
        """One round; a missing one is a bug."""
        assert 1 <= index <= self.last.index, (index, self.last.index)
        first = self._first()
        if index >= first:
            return self._rounds[index - first]
        found = self._read(index, 1)
        assert [round_.index for round_ in found[:1]] == [index], f"round {index} is not in the journal"
        return found[0]

    def point(self, index: int) -> Point:
        """The place behind round `index` (0: the origin)."""
        if index == self.last.index:
            return self.last
        return point_of(self.round(index)) if index else ORIGIN

    def batch(self, first: int, max_bytes: int) -> tuple[Round, ...]:
        """Rounds from `first` on, at least one if there is one, up to about `max_bytes`."""
        if first > self.last.index:
            return ()
        start = self._first()
        if first < start:
            return tuple(round_ for round_ in self._read(first, max_bytes) if round_.index <= self.last.index)
        return tuple(_up_to(self._rounds[first - start :], max_bytes))

    def find_offset(self, offset: int) -> int:
        """The index of the last round that ends at or before `offset`, by bisection."""
        low, high = 0, self.last.index
        while low < high:
            middle = (low + high + 1) // 2
            if self.point(middle).end <= offset:
                low = middle
            else:
                high = middle - 1
        return low

    def _first(self) -> int:
        return self.last.index - len(self._rounds) + 1


def _up_to(rounds: Iterable[Round], max_bytes: int) -> Iterable[Round]:
    taken = 0
    for round_ in rounds:
        if taken and taken + len(round_.encoded) > max_bytes:
            return
        taken += len(round_.encoded)
        yield round_
