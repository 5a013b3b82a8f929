"""What the clients' histories come to: how long each waited for its acknowledgements, and when it sent what. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from votesync_cli.recorded import onto_axis, session_key
from votesync_cli.report.numbers import Spread, spread
from votesync_cli.verify.history import NEVER, Histories, SessionHistory


class Client(NamedTuple):
    """One session. `wait`: from the first sending of a message to its acknowledgement, microseconds; `mean` of them.

    `resent`: how often it sent again what was not acknowledged; `open`: messages without an answer.
    """

    session: str
    sent: int
    acked: int
    failed: int
    open: int
    resent: int
    wait: Spread | None
    mean: float | None


@dataclass(slots=True)
class Clients:
    """All sessions; `acks` and `waits` run side by side, `sends` has the time of every message on the common axis."""

    rows: list[Client] = field(default_factory=list)
    acks: array[int] = field(default_factory=lambda: array("q"))
    waits: array[int] = field(default_factory=lambda: array("q"))
    sends: dict[bytes, array[int]] = field(default_factory=dict)
    by_wall: int = 0

    @property
    def first(self) -> int | None:
        """When the first message was sent."""
        starts = (min(sends) for sends in self.sends.values() if len(sends))
        return min(starts, default=None)


def clients(histories: Histories, base: int | None) -> Clients:
    """`base`: Unix microseconds at the zero of the axis (`recorded`); None: that of the first history's clock."""
    out = Clients()
    if base is None:
        base = next((own.zeros[0][1] for own in histories.sessions.values() if own.zeros), 0)
    for name, own in sorted(histories.sessions.items(), key=lambda item: session_key(item[0].decode(errors="replace"))):
        shifts = [(index, onto_axis(zero, base)) for index, zero in own.zeros]
        sends = out.sends[name] = _moved(own.invoked, shifts)
        waits = array("q")
        for place, (ack, sent) in enumerate(zip(_moved(own.acked, shifts), sends, strict=True)):
            if own.acked[place] < NEVER - 1:  # the clock of the acknowledgement is that of the sending
                out.acks.append(ack)
                waits.append(max(0, ack - sent))
        out.by_wall += len(own) if any(shift for _, shift in shifts) else 0
        out.waits.extend(waits)
        out.rows.append(_row(name.decode(errors="replace"), own, waits))
    return out


def _moved(times: array[int], shifts: list[tuple[int, int]]) -> array[int]:
    """The times on the common axis; those very times where they are on it already."""
    if not any(shift for _, shift in shifts):
        return times
    out = array("q", times)
    ends = [index for index, _ in shifts[1:]] + [len(out)]
    for (start, shift), end in zip(shifts, ends, strict=True):
        out[start:end] = array("q", [min(t + shift, NEVER) for t in out[start:end]])
    return out


def _row(name: str, own: SessionHistory, waits: array[int]) -> Client:
    sent = len(own) - len(own.holes)
    acked = sum(1 for ack in own.acked if ack != NEVER)
    mean = sum(waits) / len(waits) if waits else None
    return Client(
        name, sent, acked, len(own.failed), max(0, sent - acked - len(own.failed)), len(own.resends), spread(waits), mean
    )


class Share(NamedTuple):
    """One client in the table of fairness: its part of the messages in the file (0 to 1), and what it waited."""

    client: Client
    part: float | None


def shares(rows: Iterable[Client], in_file: Mapping[str, int]) -> list[Share]:
    """Each client's part of what stands in the file; None where nothing is known of it."""
    whole = sum(in_file.values())
    return [Share(row, in_file.get(row.session, 0) / whole if whole else None) for row in rows]
