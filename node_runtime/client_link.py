"""The client's end of one connection, and `hello` to all nodes at once."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any, Protocol, cast

from node_runtime.config import Address
from node_runtime.json_lines import hello_request
from node_runtime.messages import NodeId

CONNECT_S = 2.0
BACKOFF_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)


def backoff(failures: int, nodes: int) -> float:
    """Seconds to wait after so many failures in a row: none until each node has been tried once."""
    return BACKOFF_S[min(failures // nodes, len(BACKOFF_S) - 1)]


class LinkUser(Protocol):
    """Who uses a link."""

    def heard(self, link: Link, reply: dict[str, Any]) -> None:
        """The node said something."""

    def pump(self) -> None:
        """The link has room again."""


class Link(asyncio.Protocol):
    """One connection to one node. `lost` is done when it is of no more use."""

    transport: asyncio.Transport

    def __init__(self, user: LinkUser, node: NodeId) -> None:
        self.node = node
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_ready = False  # hello was answered
        self.is_choked = False  # the node does not read
        self._user = user
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            try:
                reply = json.loads(line)
            except (ValueError, RecursionError):
                reply = None
            if not isinstance(reply, dict):
                self.leave()  # whoever answers so is no node
                return
            self._user.heard(self, reply)

    def pause_writing(self) -> None:
        self.is_choked = True

    def resume_writing(self) -> None:
        self.is_choked = False
        self._user.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()

    def leave(self) -> None:
        """This connection is of no more use."""
        if not self.lost.done():
            self.lost.set_result(None)


async def ask_last_seq(addresses: Sequence[Address], session: str, cluster: str | None = None) -> int:
    """The highest decided number of a session, by all nodes that answer and at least a majority of `addresses`.

    A single node may be behind the others. Waits for ever; bound it with `asyncio.timeout`.
    """
    for attempt in itertools.count(1):
        answers = await asyncio.gather(*(_hello(address, session, cluster) for address in addresses))
        known = [answer for answer in answers if answer is not None]
        if len(known) > len(addresses) // 2:
            return max(known)
        await asyncio.sleep(backoff(attempt, 1))
    raise AssertionError("unreachable")


async def _hello(address: Address, session: str, cluster: str | None) -> int | None:
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                writer.write(hello_request(session, cluster))
                reply = json.loads(await reader.readline())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return None
    last = reply.get("last_seq") if isinstance(reply, dict) else None
    return last if isinstance(last, int) else None
