"""Running a command inside a container, with input, with a deadline, and with both outputs apart."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from votesync_cli.engines.base import Finished
from votesync_cli.engines.docker_faults import translated
from votesync_cli.errors import EnvironmentFault, TimedOut

if TYPE_CHECKING:
    from docker.api.client import APIClient

_HEADER = struct.Struct(">BxxxL")  # stream (1 stdout, 2 stderr), length; as the Docker Engine API describes it


def run_in(api: APIClient, container: str, service: str, command: Sequence[str], stdin: bytes, timeout: float) -> Finished:
    """`docker exec -i`. The engine cannot end a command, so one that is late is left alone, with its input closed.

    Raises: TimedOut, CommandFailed where the container does not run, EnvironmentFault.
    """
    deadline = time.monotonic() + timeout
    with translated(f"run a command in {service}"):
        made = api.exec_create(container, list(command), stdin=True, stdout=True, stderr=True)
        connection = api.exec_start(made["Id"], socket=True)
        wrapped: Any = connection
        link: socket.socket = getattr(wrapped, "_sock", wrapped)
        feeder = threading.Thread(target=_feed, args=(link, stdin), name="docker-exec-stdin", daemon=True)
        try:
            feeder.start()
            outputs = _collect(link, deadline)
        except TimeoutError:
            raise TimedOut(
                f"`{' '.join(command[:5])}` in {service} did not end within {timeout:g} seconds.",
                "See how the node is with `votesync status`, or give it more time.",
            ) from None
        finally:
            _shut(link)
            connection.close()
        return Finished(_exit_code(api, str(made["Id"]), deadline), outputs[1], outputs[2])


def _feed(link: socket.socket, data: bytes) -> None:
    """Write the input and end it. A command that ends first closes the connection; then nobody wants the rest."""
    try:
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _collect(link: socket.socket, deadline: float) -> dict[int, bytes]:
    """Read frames until the end; raises TimeoutError at the deadline."""
    outputs = {1: bytearray(), 2: bytearray()}
    buffer = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        link.settimeout(left)
        data = link.recv(65536)
        if not data:
            return {stream: bytes(output) for stream, output in outputs.items()}
        buffer += data
        while len(buffer) >= _HEADER.size:
            stream, length = _HEADER.unpack_from(buffer)
            if len(buffer) < _HEADER.size + length:
                break
            outputs.setdefault(stream, bytearray()).extend(buffer[_HEADER.size : _HEADER.size + length])
            del buffer[: _HEADER.size + length]


def _exit_code(api: APIClient, identity: str, deadline: float) -> int:
    """The exit code; the engine may need a moment after the output's end to know it."""
    while True:
        state: dict[str, Any] = api.exec_inspect(identity)
        if not state.get("Running") and state.get("ExitCode") is not None:
            return int(state["ExitCode"])
        if time.monotonic() > deadline:
            raise EnvironmentFault(
                "A command closed its output but did not end.", "See how the node is with `votesync status`."
            )
        time.sleep(0.01)


def _shut(link: socket.socket) -> None:
    try:
        link.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
