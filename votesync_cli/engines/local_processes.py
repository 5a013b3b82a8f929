"""Whose process is it? Identity by pid, start time, boot and a mark in the environment, so that a reused pid is never hit.

A pid alone says nothing after a while. `Identity` adds when the process started and in which boot of the machine, and
the mark (`MARK` in the environment a process was started with) says to which service of which project it belongs; it
also finds processes whose pid nobody could write down.

On Linux this reads /proc and sends signals through a pidfd. Elsewhere it reads `ps`, whose start times count seconds.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from votesync_cli.errors import CommandFailed, EnvironmentFault

MARK = "VOTESYNC_LOCAL"  # what the supervisor is started with: directory|service|nonce
PART = "VOTESYNC_LOCAL_PART"  # set for the service's own process only; its supervisor does not have it

_PROC = Path("/proc")
_ENDED = frozenset("ZXx")
_STOPPED = frozenset("Tt")
_PS_ROW = re.compile(r"\s*(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\d+\s+[\d:]+\s+\d+)\s+(.*)")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for all time: `started` is in the words of the table that saw it, `boot` names the machine's boot."""

    pid: int
    started: str
    boot: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A living process. `mark` is "" where its environment could not be read; `stopped` means SIGSTOP is in force."""

    identity: Identity
    parent: int
    stopped: bool
    mark: str
    is_service: bool


class ProcessTable(Protocol):
    """What the operating system tells about processes; those that have ended and wait to be reaped are not listed."""

    def look(self, pid: int) -> Seen | None:
        """The living process with this pid, or None."""
        ...

    def marked(self, prefix: str) -> list[Seen]:
        """The living processes whose mark starts with `prefix`."""
        ...

    def boot(self) -> str:
        """A text that changes with each boot of the machine, or "" where start times tell boots apart."""
        ...


class ProcFs:
    """Linux: /proc."""

    def look(self, pid: int) -> Seen | None:
        try:
            stat = (_PROC / str(pid) / "stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command's name stands in brackets and may hold blanks and brackets itself.
        state, parent, *rest = stat[stat.rindex(b")") + 2 :].decode("ascii").split()
        if state in _ENDED:
            return None
        marks = _environment(pid)
        return Seen(
            Identity(pid, rest[17], self.boot()),  # field 22 of proc(5): start time in clock ticks after boot
            int(parent),
            state in _STOPPED,
            marks.get(MARK, ""),
            PART in marks,
        )

    def marked(self, prefix: str) -> list[Seen]:
        pids = [int(entry) for entry in os.listdir(_PROC) if entry.isdigit()]
        hits = (pid for pid in pids if _environment(pid).get(MARK, "").startswith(prefix))
        return [seen for seen in map(self.look, hits) if seen is not None and seen.mark.startswith(prefix)]

    def boot(self) -> str:
        return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()


class PsTable:
    """Any POSIX system: `ps`. The mark is read off the supervisor's command line, which repeats it; a service's own
    process is the child of its supervisor."""

    def look(self, pid: int) -> Seen | None:
        return next((seen for seen in self._rows() if seen.identity.pid == pid), None)

    def marked(self, prefix: str) -> list[Seen]:
        return [seen for seen in self._rows() if seen.mark.startswith(prefix)]

    def boot(self) -> str:
        return ""

    def _rows(self) -> Iterator[Seen]:
        command = ["ps", "-axww", "-o", "pid=,ppid=,stat=,lstart=,command="]
        try:
            listed = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"})
        except (OSError, subprocess.CalledProcessError) as error:
            raise EnvironmentFault(
                f"The processes cannot be listed: {error}.", "Install `ps`, or use --engine docker."
            ) from None
        rows = _whole_rows(listed.stdout.decode(errors="replace"))
        own = {int(row[1]): mark for row in rows if (mark := _supervisor_mark(row[5]))}
        for row in rows:
            pid, parent = int(row[1]), int(row[2])
            if row[3][0] in _ENDED:
                continue
            inherited = "" if pid in own else own.get(parent, "")
            started = " ".join(row[4].split())
            mark = own.get(pid, inherited)
            yield Seen(Identity(pid, started, ""), parent, row[3][0] in _STOPPED, mark, bool(inherited))


def this_machine() -> ProcessTable:
    """The table that this system has."""
    return ProcFs() if sys.platform == "linux" else PsTable()


def find(table: ProcessTable, identity: Identity, mark: str) -> Seen | None:
    """The process with this identity if it still lives; None where the pid is somebody else's by now.

    A mark that cannot be read (the process is just being executed, or is another user's) does not count against it:
    pid, start time and boot agree already.
    """
    seen = table.look(identity.pid)
    if seen is None or seen.identity != identity or seen.mark not in {"", mark}:
        return None
    return seen


def send(table: ProcessTable, identity: Identity, mark: str, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; False where it has ended.

    On Linux the pidfd is opened first and the identity checked after, so the pid cannot change hands in between.

    Raises: EnvironmentFault where the process belongs to another user.
    """
    try:
        if sys.platform == "linux":
            return _send_through_pidfd(table, identity, mark, number)
        if find(table, identity, mark) is None:
            return False
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise EnvironmentFault(
            f"Process {identity.pid} was started by another user and cannot be signalled.",
            "Run the command as the user who ran `votesync up`.",
        ) from None
    return True


def _send_through_pidfd(table: ProcessTable, identity: Identity, mark: str, number: signal.Signals) -> bool:
    handle = os.pidfd_open(identity.pid)
    try:
        if find(table, identity, mark) is None:
            return False
        signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)
    return True


def make_mark(directory: str, service: str, nonce: str) -> str:
    """The mark of one start of one service; `directory` is where the project's state was kept."""
    return f"{directory}|{service}|{nonce}"


def parse_mark(mark: str) -> tuple[str, str, str]:
    """The directory, service and nonce of a mark.

    Raises: CommandFailed where it is not one of ours.
    """
    head, _, nonce = mark.rpartition("|")
    directory, _, service = head.rpartition("|")
    if not directory or not service or not nonce:
        raise CommandFailed(
            f"{MARK}={mark!r} is no mark of votesync.", "Find out who started that process, and end it by hand."
        )
    return directory, service, nonce


def _environment(pid: int) -> dict[str, str]:
    """MARK and PART in the environment of a process; empty where there are none or it cannot be read."""
    try:
        block = (_PROC / str(pid) / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    if MARK.encode() not in block:
        return {}
    pairs = (entry.partition(b"=") for entry in block.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs if os.fsdecode(name) in {MARK, PART}}


def _whole_rows(listed: str) -> list[re.Match[str]]:
    """The rows of `ps`; a command that holds line breaks goes over several lines on some systems."""
    lines: list[str] = []
    for line in listed.splitlines():
        if _PS_ROW.match(line) or not lines:
            lines.append(line)
        else:
            lines[-1] += " " + line
    return [match for line in lines if (match := _PS_ROW.match(line))]


def _supervisor_mark(command: str) -> str:
    match = re.search(rf"{MARK}=(.*?\|[^|\s]+\|[0-9a-f]+)(?:\s|$)", command)
    return match[1] if match else ""
