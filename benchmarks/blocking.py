"""Blocking clients for workers that do one thing after the other: gRPC calls, Redis commands."""

from __future__ import annotations

import socket

from benchmarks.grpc_wire import Http2, greeting


class Caller:
    """One gRPC connection to 127.0.0.1, one call at a time."""

    def __init__(self, port: int, timeout: float = 30.0) -> None:
        self._link = Http2(f"127.0.0.1:{port}")
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(greeting())

    def call(self, path: str, body: bytes) -> bytes:
        """Make a call and wait for its answer.

        Raises: OSError, WireError.
        """
        self._socket.sendall(self._link.call(path, body))
        while True:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            ended, back = self._link.feed(data)
            if back:
                self._socket.sendall(back)
            if ended:
                return ended[0]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class Redis:
    """One connection to a Redis server on 127.0.0.1; answers are single lines."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, *words: str) -> bytes:
        """Send a command; the first line of the answer.

        Raises: OSError; ConnectionError for an error answer.
        """
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self._socket.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        data = b""
        while not data.endswith(b"\r\n"):
            more = self._socket.recv(4096)
            if not more:
                raise ConnectionError("the server closed the connection")
            data += more
        if data.startswith(b"-"):
            raise ConnectionError(data.decode(errors="replace").strip())
        return data

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
