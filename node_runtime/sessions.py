"""The table of sessions: the last sequence number of each, as the log has it (rules 34 to 36).

It follows the appended log, so that a round can be checked before it is decided; what a cut takes off the log is
taken off the table too. Tables of equal logs are equal.
"""

from __future__ import annotations

from typing import NamedTuple

from node_runtime.messages import Round


class Place(NamedTuple):
    """Where a session stands: its last sequence number and the index of the round that holds it."""

    last: int
    round: int


Undo = list[tuple[str, Place | None]]
_NOWHERE = Place(0, 0)


class SessionTable:
    """session -> Place, with undo for rounds that may still be cut off."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    def __len__(self) -> int:
        return len(self._places)

    def place(self, session: str) -> Place:
        """Where the session stands; (0, 0) for one that was never seen."""
        return self._places.get(session, _NOWHERE)

    def last(self, session: str) -> int:
        """Its last sequence number, 0 for a session that was never seen."""
        place = self._places.get(session)
        return place.last if place else 0

    def continues(self, round_: Round) -> bool:
        """Whether each session of the round goes on exactly where the table ends: no double, no gap."""
        places = self._places
        return all(span.first == (places.get(span.session, _NOWHERE)[0]) + 1 for span in round_.sessions)

    def apply(self, round_: Round) -> Undo:
        """Take the round's messages in; returns what `revert` needs."""
        undo: Undo = []
        places = self._places
        for session, first, count in round_.sessions:
            undo.append((session, places.get(session)))
            places[session] = Place(first + count - 1, round_.index)
        return undo

    def revert(self, undo: Undo) -> None:
        """Take back one `apply`; the last one first."""
        for session, before in reversed(undo):
            if before is None:
                del self._places[session]
            else:
                self._places[session] = before

    def snapshot(self) -> dict[str, Place]:
        """A copy, for comparing the tables of two nodes."""
        return dict(self._places)
