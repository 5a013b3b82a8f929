"""The client port: sockets on one side, the node on the other.

A conversation (`native_protocol`, `text_protocol`) is pure; here are the sockets and the limits (rule 52): the
number of connections, a deadline for half a line, a bounded queue of replies, and no reading from a socket
whose messages the node cannot take or whose client does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import socket
from typing import cast

from node_runtime.client_port import NodePort, Replies, Talk
from node_runtime.config import Address, NodeConfig
from node_runtime.json_lines import error_line
from node_runtime.native_protocol import NativeTalk
from node_runtime.text_protocol import PREFIX, TextTalk

__all__ = ["Gateway", "NodePort", "Replies"]

MAX_CONNECTIONS = 4096
MAX_UNREAD = 1024 * 1024  # bytes of replies that a client may leave unread
HALF_LINE_S = 10.0
LINGER_S = 2.0
MAX_LINGER = 1024 * 1024  # bytes that a client who was refused may still send before it is cut off
_READ_SIZE = 64 * 1024
_WATCH_S = 0.5


class Gateway:
    """Listens on `config.client_address`. One event loop owns it; nothing here is thread-safe."""

    def __init__(self, config: NodeConfig, port: NodePort, *, half_line_s: float = HALF_LINE_S) -> None:
        self.port = port
        self.node = config.node
        self._address = config.client_address
        self._half_line_s = half_line_s
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._dirty: list[_Connection] = []
        self._waiting: dict[_Connection, None] = {}
        self._deadlines: dict[_Connection, float] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._text_names = (f"t{config.node}-{secrets.token_hex(4)}-{number}" for number in itertools.count(1))
        self.buffer = memoryview(bytearray(_READ_SIZE))  # shared: it is emptied before the loop reads again

    async def start(self) -> None:
        """Listen.

        Raises: OSError (port taken, no such address).
        """
        loop = asyncio.get_running_loop()
        host = self._address.host
        self._server = await loop.create_server(lambda: _Connection(self), host, self._address.port, backlog=512)
        self._watch = loop.call_later(_WATCH_S, self._look)

    async def close(self) -> None:
        """Stop listening, send what replies there are, and close every connection."""
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            self._server.close()
        self.flush()
        for connection in list(self._connections):
            connection.close()
        if self._server is not None:
            await asyncio.sleep(0)  # lets connection_lost run

    @property
    def addresses(self) -> list[Address]:
        """Where it listens; the port is the real one where the configured one was 0."""
        sockets = self._server.sockets if self._server is not None else ()
        return [Address(*sock.getsockname()[:2]) for sock in sockets]

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def flush(self) -> None:
        """Send the replies that are queued: one write a connection."""
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.write()

    def resume(self) -> None:
        """The queue has room again: go on reading, the longest waiting first, as long as it has."""
        for connection in list(self._waiting):
            if not self.port.can_take():
                return
            del self._waiting[connection]
            connection.work()

    def text_name(self) -> str:
        """A session name for a connection in the text protocol, new in every life of the node."""
        return next(self._text_names)

    # --- for the connections ---

    def add(self, connection: _Connection) -> bool:
        """Whether there is room for one more."""
        if len(self._connections) >= MAX_CONNECTIONS:
            self.port.on_refused("client", "connections")
            return False
        self._connections.add(connection)
        return True

    def drop(self, connection: _Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)
        self._waiting.pop(connection, None)
        self._deadlines.pop(connection, None)

    def has_replies(self, connection: _Connection) -> None:
        """The connection waits for the next flush."""
        self._dirty.append(connection)

    def wait_for_room(self, connection: _Connection) -> None:
        """The connection waits for `resume`."""
        self._waiting[connection] = None

    def is_waiting(self, connection: _Connection) -> bool:
        """Whether the connection waits for `resume`."""
        return connection in self._waiting

    def wait_no_more(self, connection: _Connection) -> None:
        """The connection waits for the client, not for the node."""
        self._waiting.pop(connection, None)

    def is_expecting(self, connection: _Connection) -> bool:
        """Whether the connection has a deadline."""
        return connection in self._deadlines

    def expect(self, connection: _Connection, seconds: float | None = None) -> None:
        """The rest of a line is due; or the client's end of a connection that was refused."""
        loop = asyncio.get_running_loop()
        self._deadlines[connection] = loop.time() + (self._half_line_s if seconds is None else seconds)

    def expect_nothing(self, connection: _Connection) -> None:
        """No line is half received."""
        self._deadlines.pop(connection, None)

    def _look(self) -> None:
        """Deadlines are looked at once in a while, and only of those connections that have one."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [one for one, due in self._deadlines.items() if due <= now]:
            del self._deadlines[connection]
            connection.overdue()
        self._watch = loop.call_later(_WATCH_S, self._look)


class _Connection(asyncio.BufferedProtocol):
    """One client. See `Sink` for what its conversation may ask of it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._transport: asyncio.Transport | None = None
        self._talk: Talk | None = None
        self._inbox = b""
        self._out: list[str] = []
        self._is_choked = False  # the client does not read
        self._is_refused = False
        self._lingered = 0  # bytes that came after the refusal
        self._is_ended = False  # the client sends no more
        self._is_reading = True

    # --- the event loop calls these ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._transport = transport
        transport.set_write_buffer_limits(high=256 * 1024)
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # a client that hung up at once is told by connection_lost
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not self._gateway.add(self):
            why = f"this node has {MAX_CONNECTIONS} clients; close one, or ask another node"
            self.refuse(error_line("too_many", why, retry=True))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._gateway.drop(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._gateway.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_refused:
            self._lingered += nbytes
            if self._lingered > MAX_LINGER and self._transport is not None:
                self._transport.abort()
            return
        data = bytes(self._gateway.buffer[:nbytes])
        self._inbox = self._inbox + data if self._inbox else data
        self.work()

    def eof_received(self) -> bool:
        self._is_ended = True
        self.work()
        return self._transport is not None and not self._is_refused and not self._is_over()

    def pause_writing(self) -> None:
        self._is_choked = True
        self._set_reading()

    def resume_writing(self) -> None:
        self._is_choked = False
        self._set_reading()

    # --- the gateway and the conversation call these ---

    def work(self) -> None:
        """Work on the inbox as far as possible."""
        if self._transport is None or self._is_refused:
            return
        before = len(self._inbox)
        talk = self._talk or self._choose()
        if talk is not None:
            self._inbox = talk.feed(self._inbox)
            if self._is_ended and not self._is_refused:
                self._inbox = talk.end(self._inbox)
        if self._is_refused:
            return
        self._watch(before, talk is not None and talk.is_full())
        self._set_reading()
        self.write()
        self._close_if_over()

    def reply(self, text: str) -> None:
        """See `Sink`."""
        if self._transport is None or self._is_refused:
            return
        if not self._out:
            self._gateway.has_replies(self)
        self._out.append(text)

    def refuse(self, text: str) -> None:
        """See `Sink`. Closing with unread input would reset the connection and lose the answer: let it drain first."""
        self.reply(text)
        self.write()
        self._is_refused = True
        self._inbox = b""
        if self._transport is None:
            return
        if self._is_ended or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._gateway.expect(self, LINGER_S)
        self._set_reading()

    def again(self) -> None:
        """See `Sink`."""
        if self._inbox:
            asyncio.get_running_loop().call_soon(self.work)

    def write(self) -> None:
        """Send the queued replies in one piece; a client that left too many unread is cut off."""
        transport, out = self._transport, self._out
        if transport is None or not out:
            return
        self._out = []
        if transport.get_write_buffer_size() > MAX_UNREAD:
            self._gateway.port.on_refused("client", "slow_reader")
            transport.abort()
            return
        transport.write("".join(out).encode())
        self._close_if_over()

    def close(self) -> None:
        """End the connection after what is queued."""
        if self._transport is not None:
            self._transport.close()

    def overdue(self) -> None:
        """The deadline passed."""
        if self._transport is None:
            return
        if self._is_refused:
            self._transport.abort()
            return
        self._gateway.port.on_refused("client", "half_line")
        why = "half a request came and not its end; end each with a newline"
        is_text = isinstance(self._talk, TextTalk)
        self.refuse(f"error: {why}\n" if is_text else error_line("half_line", why, retry=True))

    def _choose(self) -> Talk | None:
        """The first bytes tell the protocol."""
        start = self._inbox[: len(PREFIX)]
        gateway = self._gateway
        if start == PREFIX:
            self._talk = TextTalk(gateway.text_name(), gateway.node, gateway.port, self)
        elif not PREFIX.startswith(start):
            self._talk = NativeTalk(gateway.node, gateway.port, self)
        return self._talk

    def _watch(self, before: int, is_full: bool) -> None:
        """Say whom the rest of the inbox waits for: the node, or the client and then not for long."""
        gateway = self._gateway
        if self._inbox and is_full:
            gateway.wait_for_room(self)
            gateway.expect_nothing(self)
            return
        gateway.wait_no_more(self)
        if not self._inbox:
            gateway.expect_nothing(self)
        elif len(self._inbox) < before or not gateway.is_expecting(self):
            gateway.expect(self)

    def _is_over(self) -> bool:
        """Whether the client sends no more and has all its answers."""
        return self._is_ended and not self._inbox and not self._out and not (self._talk and self._talk.is_waiting())

    def _close_if_over(self) -> None:
        if self._transport is not None and self._is_over():
            self._transport.close()

    def _set_reading(self) -> None:
        transport = self._transport
        if transport is None or self._is_ended:
            return
        wanted = self._is_refused or not (self._is_choked or self._gateway.is_waiting(self))
        if wanted != self._is_reading:
            self._is_reading = wanted
            if wanted:
                transport.resume_reading()
            else:
                transport.pause_reading()
