"""A node that decides at once, for tests of the client port: honest session rules, no votes, no disk."""

from __future__ import annotations

from collections import deque
from typing import Any

from node_runtime.client_port import Replies
from node_runtime.config import Address, NodeConfig
from node_runtime.gateway import Gateway
from node_runtime.messages import Message


class OneNode:
    """Decides each batch of messages as one round, when `is_deciding`; else it queues them up to `room`."""

    def __init__(self, node: int = 0, room: int = 8192, port: int = 0, cluster: str = "test") -> None:
        self.cluster = cluster
        self.room = room
        self.is_deciding = True
        self.leader = True
        self.file: list[Message] = []
        self.last: dict[str, int] = {}
        self.refused: list[str] = []
        self.queue: deque[tuple[Message, Replies]] = deque()
        self.most_queued = 0
        self._queued: dict[str, int] = {}
        self._round = 0
        self._size = 0
        config = NodeConfig(node, cluster, Address("127.0.0.1", port), Address("127.0.0.1", 0), {}, "", "")
        self.gateway = Gateway(config, self, half_line_s=0.3)

    async def __aenter__(self) -> OneNode:
        await self.gateway.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.close()

    @property
    def address(self) -> Address:
        """Where clients connect."""
        return self.gateway.addresses[0]

    def submit(self, messages: list[Message], client: Replies) -> None:
        for message in messages:
            expected = max(self.last.get(message.session, 0), self._queued.get(message.session, 0)) + 1
            if message.seq > expected:
                client.failed(message.session, message.seq, "gap", f"{expected} comes first; send it", True)
                continue
            self._queued[message.session] = max(message.seq, expected - 1)
            self.queue.append((message, client))
        self.most_queued = max(self.most_queued, len(self.queue))
        if self.is_deciding:
            self.decide()

    def decide(self) -> None:
        """Decide all that is queued, tell the clients, and read on."""
        self._round += 1
        rows: dict[tuple[str, Replies], list[tuple[int, int | None, int | None]]] = {}
        for message, client in self.queue:
            row: tuple[int, int | None, int | None] = (message.seq, None, None)
            if message.seq == self.last.get(message.session, 0) + 1:
                row = (message.seq, self._round, self._size)
                self.last[message.session] = message.seq
                self.file.append(message)
                self._size += len(message.block)
            rows.setdefault((message.session, client), []).append(row)
        self.queue.clear()
        for (session, client), answered in rows.items():
            client.committed(session, answered)
        self.gateway.flush()
        self.gateway.resume()

    def last_seq(self, session: str) -> int:
        return self.last.get(session, 0)

    def can_take(self) -> bool:
        return len(self.queue) < self.room

    def has_leader(self) -> bool:
        return self.leader

    def status(self) -> dict[str, Any]:
        return {"node": 0, "role": "leader", "decided": self._round, "cluster": self.cluster}

    def on_refused(self, port: str, reason: str) -> None:
        assert port == "client"
        self.refused.append(reason)
