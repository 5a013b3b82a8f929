"""The receiving side of the transport: connections that others dial to us, and are only read.

What comes in is checked before memory is taken for it, and whoever is too slow, too many or not a peer is turned
away (rules 51 to 53). A node id is a claim: several connections may make the same one, and each may deliver.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import cast

from node_runtime.clock import steady_ticks
from node_runtime.codec import FRAME, read_header, read_message
from node_runtime.errors import PeerProtocolError
from node_runtime.messages import NodeId
from node_runtime.peer_hub import Hub, tune

PER_PEER = 4  # inbound connections that may claim the same sender
STRANGERS = 16  # and so many more that have not said who they are
# Deadlines count sweeps and read no clock: a node that was stopped for an hour sees one late sweep (rule 49).
FIRST_FRAME_SWEEPS = 5
HALF_FRAME_SWEEPS = 10
_HEADER = FRAME.size


class Inbox:
    """All inbound connections, oldest first."""

    def __init__(self, hub: Hub) -> None:
        self.received: Counter[NodeId] = Counter()
        self.sweeps = 0
        self._hub = hub
        self._open: dict[Inbound, None] = {}
        self._most = PER_PEER * len(hub.peers) + STRANGERS

    def accept(self) -> Inbound:
        """The protocol of a new connection."""
        return Inbound(self._hub, self)

    def admit(self, connection: Inbound) -> None:
        """Take a new connection; over the limit the stranger that came first has to go."""
        self._open[connection] = None
        if len(self._open) > self._most:
            stranger = next(other for other in self._open if other.sender is None)
            stranger.refuse("too many connections")

    def identified(self, connection: Inbound) -> None:
        """A connection has said who it is: of too many with one name, the one that was silent longest has to go."""
        same = [other for other in self._open if other.sender == connection.sender]
        if len(same) > PER_PEER:
            silent = min(same, key=lambda other: (other is connection, other.seen))
            silent.refuse(f"too many connections claim to be node {connection.sender}")

    def forget(self, connection: Inbound) -> None:
        """A connection has ended."""
        self._open.pop(connection, None)

    def claims(self) -> Counter[NodeId | None]:
        """How many connections each sender has; None counts those that have not said."""
        return Counter(connection.sender for connection in self._open)

    def sweep(self) -> None:
        """Once a second: turn away those that are overdue."""
        self.sweeps += 1
        for connection in list(self._open):
            connection.sweep()

    def close(self) -> None:
        """Hang up on everybody."""
        for connection in list(self._open):
            connection.hang_up()


class Inbound(asyncio.Protocol):
    """A connection that somebody dialled to us: a peer, once a frame has said so and while all its frames do."""

    def __init__(self, hub: Hub, inbox: Inbox) -> None:
        self.sender: NodeId | None = None
        self.seen = 0  # the sweep in which it last said something
        self._hub = hub
        self._inbox = inbox
        self._wire: asyncio.Transport | None = None
        self._rest = bytearray()
        self._need = _HEADER  # bytes that _rest must reach before it is worth a look
        self._waited = 0  # sweeps since the frame that is due began

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        tune(self._wire)
        self._inbox.admit(self)

    def data_received(self, data: bytes) -> None:
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._need:
                return
            data = bytes(rest)
        try:
            at = self._deliver(data)
        except OSError as error:  # the driver's: a disk; asyncio would take it for the socket's and keep it to itself (rule 54)
            self._hub.broken(error)
            self.hang_up()
            return
        if at:
            self._waited = 0
        if rest or at < len(data):
            self._rest = bytearray(memoryview(data)[at:])

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire = None
        self._inbox.forget(self)

    def sweep(self) -> None:
        """Turn away who has not said who it is, or has not finished a frame, in time."""
        if self.sender is None or self._rest:
            self._waited += 1
            if self._waited > (FIRST_FRAME_SWEEPS if self.sender is None else HALF_FRAME_SWEEPS):
                self.refuse("no whole frame in time")

    def refuse(self, reason: str) -> None:
        """Turn the other side away."""
        self._hub.refused(reason)
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection at once."""
        self._inbox.forget(self)
        if self._wire is not None:
            self._wire.abort()
            self._wire = None

    def _deliver(self, data: bytes) -> int:
        """Hand over the whole frames in `data`; returns where the first unfinished one starts."""
        tag, size = self._hub.tag, len(data)
        on_message, faults = self._hub.on_message, self._hub.faults
        at = frames = 0
        self._need = _HEADER
        self.seen = self._inbox.sweeps
        while size - at >= _HEADER and self._wire is not None:
            try:
                _, sender, length = read_header(data, at, tag)
                if sender != self.sender:
                    self._identify(sender)
                stop = at + _HEADER + length
                if stop > size:
                    self._need = stop - at
                    break
                message = read_message(data, at, stop)
            except PeerProtocolError as error:
                self.refuse(str(error))
                return size
            at = stop
            if message is not None and not (faults.active and faults.deaf_to(sender, steady_ticks())):
                frames += 1
                on_message(sender, message)
        if self.sender is not None:
            self._inbox.received[self.sender] += frames
        return at

    def _identify(self, sender: NodeId) -> None:
        if self.sender is not None:
            raise PeerProtocolError(f"node {self.sender} changed its name to {sender}")
        if sender not in self._hub.peers:
            raise PeerProtocolError(f"node {sender} is not a peer of this node")
        self.sender = sender
        self._inbox.identified(self)
