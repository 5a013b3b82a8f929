"""What the local engine remembers of a project: one JSON file, replaced atomically, under one lock.

The intent is written before a process is started and the pid right after, so a crash in between leaves a record
without a pid, whose process is then found by its mark.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from votesync_cli.engines.local_processes import Identity
from votesync_cli.errors import EnvironmentFault

_FORMAT = 1
_LOCK_POLL = 0.02  # seconds

Ports = dict[str, dict[int, int]]  # service -> port in the compose file -> port on 127.0.0.1


@dataclass(frozen=True, slots=True)
class Record:
    """One service as it was started. `spawn` is the nonce of its mark; `own` and `supervisor` are its two processes.

    Both are None between the intent and the start; `started_at` is in Unix seconds. `start_period` is how many seconds a
    node may take to become well, None where the compose file defines no healthcheck.
    """

    service: str
    role: str
    id: int
    config_hash: str
    environment: Mapping[str, str]
    command: tuple[str, ...]
    spawn: str
    started_at: float
    start_period: float | None = None
    user: tuple[int, int] | None = None
    own: Identity | None = None
    supervisor: Identity | None = None


@dataclass(slots=True)
class State:
    """The whole of it. `directory` is where it was written: a copy of a project elsewhere does not own its processes."""

    directory: str
    ports: Ports = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)


class Damaged(EnvironmentFault):
    """The state file cannot be read; what runs can still be found by its mark."""


def load(directory: Path) -> State:
    """The state under this directory; an empty one where there is none, or where it is a copy of another project's.

    Raises: Damaged.
    """
    here = str(directory)
    try:
        text = _file(directory).read_text("utf-8")
        state = _from_json(json.loads(text))
    except FileNotFoundError:
        return State(here)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Damaged(
            f"The record of running processes {_file(directory)} is damaged ({error}).",
            "Run `votesync down`: it finds the processes without that file. Then run `votesync up`.",
        ) from None
    except OSError as error:
        raise _unusable(directory, error) from None
    if state.directory != here and _file(Path(state.directory)).exists():
        return State(here)
    return state


def save(directory: Path, state: State) -> None:
    """Replace the state file: a temporary file, fsync, rename, fsync of the directory.

    Raises: EnvironmentFault.
    """
    data = json.dumps({"format": _FORMAT, **asdict(state)}, indent=1).encode()
    temporary = directory / "state.json.new"
    try:
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(_file(directory))
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise _unusable(directory, error) from None


def busy(project: str) -> str:
    """What whoever waits for a project is told."""
    return f"Another votesync is bringing project {project} up or down"


@contextlib.contextmanager
def locked(path: Path, wait: float, busy: str) -> Iterator[None]:
    """Hold the lock file `path` for as long as the block lasts; `busy` says what somebody else is doing with it.

    The lock belongs to an open file that no child inherits, so the end of this process, however it comes, frees it.
    A lock file that was removed while we waited for it is not the lock any more: the new one is taken.

    Raises: EnvironmentFault where it is still taken after `wait` seconds; the sentence names the holder's pid.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _unusable(path.parent, error) from None
        try:
            if _try_lock(handle) and _is_still(handle, path):
                os.truncate(handle, 0)
                os.pwrite(handle, b"%d\n" % os.getpid(), 0)
                yield
                return
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
        finally:
            os.close(handle)
        if time.monotonic() >= deadline:
            raise EnvironmentFault(f"{busy} (process {holder}).", "Wait until it has ended, or end it with Ctrl-C there.")
        time.sleep(_LOCK_POLL)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _file(directory: Path) -> Path:
    return directory / "state.json"


def _unusable(directory: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"{directory} cannot be used: {error.strerror or error}.",
        "Make it writable for you (it may belong to root), or free some space.",
    )


def _from_json(data: Any) -> State:
    if data["format"] != _FORMAT:
        raise ValueError(f"its format is {data['format']!r}, not {_FORMAT}")
    ports = {
        service: {int(port): int(mapped) for port, mapped in mapping.items()} for service, mapping in data["ports"].items()
    }
    return State(str(data["directory"]), ports, {name: _record(row) for name, row in data["records"].items()})


def _record(row: dict[str, Any]) -> Record:
    return Record(
        **{
            **row,
            "command": tuple(row["command"]),
            "user": tuple(row["user"]) if row["user"] else None,
            "own": Identity(**row["own"]) if row["own"] else None,
            "supervisor": Identity(**row["supervisor"]) if row["supervisor"] else None,
        }
    )
