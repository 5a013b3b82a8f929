"""The admin socket: JSON Lines over a UNIX socket in the data directory, for `ctl`, healthchecks and the CLI.

Whoever may open the file (mode 0600: the node's own user) may ask. No port is ever opened for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from typing import Any, Protocol, cast

from node_runtime.config import NodeConfig
from node_runtime.ctl import SOCKET, reachable

MAX_LINE = 64 * 1024
MAX_CONNECTIONS = 32
MAX_UNREAD = 4 * 1024 * 1024  # bytes of replies that may wait for one who asks and does not read
LINE_SECONDS = 10.0


class AdminPort(Protocol):
    """What the driver answers. An exception in one of these ends the process (rule 54)."""

    def status(self) -> dict[str, Any]:
        """The node's state, for people and programs."""

    def health(self) -> tuple[bool, str]:
        """Whether the node can decide now (rule 55), and why not."""

    def fault(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out `{"op": "fault" | "faults" | "heal", …}`; a refusal is `{"ok": false, "error": …}`."""


class Admin:
    """Listens on `<data_dir>/admin.sock`."""

    def __init__(self, config: NodeConfig, port: AdminPort, *, line_seconds: float = LINE_SECONDS) -> None:
        self.line_seconds = line_seconds
        self._data_dir = config.data_dir
        self._port = port
        self._server: asyncio.Server | None = None
        self._open: dict[_Asker, None] = {}  # oldest first

    async def start(self) -> None:
        """Bind the socket, over a dead one that a killed node left behind.

        Raises: OSError when it cannot be bound or another process listens on it.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Asker(self, loop), sock=self._bind())

    async def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        for asker in list(self._open):
            asker.hang_up()
        await self._server.wait_closed()
        self._server = None
        with contextlib.suppress(FileNotFoundError):  # `down -v` may have been faster
            os.unlink(os.path.join(self._data_dir, SOCKET))

    def answer(self, line: bytes) -> dict[str, Any]:
        """The reply to one line; what cannot be understood is answered with an error and never raises."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"ok": False, "error": "not a line of JSON"}
        op = request.get("op") if isinstance(request, dict) else None
        if op == "status":
            return {"ok": True, **self._port.status()}
        if op == "health":
            healthy, why = self._port.health()
            return {"ok": healthy, "healthy": healthy, "why": why}
        if op in ("fault", "faults", "heal"):
            return self._port.fault(request)
        return {"ok": False, "error": f"op is {op!r}. It takes status, health, fault, faults or heal."}

    def admit(self, asker: _Asker) -> None:
        """Take a new connection; over the limit the oldest has to go, so that idle ones cannot lock anybody out."""
        self._open[asker] = None
        if len(self._open) > MAX_CONNECTIONS:
            next(iter(self._open)).hang_up()

    def forget(self, asker: _Asker) -> None:
        """A connection has ended."""
        self._open.pop(asker, None)

    def _bind(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(self._data_dir) as path:
                _clear(path)
                sock.bind(path)
                os.chmod(path, 0o600)  # before listen: until then nobody can connect
            sock.listen(MAX_CONNECTIONS)
        except BaseException:
            sock.close()
            raise
        return sock


class _Asker(asyncio.Protocol):
    """One connection to the admin socket."""

    def __init__(self, admin: Admin, loop: asyncio.AbstractEventLoop) -> None:
        self._admin = admin
        self._loop = loop
        self._wire: asyncio.Transport | None = None
        self._rest = b""
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class
        self._admin.admit(self)
        self._watch()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            self._reply({"ok": False, "error": f"a line is longer than {MAX_LINE} bytes"})
            self._close()
            return
        for line in filter(None, lines):
            try:
                reply = self._admin.answer(line)
            except OSError as error:  # the driver's; asyncio would take it for the socket's and keep it to itself (rule 54)
                self._loop.call_exception_handler({"message": "an admin request failed", "exception": error})
                self.hang_up()
                return
            self._reply(reply)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire = None
        self._admin.forget(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def hang_up(self) -> None:
        """End the connection at once."""
        self._admin.forget(self)
        if self._wire is not None:
            self._wire.abort()

    def _reply(self, reply: dict[str, Any]) -> None:
        if self._wire is None or self._wire.is_closing():
            return
        self._wire.write(json.dumps(reply, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
        if self._wire.get_write_buffer_size() > MAX_UNREAD:
            self.hang_up()

    def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def _watch(self) -> None:
        """A line, the first one or one that has begun, must be whole in time (rule 52)."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(self._admin.line_seconds, self.hang_up)


def _clear(path: str) -> None:
    """Remove a dead socket; leave anything else alone.

    Raises: OSError when the path is not a socket, or somebody listens on it.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(f"{path} is not a socket. Move it away.")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise FileExistsError(f"another node answers on {path}. Stop it first, or use another DATA_DIR.")
