"""The sending side of the transport: a queue for each peer, and the connection that we dial to it for ever.

A message to a dead link or into a full queue is dropped: the protocol repeats what matters.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import cast

from node_runtime.clock import steady_ticks
from node_runtime.codec import encode_hello
from node_runtime.config import Address
from node_runtime.messages import NodeId
from node_runtime.peer_hub import Hub, tune

MAX_QUEUE = 8 * 1024 * 1024  # bytes that may wait for one peer
STALLED_SWEEPS = 3  # a connection on which nothing moved for so many sweeps is given up
DIAL_SECONDS = 3.0
BACKOFF_SECONDS = (0.05, 1.0)
SETTLED_TICKS = 1_000_000  # a connection that held so long was a good one: the next dial comes at once


class Link:
    """Our way to one peer: what is queued for it, and the connection while there is one."""

    def __init__(self, hub: Hub, peer: NodeId, address: Address, dirty: list[Link]) -> None:
        self.peer = peer
        self.wire: asyncio.WriteTransport | None = None
        self.sent = self.dropped = self.dials = 0
        self.error = "not connected yet"
        self._hub = hub
        self._address = address
        self._dirty = dirty  # where links that have something to write put themselves
        self._queue: list[bytes] = []
        self._pending = 0  # bytes in _queue
        self._backlog = 0  # bytes that asyncio held after the last write, or less
        self._written = 0  # bytes ever given to this connection
        self._drained = 0  # how many of them the kernel had taken at the last sweep
        self._stalled = 0
        self._late: list[tuple[int, int, bytes]] = []  # a heap of (due tick, number, frame) that a fault holds back
        self._late_bytes = 0
        self._late_count = 0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, data: bytes) -> None:
        """Queue a frame."""
        size = len(data)
        if self.wire is None or (self._pending + self._backlog + size > MAX_QUEUE and not self._room(size)):
            self.dropped += 1
            return
        if not self._queue:
            self._dirty.append(self)
        self._queue.append(data)
        self._pending += size

    def put_badly(self, data: bytes) -> None:
        """Queue a frame as the faults at work will have it."""
        now = steady_ticks()
        delays = self._hub.faults.plan(self.peer, now)
        self.dropped += not delays
        for delay in delays:
            if delay == 0:
                self.put(data)
            elif self.wire is None or self._late_bytes + len(data) > MAX_QUEUE:
                self.dropped += 1
            else:
                self._late_count += 1
                self._late_bytes += len(data)
                heapq.heappush(self._late, (now + delay, self._late_count, data))
        self._arm(now)

    def flush(self) -> None:
        """Write the queue."""
        if self.wire is None or not self._queue:
            return
        self.wire.write(self._queue[0] if len(self._queue) == 1 else b"".join(self._queue))
        self.sent += len(self._queue)
        self._written += self._pending
        self._backlog = self.wire.get_write_buffer_size()
        self._queue = []
        self._pending = 0

    def queued(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._pending + self._late_bytes + (0 if self.wire is None else self.wire.get_write_buffer_size())

    def up(self, wire: asyncio.WriteTransport) -> None:
        """The connection stands; say who we are."""
        self.wire = wire
        self.error = ""
        self._written = self._drained = self._stalled = 0
        wire.write(encode_hello(self._hub.tag, self._hub.node))
        self._hub.link(self.peer, True)

    def down(self, error: str) -> None:
        """The connection is gone, and with it what was queued."""
        self.wire = None
        self.error = error
        self.dropped += len(self._queue) + len(self._late)
        self._queue, self._late = [], []
        self._pending = self._backlog = self._late_bytes = 0
        self._arm(0)
        self._hub.link(self.peer, False)

    def hang_up(self) -> None:
        """Close after what is written already."""
        if self.wire is not None:
            self.wire.close()

    def sweep(self) -> None:
        """Give up a connection that has taken nothing for some seconds although there is something to take."""
        if self.wire is None:
            return
        waiting = self.wire.get_write_buffer_size()
        drained = self._written - waiting
        self._stalled = self._stalled + 1 if waiting and drained == self._drained else 0
        self._drained = drained
        if self._stalled >= STALLED_SWEEPS:
            self.error = "the peer takes nothing"
            self.wire.abort()

    async def keep(self) -> None:
        """Dial again whenever there is no connection, slower and slower while it does not hold."""
        least, most = BACKOFF_SECONDS
        wait = least
        while True:
            self.dials += 1
            try:
                closed = await self._dial()
            except (OSError, UnicodeError) as error:
                self.error = f"{type(error).__name__}: {error}"
            else:
                began = steady_ticks()
                await closed
                if steady_ticks() - began >= SETTLED_TICKS:
                    wait = least
            await asyncio.sleep(wait)
            wait = min(wait * 2, most)

    async def _dial(self) -> asyncio.Future[None]:
        loop, (host, port) = self._hub.loop, (self._address.host, self._address.port)
        error: OSError = OSError("the name has no address")
        for address in await self._hub.resolve(host, port):
            try:
                async with asyncio.timeout(DIAL_SECONDS):
                    _, protocol = await loop.create_connection(lambda: Outbound(self._hub, self), address, port)
                return protocol.closed
            except OSError as failure:
                error = failure
        raise error

    def _room(self, size: int) -> bool:
        assert self.wire is not None
        self._backlog = self.wire.get_write_buffer_size()
        waiting = self._pending + self._backlog
        return waiting == 0 or waiting + size <= MAX_QUEUE

    def _arm(self, now: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._late:
            self._timer = self._hub.loop.call_later(max(0, self._late[0][0] - now) / 1_000_000, self._release)

    def _release(self) -> None:
        now = steady_ticks()
        self._timer = None
        while self._late and self._late[0][0] <= now:
            _, _, data = heapq.heappop(self._late)
            self._late_bytes -= len(data)
            self.put(data)
        self.flush()
        self._arm(now)


class Outbound(asyncio.Protocol):
    """A connection that we dialled: we write, and only watch for its end."""

    def __init__(self, hub: Hub, link: Link) -> None:
        self.closed: asyncio.Future[None] = hub.loop.create_future()
        self._hub = hub
        self._link = link
        self._wire: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        tune(self._wire)
        self._link.up(self._wire)

    def data_received(self, data: bytes) -> None:
        self._hub.refused("a peer spoke on a connection that is ours to speak on")
        self._abort()

    def eof_received(self) -> None:
        self._abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._link.wire is self._wire:
            self._link.down(f"{type(exc).__name__}: {exc}" if exc else self._link.error or "the peer hung up")
        if not self.closed.done():
            self.closed.set_result(None)

    def _abort(self) -> None:
        if self._wire is not None:
            self._wire.abort()
