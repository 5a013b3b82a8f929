"""What the Docker SDK raises, turned into votesync's errors in one place: what is wrong, and what to do.

The engine says most things only in prose, so the prose is looked at; a sentence that is not known is passed on as it is.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from votesync_cli.errors import CommandFailed, EnvironmentFault, VotesyncError

LOCAL = "or run it without Docker: --engine local"


class _Known(NamedTuple):
    """A sentence of the engine: the pattern, what we say (it may use the groups), the hint, and the class."""

    pattern: re.Pattern[str]
    message: str
    hint: str
    error: type[VotesyncError] = EnvironmentFault


def _known(pattern: str, message: str, hint: str, error: type[VotesyncError] = EnvironmentFault) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE | re.DOTALL), message, hint, error)


_KNOWN = (
    _known(
        r"(?:Bind for |listen tcp\S* |exposing port TCP )\S*?:(?P<port>\d+)\b.*?(?:already allocated|already in use)",
        "Port {port} is taken by another program.",
        "Publish another one (--publish PORT), or none: `send` and `status` do not need it.",
    ),
    _known(
        r"port is already allocated|address already in use",
        "A port that is to be published is taken by another program.",
        "Publish another one (--publish PORT), or none: `send` and `status` do not need it.",
    ),
    _known(
        r"non-overlapping IPv4 address pool|address pools have been fully subnetted",
        "Docker has no address range left for another network.",
        "Remove networks that nobody uses (docker network prune), or widen default-address-pools in Docker's daemon.json.",
    ),
    _known(
        r"no space left on device",
        "The disk of the Docker Engine is full.",
        "See what takes the room with `docker system df`, and free some with `docker system prune`.",
    ),
    _known(
        r'container name "/?(?P<name>[^"]+)" is already in use by container "?(?P<id>[0-9a-f]{12})',
        "The container name {name} is taken by container {id}, which is not of this project.",
        "Remove it (docker rm -f {id}), or give the project another name (-p NAME).",
    ),
    _known(
        r"network with name (?P<name>\S+) already exists",
        "A network called {name} is there, but it is not this project's.",
        "Remove it (docker network rm {name}), or give the project another name (-p NAME).",
    ),
    _known(
        r"(?:Mounts denied|path .* is not shared from the host).*",
        "Docker Desktop may not see this directory.",
        "Share it under Settings > Resources > File sharing, or move the project below your home directory.",
    ),
    _known(
        r"(?:bind source path does not exist|invalid mount config).*?(?P<path>/\S*)?$",
        "The Docker Engine does not see the directory {path}.",
        f"A remote engine has no access to this machine's files: use an engine here, {LOCAL}.",
    ),
    _known(
        r"(?:cannot allocate memory|out of memory)",
        "The machine has no memory left for another container.",
        "Stop what you do not need, or ask for fewer nodes (--nodes).",
    ),
    _known(r"is already paused", "It is paused already.", "Let it go on with `votesync unpause`.", CommandFailed),
    _known(r"is not paused", "It is not paused.", "Nothing needs to be done.", CommandFailed),
    _known(r"is paused|paused container", "It is paused.", "Let it go on with `votesync unpause`.", CommandFailed),
    _known(r"is not running", "It is not running.", "Start it with `votesync start`.", CommandFailed),
    _known(r"no such container", "It is gone.", "Start the cluster with `votesync up`.", CommandFailed),
)


def fault_from_text(text: str, action: str) -> VotesyncError:
    """The error for what the engine said while it was asked to `action` (an infinitive)."""
    for known in _KNOWN:
        match = known.pattern.search(text)
        if match:
            groups = {name: value or "" for name, value in match.groupdict().items()}
            message = known.message.format(**groups)
            if known.error is CommandFailed:
                message = f"Docker could not {action}: {message[0].lower()}{message[1:]}"
            return known.error(message, known.hint.format(**groups))
    return EnvironmentFault(
        f"Docker could not {action}: {' '.join(text.split()).rstrip('.') or 'it gave no reason'}.",
        f"Look at the engine (docker info) and its log, {LOCAL}.",
    )


def fault(error: BaseException, action: str, address: str = "") -> VotesyncError:
    """The error for an exception of the SDK or of what lies under it."""
    for cause in _chain(error):
        explanation = getattr(cause, "explanation", None)
        if explanation:
            return fault_from_text(str(explanation), action)
        unreachable = _unreachable(cause, address)
        if unreachable is not None:
            return unreachable
    return fault_from_text(str(error), action)


@contextlib.contextmanager
def translated(action: str, address: str = "") -> Iterator[None]:
    """Inside, whatever the SDK raises becomes an error of `votesync_cli.errors`.

    Raises: EnvironmentFault, CommandFailed.
    """
    import urllib3.exceptions
    from docker.errors import DockerException

    try:
        yield
    except (DockerException, OSError, urllib3.exceptions.HTTPError) as error:  # APIError and requests' errors are OSErrors
        raise fault(error, action, address) from None


def _unreachable(cause: BaseException, address: str) -> EnvironmentFault | None:
    where = f" at {address}" if address else ""
    start = "sudo systemctl start docker, or open Docker Desktop"
    if isinstance(cause, FileNotFoundError):
        return EnvironmentFault(f"No Docker Engine answers{where}: there is no such socket.", f"Start it ({start}), {LOCAL}.")
    if isinstance(cause, PermissionError):
        hint = f"Join its group (sudo usermod -aG docker $USER, then log in again), {LOCAL}."
        return EnvironmentFault(f"You may not use the Docker Engine{where}: permission denied.", hint)
    if isinstance(cause, ConnectionError | EOFError):
        return EnvironmentFault(f"No Docker Engine answers{where}: the connection failed.", f"Start it ({start}), {LOCAL}.")
    if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
        hint = f"Restart it (sudo systemctl restart docker), {LOCAL}."
        return EnvironmentFault(f"The Docker Engine{where} does not answer in time.", hint)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that lie under it: the SDK hides the cause in `args`, `reason`, `__cause__` or `__context__`."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        cause = todo.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        under = (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
        todo.extend(item for item in under if isinstance(item, BaseException))
