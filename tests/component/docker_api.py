"""A Docker Engine of a few lines on a real UNIX socket: it answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import re
import shutil
import socket
import socketserver
import struct
import tempfile
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from votesync_cli.engines.docker import DockerEngine

Answer = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request; a test's answer calls `say`, `fail` or `stream`."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        """Find the answer for this request."""
        self.path = re.sub(r"^/v[\d.]+", "", unquote(self.path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake = self.server.fake
        with fake.lock:
            fake.asked.append(f"{self.command} {self.path}")
            answers = [answer for method, pattern, answer in fake.routes if method == self.command and pattern.match(self.path)]
        if not answers:
            self.fail(404, f"page not found: {self.path}")
            return
        answers[-1](self)

    do_GET = do_POST = do_DELETE = handle_any  # the names are the base class's

    def say(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        data = b"" if status == 204 else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status: int, message: str) -> None:
        """Answer as the engine does when it will not."""
        self.say({"message": message}, status)

    def hang_up(self) -> None:
        """Cut the connection without an answer."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def stream(self, pieces: Iterable[bytes]) -> None:
        """Answer with pieces, each sent at once, until there are no more or the client goes away."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            self.wfile.flush()
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    fake: FakeDocker

    def get_request(self) -> tuple[Any, Any]:
        connection, _ = super().get_request()
        return connection, ("docker", 0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is part of the tests."""


class FakeDocker:
    """Use as a context manager; `engine()` is a DockerEngine that talks to it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked: list[str] = []
        self.routes: list[tuple[str, re.Pattern[str], Answer]] = []
        self.directory = Path(tempfile.mkdtemp(prefix="vs-docker-"))  # short: a socket's path has 107 bytes at most
        self.on("GET", "/version", {"ApiVersion": "1.41", "MinAPIVersion": "1.12"})
        self.on("GET", "/info", {"ServerVersion": "20.10.24", "SecurityOptions": [], "OperatingSystem": "Debian"})
        self.on("GET", "/containers/json", [])
        self.on("GET", "/networks", [])

    @property
    def host(self) -> str:
        """What DOCKER_HOST is to be."""
        return f"unix://{self.directory}/docker.sock"

    def on(self, method: str, pattern: str, answer: Answer | object) -> None:
        """From now on answer so; a value that cannot be called is said as JSON."""
        reply: Answer = answer if callable(answer) else lambda exchange: exchange.say(answer)
        with self.lock:
            self.routes.append((method, re.compile(pattern + r"(\?|$)"), reply))

    def engine(self) -> DockerEngine:
        """An engine on this socket."""
        import docker

        return DockerEngine(docker.APIClient(base_url=self.host, version="1.41"), "20.10.24", rootless=False, own_kernel=True)

    def __enter__(self) -> FakeDocker:
        self._server = _Server(str(self.directory / "docker.sock"), Exchange)
        self._server.fake = self
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self.directory)


def frame(text: str, stream: int = 1) -> bytes:
    """A piece of a log as the engine sends it."""
    data = text.encode()
    return struct.pack(">BxxxL", stream, len(data)) + data


def stamp(second: int, nano: int = 0) -> str:
    """A time of the engine: so many seconds into an hour of 2026."""
    return f"2026-11-23T23:{second // 60:02}:{second % 60:02}.{nano:09}Z"
