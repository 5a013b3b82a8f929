"""What all sockets between the nodes share: whom they serve, how they report, how they are tuned, how names are looked up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from functools import partial
from typing import Any, Protocol

from node_runtime.config import NodeConfig
from node_runtime.faults import LinkFaults
from node_runtime.messages import NodeId, PeerMessage

USER_TIMEOUT_MS = 3000


class PeerEvents(Protocol):
    """What the transport tells the driver. An exception in one of these reaches the loop's exception handler (rule 54)."""

    def on_message(self, sender: NodeId, message: PeerMessage) -> None:
        """A whole, checked frame; `sender` is a configured peer."""

    def on_link(self, peer: NodeId, up: bool) -> None:
        """Our outgoing link to the peer came up or went down; what was queued on it is gone."""

    def on_refused(self, port: str, reason: str) -> None:
        """A connection was turned away."""


class Hub:
    """One node's end of all its links."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, config: NodeConfig, events: PeerEvents, faults: LinkFaults) -> None:
        self.node = config.node
        self.tag = config.cluster_tag
        self.peers = frozenset(config.peers) - {config.node}
        self.faults = faults
        self.on_message = events.on_message
        self.closed = False
        self._events = events

    def start(self) -> None:
        """Belong to the loop that is running."""
        self.loop = asyncio.get_running_loop()

    def link(self, peer: NodeId, up: bool) -> None:
        """Pass on a change of a link, outside of the socket's own callback, whose errors some loops keep to themselves."""
        if not self.closed:
            self.loop.call_soon(self._events.on_link, peer, up)

    def refused(self, reason: str) -> None:
        """Pass on that a connection was turned away."""
        if not self.closed:
            self.loop.call_soon(self._events.on_refused, "peer", reason)

    def broken(self, error: BaseException, what: str = "a peer's message could not be handled") -> None:
        """A bug or a broken disk came up through a callback or a task: the process has to end (rule 54)."""
        self.loop.call_exception_handler({"message": what, "exception": error})

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host.

        A name is looked up in a thread that nobody waits for: a name server that hangs holds up neither others' use
        of the loop's pool nor the end of the process.

        Raises: OSError, UnicodeError (a name that cannot be one).
        """
        if _is_address(host):
            return [host]
        found: asyncio.Future[list[str]] = self.loop.create_future()
        threading.Thread(target=self._look_up, args=(host, port, found), name=f"look up {host}", daemon=True).start()
        return await found

    def close(self) -> None:
        """Report nothing any more."""
        self.closed = True

    def _look_up(self, host: str, port: int, found: asyncio.Future[list[str]]) -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            report = partial(_settle, found, [str(sockaddr[0]) for *_, sockaddr in answers], None)
        except (OSError, UnicodeError) as error:
            report = partial(_settle, found, [], error)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and nobody asks any more
            self.loop.call_soon_threadsafe(report)


def tune(wire: asyncio.Transport) -> None:
    """Small frames leave at once, and a peer that vanished without a word is noticed within seconds."""
    sock: Any = wire.get_extra_info("socket")
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS)):
        if hasattr(socket, name):  # not all of them exist on every system
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    with contextlib.suppress(OSError):  # some systems refuse it on a connection that the other side has reset already
        for level, option, value in options:
            sock.setsockopt(level, option, value)


def _settle(found: asyncio.Future[list[str]], addresses: list[str], error: Exception | None) -> None:
    if found.cancelled():
        return
    if error is not None:
        found.set_exception(error)
    else:
        found.set_result(addresses)


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
