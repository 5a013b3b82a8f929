"""Which ports of 127.0.0.1 a project gets: those of its compose file where they are free, else the next free ones.

All containers may listen on one port number each in a network of their own; on loopback they share the numbers. Ports
chosen here are reserved, so that two `up`s side by side do not choose the same: by a lock on a file that names the
project. All services that `up` starts inherit all of them, so that a port stays the project's while its node is down.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from votesync_cli.errors import EnvironmentFault

LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535
_MOST = 8192  # bytes of a project's name, which is a path


class Reservations:
    """Ports that are spoken for; other programs of this user that ask here find them taken."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}  # port -> descriptor

    def take(self, port: int, owner: str) -> bool:
        """Reserve a port for a project: True where it is its own now, False where somebody listens on it or has reserved it."""
        if port in self.held:
            return True
        handle = _open(port)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reserved = os.pread(handle, _MOST, 0) == os.fsencode(owner)  # by the services that run
            os.close(handle)
            return reserved and is_free(port)
        os.ftruncate(handle, 0)
        os.pwrite(handle, os.fsencode(owner), 0)
        if not is_free(port):
            os.close(handle)
            return False
        self.held[port] = handle
        return True

    def release(self) -> None:
        """Let go of all; what a service has inherited lasts as long as the service. The files stay, they are small."""
        for handle in self.held.values():
            os.close(handle)
        self.held.clear()


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now; one that only waits out TIME_WAIT is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(
    wanted: Iterable[int], fixed: Mapping[int, int], taken: frozenset[int], take: Callable[[int], bool]
) -> dict[int, int]:
    """A port for each wanted one. `fixed` maps those that must be exactly so (published); `taken` are not tried.

    Raises: EnvironmentFault where a fixed port is taken, or none is left.
    """
    chosen: dict[int, int] = {}
    for port in wanted:
        exact = fixed.get(port)
        if exact is not None and (exact in taken or not take(exact)):
            raise EnvironmentFault(
                f"Port {exact} of {LOOPBACK} is taken, and the compose file publishes it.",
                f"End what listens there (`ss -ltnp 'sport = :{exact}'` names it), or publish another port.",
            )
        candidates = range(port, _LAST_PORT + 1) if exact is None else range(0)
        free = exact or next((number for number in candidates if number not in taken and take(number)), None)
        if free is None:
            raise EnvironmentFault(f"No port of {LOOPBACK} from {port} up is free.", "End what listens on them.")
        chosen[port] = free
        taken |= {free}
    return chosen


def rewriter(ports: Mapping[str, Mapping[int, int]]) -> Callable[[str], str]:
    """A function that puts `127.0.0.1:<port>` wherever a text says `<service>:<port of the compose file>`."""
    if not ports:
        return str
    names = "|".join(re.escape(name) for name in sorted(ports, key=len, reverse=True))
    pattern = re.compile(rf"(?<![A-Za-z0-9_.-])({names}):(\d{{1,5}})(?!\d)")

    def replace(match: re.Match[str]) -> str:
        mapped = ports[match[1]].get(int(match[2]), int(match[2]))
        return f"{LOOPBACK}:{mapped}"

    return lambda text: pattern.sub(replace, text)


def _open(port: int) -> int:
    try:
        return os.open(_register() / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EnvironmentFault(
            f"Ports cannot be reserved in {tempfile.gettempdir()}: {error.strerror}.",
            "Set TMPDIR to a directory that you can write to.",
        ) from None


def _register() -> Path:
    """The directory of this user's reservations.

    Raises: EnvironmentFault where somebody else has put something in its place.
    """
    directory = Path(tempfile.gettempdir()) / f"votesync-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    status = directory.lstat()
    if status.st_uid != os.getuid() or not directory.is_dir() or directory.is_symlink():
        raise EnvironmentFault(f"{directory} is somebody else's.", "Remove it, or set TMPDIR to a directory of your own.")
    return directory
