"""Frames between the nodes over TCP: one connection for each direction, `i` dials `j` to send to `j`.

Nothing here blocks and nothing is promised: a message to a dead link or into a full queue is dropped. It all
happens in one loop. `peer_out` sends, `peer_in` receives, `peer_hub` is what they share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from node_runtime.codec import encode_frame
from node_runtime.config import NodeConfig
from node_runtime.faults import LinkFaults
from node_runtime.messages import NodeId, PeerMessage
from node_runtime.peer_hub import Hub, PeerEvents
from node_runtime.peer_in import Inbox
from node_runtime.peer_out import Link

__all__ = ["LinkState", "PeerEvents", "Transport"]

SWEEP_SECONDS = 1.0  # how often deadlines are counted on; they are given in sweeps (see `peer_in` and `peer_out`)


@dataclass(frozen=True, slots=True)
class LinkState:
    """One peer as the transport sees it; counters are frames since the start, `queued` is bytes not yet given to the kernel."""

    connected: bool
    inbound: int
    queued: int
    sent: int
    received: int
    dropped: int
    dials: int
    error: str


class Transport:
    """The node's links to its peers."""

    def __init__(
        self, config: NodeConfig, events: PeerEvents, faults: LinkFaults, *, sweep_seconds: float = SWEEP_SECONDS
    ) -> None:
        self._config = config
        self._sweep_seconds = sweep_seconds
        self._faults = faults
        self._hub = Hub(config, events, faults)
        self._inbox = Inbox(self._hub)
        self._dirty: list[Link] = []
        self._out = {peer: Link(self._hub, peer, config.peers[peer], self._dirty) for peer in sorted(self._hub.peers)}
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen, and dial every peer for ever.

        Raises: OSError when the port cannot be had.
        """
        self._hub.start()
        address, loop = self._config.peer_address, self._hub.loop
        self._server = await loop.create_server(self._inbox.accept, address.host, address.port)
        self._sweeper = loop.call_later(self._sweep_seconds, self._sweep)
        for link in self._out.values():
            task = loop.create_task(link.keep(), name=f"dial {link.peer}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    def send(self, peer: NodeId, message: PeerMessage) -> None:
        """Queue a message until the next `flush`; dropped when the link is down or its queue is full."""
        link = self._out[peer]
        if link.wire is None:
            link.dropped += 1
        elif self._faults.active:
            link.put_badly(encode_frame(self._hub.tag, self._hub.node, message))
        else:
            link.put(encode_frame(self._hub.tag, self._hub.node, message))

    def broadcast(self, peers: Iterable[NodeId], message: PeerMessage) -> None:
        """Queue the same message for several peers; it is encoded once."""
        data = encode_frame(self._hub.tag, self._hub.node, message)
        for peer in peers:
            if self._faults.active:
                self._out[peer].put_badly(data)
            else:
                self._out[peer].put(data)

    def flush(self) -> None:
        """Write what was queued: one write for each peer."""
        for link in self._dirty:
            link.flush()
        self._dirty.clear()

    def links(self) -> dict[NodeId, LinkState]:
        """How each peer stands."""
        claims, received = self._inbox.claims(), self._inbox.received
        return {
            peer: LinkState(
                connected=link.wire is not None,
                inbound=claims[peer],
                queued=link.queued(),
                sent=link.sent,
                received=received[peer],
                dropped=link.dropped,
                dials=link.dials,
                error=link.error,
            )
            for peer, link in self._out.items()
        }

    async def close(self) -> None:
        """Send what is queued as far as it goes at once, then hang up."""
        self.flush()
        self._hub.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._out.values():
            link.hang_up()
        self._inbox.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _sweep(self) -> None:
        self._sweeper = self._hub.loop.call_later(self._sweep_seconds, self._sweep)
        self._inbox.sweep()
        for link in self._out.values():
            link.sweep()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._hub.broken(error, f"task {task.get_name()!r} failed")
