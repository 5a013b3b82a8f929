"""Asks a node's admin socket: `python -m node_runtime ctl status|health|faults|heal|fault …`, and `ask` for programs.

It imports next to nothing, for a healthcheck starts it every second.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SOCKET = "admin.sock"
MAX_REPLY = 4 * 1024 * 1024
_LONGEST = 100  # bytes that a socket's path may have everywhere (macOS: 103, Linux: 107)
_USAGE = """usage: python -m node_runtime ctl [--data-dir DIR] [--timeout SECONDS] COMMAND
  status | health | faults | heal [ID]
  fault cut|delay|drop|dup|reorder|skew [--from IDS] [--to IDS] [--amount N] [--jitter MS] [--for-ms MS] [--seed N]
  '{"op": …}'   (one request as JSON)"""


class _UsageError(Exception):
    """The command line cannot be understood."""


def ask(data_dir: str, request: dict[str, object], timeout: float = 5.0) -> dict[str, object]:
    """Send one request to the node whose journal lies in `data_dir`, and return its reply.

    Raises: OSError when no node answers there in `timeout` seconds, ValueError when what answers is not a node.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, reachable(data_dir) as path:
        sock.settimeout(timeout)
        sock.connect(path)
        sock.sendall(json.dumps(request).encode() + b"\n")
        reply = bytearray()
        while not reply.endswith(b"\n"):
            part = sock.recv(65536)
            if not part:
                raise ConnectionError("the node hung up before it had answered")
            reply += part
            if len(reply) > MAX_REPLY:
                raise ValueError(f"the reply is longer than {MAX_REPLY} bytes")
    answer = json.loads(reply)
    if not isinstance(answer, dict):
        raise ValueError("the reply is not a JSON object")
    return answer


@contextmanager
def reachable(data_dir: str) -> Iterator[str]:
    """A path of the admin socket that is short enough for a socket's address, however long `data_dir` is."""
    path = os.path.join(data_dir, SOCKET)
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
    elif os.path.isdir("/proc/self/fd"):
        directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{directory}/{SOCKET}"
        finally:
            os.close(directory)
    else:
        import tempfile  # only here: it would double the time that a healthcheck takes to start

        with tempfile.TemporaryDirectory() as shelter:
            link = os.path.join(shelter, "d")
            os.symlink(os.path.abspath(data_dir), link)
            yield os.path.join(link, SOCKET)


def main(argv: list[str]) -> int:
    """Run one command: prints the reply as one JSON line; 0 fine, 1 refused or unhealthy or no answer, 2 usage."""
    try:
        options, words = _options(argv, {"--data-dir": str, "--timeout": float})
        request = _request(words)
    except _UsageError as error:
        sys.stderr.write(f"{error}\n{_USAGE}\n")
        return 2
    data_dir = str(options.get("--data-dir") or os.environ.get("DATA_DIR") or "/data")
    timeout = options.get("--timeout", 5.0)
    assert isinstance(timeout, float)
    try:
        reply = ask(data_dir, request, timeout)
    except (OSError, ValueError) as error:
        reply = {"ok": False, "error": f"no node answers in {data_dir} ({error or type(error).__name__}). Is it running?"}
    sys.stdout.write(json.dumps(reply, separators=(",", ":"), ensure_ascii=False) + "\n")
    return 0 if reply.get("ok") is True else 1


def _request(words: list[str]) -> dict[str, object]:
    if not words:
        raise _UsageError("a command is missing")
    command, rest = words[0], words[1:]
    if command.startswith("{") and not rest:
        try:
            request = json.loads(command)
        except ValueError as error:
            raise _UsageError(f"the request is not JSON: {error}") from None
        return dict(request)
    if command in {"status", "health", "faults"} and not rest:
        return {"op": command}
    if command == "heal" and len(rest) <= 1:
        return {"op": "heal"} | ({"id": _read("heal", rest[0], int)} if rest else {})
    if command == "fault":
        return _fault(rest)
    raise _UsageError(f"cannot understand {' '.join(words)!r}")


def _fault(words: list[str]) -> dict[str, object]:
    numbers = {"--amount": float, "--jitter": float, "--for-ms": float}
    options, rest = _options(words, {"--from": _ids, "--to": _ids, "--seed": int, **numbers})
    if len(rest) != 1:
        raise _UsageError("a fault has one kind")
    return {"op": "fault", "kind": rest[0]} | {name[2:].replace("-", "_"): value for name, value in options.items()}


def _options(words: list[str], kinds: dict[str, Callable[[str], object]]) -> tuple[dict[str, object], list[str]]:
    """Take `--name VALUE` and `--name=VALUE` out of `words`; what is left stays in order."""
    found: dict[str, object] = {}
    rest: list[str] = []
    left = iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        if name not in kinds:
            rest.append(word)
            continue
        if not equals:
            value = next(left, "")
        found[name] = _read(name, value, kinds[name])
    return found, rest


def _read(name: str, value: str, kind: Callable[[str], object]) -> object:
    try:
        return kind(value)
    except ValueError:
        raise _UsageError(f"{name} cannot be {value!r}") from None


def _ids(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]
