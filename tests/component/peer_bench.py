"""Nodes that only have a transport, on loopback, and strangers who speak to them."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from node_runtime.config import Address, NodeConfig
from node_runtime.faults import Fault, LinkFaults
from node_runtime.messages import No, NodeId, PeerMessage, Vote
from node_runtime.transport import Transport

LIMIT = 30.0  # seconds; generous, for a condition that is never met
CLUSTER = "bench"
Main = Coroutine[Any, Any, None]
LOOPS = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
each_loop = pytest.mark.parametrize("loop", LOOPS)


def run(main: Main, loop: str = "asyncio") -> None:
    """Run a test in a fresh loop of one kind."""
    factory = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.002)


def free_addresses(count: int) -> dict[NodeId, Address]:
    """Ports of loopback that nobody uses now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return {node: Address("127.0.0.1", sock.getsockname()[1]) for node, sock in enumerate(sockets)}


def vote(number: int) -> Vote:
    """A small message that can be told from others."""
    return Vote(1, number, number, No.YES)


class Peer:
    """One node's transport, and all that it told its driver."""

    def __init__(
        self, node: NodeId, peers: dict[NodeId, Address], *, sweep_seconds: float = 1.0, cluster: str = CLUSTER
    ) -> None:
        self.node = node
        self.address = peers[node]
        self.others = sorted(set(peers) - {node})
        self.config = NodeConfig(node, cluster, Address("127.0.0.1", 0), self.address, peers, "", "")
        self.faults = LinkFaults(node, peers)
        self.messages: list[tuple[NodeId, PeerMessage]] = []
        self.links: list[tuple[NodeId, bool]] = []
        self.refused: list[str] = []
        self.errors: list[str] = []  # why each of our links went down
        self.transport = Transport(self.config, self, self.faults, sweep_seconds=sweep_seconds)

    async def __aenter__(self) -> Peer:
        await self.transport.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()

    def on_message(self, sender: NodeId, message: PeerMessage) -> None:
        self.messages.append((sender, message))

    def on_link(self, peer: NodeId, up: bool) -> None:
        self.links.append((peer, up))
        if not up:
            self.errors.append(self.transport.links()[peer].error)

    def on_refused(self, port: str, reason: str) -> None:
        assert port == "peer"
        self.refused.append(reason)

    def say(self, peer: NodeId, *messages: PeerMessage) -> None:
        """Send and flush."""
        for message in messages:
            self.transport.send(peer, message)
        self.transport.flush()

    def heard(self, peer: NodeId) -> list[PeerMessage]:
        """What came from one peer."""
        return [message for sender, message in self.messages if sender == peer]

    def linked(self, *peers: NodeId) -> bool:
        """Whether our links to these peers (or all) are up."""
        states = self.transport.links()
        return all(states[peer].connected for peer in peers or self.others)

    def add_fault(self, now: int, **request: Any) -> None:
        """Start a fault here."""
        self.faults.add(Fault.parse(request, self.config.peers), now)


def peers_of(count: int, **options: Any) -> list[Peer]:
    """Nodes of one cluster, not started."""
    addresses = free_addresses(count)
    return [Peer(node, addresses, **options) for node in addresses]


class Stranger:
    """A raw connection to a node's peer port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, address: Address, *first: bytes) -> Stranger:
        stranger = cls(*await asyncio.open_connection(address.host, address.port))
        await stranger.say(*first)
        return stranger

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def hung_up_on(self) -> None:
        """Wait for the node to end the connection; it never says a word on it."""
        try:
            async with asyncio.timeout(LIMIT):
                assert await self.reader.read() == b""
        except ConnectionError:
            pass

    @property
    def open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None

    def close(self) -> None:
        self.writer.close()


def close_all(strangers: Sequence[Stranger]) -> None:
    """Hang up."""
    for stranger in strangers:
        stranger.close()
