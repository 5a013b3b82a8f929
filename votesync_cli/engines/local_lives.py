"""The life of a service as two processes: beginning it, looking at it, ending it, for certain and nothing else.

`Lives` holds what is written down about a project and looks each time anew at what is true. Where the record knows no
pid (a crash between intent and start, or a damaged state file), the mark finds the processes.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from votesync_cli.engines import local_spawn, local_state
from votesync_cli.engines.local_processes import Identity, ProcessTable, Seen, find, make_mark, parse_mark, send
from votesync_cli.engines.local_state import Record, State
from votesync_cli.errors import CommandFailed, EnvironmentFault

_GRACE = 5.0  # seconds between SIGTERM and SIGKILL where nobody says otherwise
_REACTION = 10.0  # seconds that the kernel may take to end a process after SIGKILL (it may sit in a slow disk's queue)
_FIRST_POLL = 0.001
_LAST_POLL = 0.05


class Life(NamedTuple):
    """One look: `state` in docker's words, the service's own process, its supervisor, and how it ended."""

    state: str
    own: Seen | None = None
    supervisor: Seen | None = None
    exit_code: int | None = None


class Lives:
    """The services of one project: `place` is where its files are, `state` what is written there."""

    def __init__(self, table: ProcessTable, place: Path, state: State) -> None:
        self.state = state
        self._table = table
        self._place = place

    def names(self) -> list[str]:
        """Services that are written down, or that run without being written down (a damaged state file)."""
        return list(dict.fromkeys([*self.state.records, *self.names_running()]))

    def names_running(self) -> list[str]:
        """Services of which a process lives."""
        seen = self._table.marked(make_mark(self.state.directory, "", "")[:-1])
        return list(dict.fromkeys(parse_mark(one.mark)[1] for one in seen))

    def record(self, name: str) -> Record:
        """What is written down about a service.

        Raises: CommandFailed where it does not exist.
        """
        if name not in self.state.records:
            raise CommandFailed(f"{name} does not exist.", "Run `votesync up` to make it.")
        return self.state.records[name]

    def running(self, name: str) -> Record:
        """The same, of a service that runs.

        Raises: CommandFailed where it does not.
        """
        record = self.record(name)
        life = self.look(record)
        if life.state == "paused":
            raise CommandFailed(f"{name} is paused.", f"Run `votesync unpause {name}`.")
        if life.state != "running":
            raise CommandFailed(f"{name} is not running.", f"Run `votesync start {name}`.")
        return record

    def known(self, name: str) -> None:
        """Check that there is such a service.

        Raises: CommandFailed.
        """
        if name not in self.state.records and name not in self.names_running():
            self.record(name)

    def runs(self, name: str) -> bool:
        """Whether the service's own process lives, paused or not."""
        return self.look_at(name).own is not None

    def begin(self, record: Record, keep: Sequence[int]) -> None:
        """Write down the intent, start the process, write down its pids. `keep`: descriptors that it inherits.

        Raises: EnvironmentFault where it cannot be started; then it does not exist.
        """
        self._write(record)
        try:
            supervisor, own = local_spawn.spawn(
                record.command,
                record.environment,
                mark=self._mark(record),
                log=self._place / f"{record.service}.log",
                exit_file=self._exit_file(record),
                user=record.user,
                keep=keep,
            )
        except EnvironmentFault:
            del self.state.records[record.service]
            local_state.save(self._place, self.state)
            raise
        self._write(dataclasses.replace(record, own=self._identity(own), supervisor=self._identity(supervisor)))

    def begin_again(self, record: Record, keep: Sequence[int]) -> None:
        """The same for a service that ended: same command, environment and log, a new mark."""
        self._await(lambda: self.look(record).supervisor is None, _REACTION)
        self._exit_file(record).unlink(missing_ok=True)
        nonce = os.urandom(8).hex()
        fresh = dataclasses.replace(record, spawn=nonce, started_at=time.time(), own=None, supervisor=None)
        self.begin(fresh, keep)

    def look(self, record: Record) -> Life:
        """How a service is now. The exit code is None where its supervisor died before it could write it."""
        mark = self._mark(record)
        if record.own is not None and record.supervisor is not None:
            own, supervisor = find(self._table, record.own, mark), find(self._table, record.supervisor, mark)
        else:
            own, supervisor = self._search(mark)
        if own is not None:
            return Life("paused" if own.stopped else "running", own, supervisor)
        code = local_spawn.exit_code(self._exit_file(record))
        if record.own is None and supervisor is None and code is None:
            return Life("created")
        return Life("exited", None, supervisor, code)

    def look_at(self, name: str) -> Life:
        """How the service of this name is now, be it written down or only found by its mark."""
        record = self.state.records.get(name)
        if record is not None:
            return self.look(record)
        own, supervisor = self._search(make_mark(self.state.directory, name, ""))
        state = "exited" if own is None else "paused" if own.stopped else "running"
        return Life(state, own, supervisor)

    def settled(self, record: Record) -> Life:
        """The same, after the moment in which a service has ended and its supervisor has not yet said how."""
        self._await(lambda: (life := self.look(record)).own is not None or life.supervisor is None, 1.0)
        return self.look(record)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it has worked.

        Raises: CommandFailed where it does not run.
        """
        if not self._signal(name, signal.SIGKILL):
            raise CommandFailed(f"{name} is not running.", f"Run `votesync start {name}` first.")
        self._finish(name)

    def pause(self, name: str) -> None:
        """SIGSTOP, and wait until the process stands still.

        Raises: CommandFailed where it does not run or is paused already.
        """
        if self.look_at(name).state == "paused":
            raise CommandFailed(f"{name} is paused already.", f"Run `votesync unpause {name}` to let it go on.")
        if not self._signal(name, signal.SIGSTOP):
            raise CommandFailed(f"{name} is not running.", f"Run `votesync start {name}` first.")
        self._await(lambda: self.look_at(name).state != "running", _REACTION)

    def unpause(self, name: str) -> None:
        """SIGCONT.

        Raises: CommandFailed where it is not paused.
        """
        if self.look_at(name).state != "paused":
            raise CommandFailed(f"{name} is not paused.", "Run `votesync ps` to see how it is.")
        self._signal(name, signal.SIGCONT)
        self._await(lambda: self.look_at(name).state != "paused", _REACTION)

    def end(self, name: str, grace: float = _GRACE) -> None:
        """SIGTERM, SIGKILL after `grace` seconds, and wait until nothing of the service lives. Fine if nothing does."""
        if self._signal(name, signal.SIGTERM):
            self._signal(name, signal.SIGCONT)  # a paused process takes no SIGTERM
            if not self._await(lambda: self.look_at(name).own is None, grace):
                self._signal(name, signal.SIGKILL)
        self._finish(name)

    def _finish(self, name: str) -> None:
        """Wait for the supervisor too; one that has lost its way is killed, and whatever it was just starting with it."""
        if self._await(lambda: self._gone(name), 1.0):
            return
        deadline = time.monotonic() + _REACTION
        while not self._gone(name):
            life = self.look_at(name)
            for seen in filter(None, (life.supervisor, life.own)):
                send(self._table, seen.identity, seen.mark, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"{name} does not end, even by SIGKILL.", "Its disk may hang; look at `dmesg`, then try again."
                )
            time.sleep(_FIRST_POLL)

    def _gone(self, name: str) -> bool:
        life = self.look_at(name)
        return life.own is None and life.supervisor is None

    def _signal(self, name: str, number: signal.Signals) -> bool:
        own = self.look_at(name).own
        return own is not None and send(self._table, own.identity, own.mark, number)

    def _search(self, prefix: str) -> tuple[Seen | None, Seen | None]:
        """The own process and the supervisor whose mark starts so."""
        seen = self._table.marked(prefix)
        own = next((one for one in seen if one.is_service), None)
        return own, next((one for one in seen if not one.is_service), None)

    def _identity(self, pid: int) -> Identity:
        seen = self._table.look(pid)
        return seen.identity if seen is not None else Identity(pid, "", "")

    def _write(self, record: Record) -> None:
        self.state.records[record.service] = record
        local_state.save(self._place, self.state)

    def _mark(self, record: Record) -> str:
        return make_mark(self.state.directory, record.service, record.spawn)

    def _exit_file(self, record: Record) -> Path:
        return self._place / f"{record.service}.{record.spawn}.exit"

    @staticmethod
    def _await(condition: Callable[[], bool], limit: float) -> bool:
        deadline = time.monotonic() + limit
        pause = _FIRST_POLL
        while not condition():
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, _LAST_POLL)
        return True
