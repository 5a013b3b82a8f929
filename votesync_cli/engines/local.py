"""The local engine: the services of the compose file as processes on loopback, with no more than this package.

What runs outlives the program that started it (`local_spawn`), is told apart for certain from everybody else's
processes (`local_processes`), and is written down before and after each step (`local_state`), so that `down` ends
exactly what `up` started, whatever happened in between. Under `.votesync/local/<project>/` lie `state.json`, one
`<service>.log` each, and what the supervisors wrote about the ends of their services.

`restart:` of the compose file is not acted on: a node that was killed stays dead until `start`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from votesync_cli.compose_model import ComposeProject, Service
from votesync_cli.engines import local_calls, local_logs, local_services, local_state
from votesync_cli.engines.base import Finished, LogLine, Observed, Progress
from votesync_cli.engines.directories import make_directory, owner_of
from votesync_cli.engines.local_lives import Lives
from votesync_cli.engines.local_ports import Reservations, rewriter
from votesync_cli.engines.local_processes import ProcessTable, this_machine
from votesync_cli.engines.local_state import Damaged, Ports, Record, State
from votesync_cli.errors import CommandFailed, EnvironmentFault

_LOCK_WAIT = 10.0  # seconds that a verb waits for another one to finish its step


class LocalEngine:
    """Processes on loopback. One object serves one run of the CLI; `close` ends what it holds (a lock, port reservations).

    `prepare` takes the project's lock and keeps it until `close`, so that two `up`s of one project do not mix.
    """

    name = "local"

    def __init__(self, table: ProcessTable | None = None) -> None:
        self._table = table or this_machine()
        self._held = contextlib.ExitStack()
        self._preparing: Path | None = None
        self._reservations = Reservations()

    def close(self) -> None:
        """Let go of the project: other `up`s may begin. The services go on."""
        self._held.close()
        self._preparing = None
        self._reservations.release()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self, project: ComposeProject, progress: Progress) -> None:
        """Make the directories and choose the ports.

        Raises: EnvironmentFault where another `up` or `down` is at work, a published port is taken, or a directory
        cannot be made.
        """
        place = _place(project)
        with contextlib.ExitStack() as undo:
            if self._preparing != place:
                _make_place(project)
                undo.enter_context(local_state.locked(place / "up.lock", 0.0, local_state.busy(project.name)))
            with self._changed(project) as state:
                known = state.ports if state.records else {}
                state.ports = local_services.assign_ports(project.services, known, self._take(project))
                local_services.make_directories(project)
                local_state.save(place, state)
                _say_moved(project, known, state.ports, progress)
            self._held.enter_context(undo.pop_all())
            self._preparing = place

    def create(self, project: ComposeProject, service: Service) -> None:
        """Start a service for the first time.

        Raises: CommandFailed where it exists already.
        """
        with self._changed(project) as state:
            if service.name in state.records:
                raise CommandFailed(
                    f"{service.name} exists already.", "Run `votesync ps` to see it, then run the command again."
                )
            if any(node.name not in state.ports for node in project.nodes):
                state.ports = local_services.assign_ports(project.services, state.ports, self._take(project))
            told = local_services.environment(project, service, state.ports)
            record = Record(
                service=service.name,
                role=service.role,
                id=service.id,
                config_hash=service.config_hash,
                environment=told,
                command=local_services.command(service.command, rewriter(state.ports)),
                spawn=os.urandom(8).hex(),
                started_at=time.time(),
                start_period=service.healthcheck.start_period if service.healthcheck else None,
                user=owner_of(service),
            )
            self._lives(project, state).begin(record, self._held_ports(project, state, service.name))

    def start(self, project: ComposeProject, name: str) -> None:
        """Start again with the environment and the ports it had; one that runs is left alone.

        Raises: CommandFailed where it is paused or unknown, EnvironmentFault where one of its ports was taken meanwhile.
        """
        with self._changed(project) as state:
            lives = self._lives(project, state)
            record = lives.record(name)
            life = lives.look(record)
            if life.state == "paused":
                raise CommandFailed(f"{name} is paused.", f"Run `votesync unpause {name}`.")
            if life.state == "running":
                return
            lives.begin_again(record, self._held_ports(project, state, name))

    def stop(self, project: ComposeProject, name: str, timeout: float = 10.0) -> None:
        """SIGTERM, and SIGKILL for what still lives after `timeout` seconds. A paused service is woken for it.

        Raises: CommandFailed where it does not exist.
        """
        lives = self._read_lives(project)
        lives.known(name)
        lives.end(name, timeout)

    def kill(self, project: ComposeProject, name: str) -> None:
        """SIGKILL.

        Raises: CommandFailed where it does not run.
        """
        self._read_lives(project).kill(name)

    def pause(self, project: ComposeProject, name: str) -> None:
        """SIGSTOP.

        Raises: CommandFailed where it does not run or is paused already.
        """
        self._read_lives(project).pause(name)

    def unpause(self, project: ComposeProject, name: str) -> None:
        """SIGCONT.

        Raises: CommandFailed where it is not paused.
        """
        self._read_lives(project).unpause(name)

    def remove(self, project: ComposeProject, name: str) -> None:
        """End a service (SIGTERM, then SIGKILL) and forget it: its record, its log, its exit code. Its data stays."""
        place = _place(project)
        if not self._exists(project):
            return
        with self._alone(project), self._locked(project):
            try:
                state = local_state.load(place)
            except Damaged:
                self._lives(project, State(str(place))).end(name)
            else:
                self._lives(project, state).end(name)
                if state.records.pop(name, None) is not None:
                    local_state.save(place, state)
            for left in (place / f"{name}.log", *place.glob(f"{name}.*.exit")):
                left.unlink(missing_ok=True)

    def teardown(self, project: ComposeProject, *, volumes: bool) -> Sequence[str]:
        """End whatever of this project still runs and remove the engine's files; the journals' content too if `volumes`."""
        place = _place(project)
        removed: list[str] = []
        if self._exists(project):
            with self._alone(project), self._locked(project):
                lives = self._read_lives(project)
                for name in lives.names():
                    lives.end(name)
                    removed.append(name)
                shutil.rmtree(place)
            removed.append(str(place))
            with contextlib.suppress(OSError):  # other projects of this directory are in there
                place.parent.rmdir()
        self.close()
        if volumes:
            removed += local_services.remove_journals(project)
        return removed

    def observe(self, project: ComposeProject) -> Sequence[Observed]:
        """All services that were started and not removed; those of a damaged state file as far as they still run."""
        return local_calls.observe(project, self._read_lives(project))

    def logs(self, project: ComposeProject, names: Sequence[str], *, follow: bool, since: float | None) -> Iterator[LogLine]:
        """What the services wrote, in the order of time; with `follow`, until all of them have ended."""
        place = _place(project)

        def running() -> bool:
            lives = self._read_lives(project)
            return any(lives.runs(name) for name in names)

        return local_logs.read({name: place / f"{name}.log" for name in names}, since, running if follow else None)

    def raw_log(self, project: ComposeProject, name: str) -> Iterator[bytes]:
        """What is in its log file; nothing where there is none."""
        with contextlib.suppress(FileNotFoundError), (_place(project) / f"{name}.log").open("rb") as stream:
            while piece := stream.read(1 << 20):
                yield piece

    def log_files(self, project: ComposeProject) -> Mapping[str, Path]:
        """The log of each service that was started and not removed."""
        return {path.stem: path for path in sorted(_place(project).glob("*.log"))}

    def run(
        self, project: ComposeProject, name: str, command: Sequence[str], stdin: bytes = b"", timeout: float = 10.0
    ) -> Finished:
        """A process beside the service, with its environment; `<service>:<port>` in the command means that service.

        Raises: CommandFailed where the service does not run, TimedOut.
        """
        state = local_state.load(_place(project))
        record = self._lives(project, state).running(name)
        return local_calls.run(record, command, state.ports, _place(project), stdin, timeout)

    def admin(self, project: ComposeProject, name: str, request: dict[str, object], timeout: float = 5.0) -> dict[str, object]:
        """Ask the node's admin socket.

        Raises: CommandFailed where it does not run or answers nothing sensible, TimedOut.
        """
        return local_calls.admin(self._lives(project, local_state.load(_place(project))).running(name), request, timeout)

    def _take(self, project: ComposeProject) -> Callable[[int], bool]:
        return partial(self._reservations.take, owner=str(_place(project)))

    def _held_ports(self, project: ComposeProject, state: State, name: str) -> list[int]:
        """The reservations of the project's ports, as descriptors for a service to keep as long as it lives.

        Raises: EnvironmentFault where a port that it had has been taken meanwhile.
        """
        take, held = self._take(project), self._reservations.held
        for port in state.ports.get(name, {}).values():
            if not take(port):
                raise EnvironmentFault(
                    f"Port {port}, which {name} was given, has been taken by somebody else.",
                    "End what listens there, or run `votesync down` and `votesync up` for new ports.",
                )
        return [held[port] for ports in state.ports.values() for port in ports.values() if port in held]

    def _exists(self, project: ComposeProject) -> bool:
        """Whether there is anything of this project; somebody may have removed its files while it ran."""
        return _place(project).is_dir() or bool(self._read_lives(project).names_running())

    def _lives(self, project: ComposeProject, state: State) -> Lives:
        return Lives(self._table, _place(project), state)

    def _read_lives(self, project: ComposeProject) -> Lives:
        try:
            state = local_state.load(_place(project))
        except Damaged:
            state = State(str(_place(project)))
        return self._lives(project, state)

    @contextlib.contextmanager
    def _changed(self, project: ComposeProject) -> Iterator[State]:
        """The state, for this program alone to change; whoever changes it saves it, before the next step outside.

        Raises: Damaged, EnvironmentFault where another one holds it too long.
        """
        place = _place(project)
        with self._locked(project):
            state = local_state.load(place)
            if state.directory != str(place) and not self._lives(project, state).names_running():
                state.directory = str(place)  # the project was moved while nothing of it ran
            yield state

    def _locked(self, project: ComposeProject) -> contextlib.AbstractContextManager[None]:
        _make_place(project)
        return local_state.locked(_place(project) / "state.lock", _LOCK_WAIT, f"Project {project.name} is being changed")

    def _alone(self, project: ComposeProject) -> contextlib.AbstractContextManager[None]:
        _make_place(project)
        if self._preparing == _place(project):
            return contextlib.nullcontext()
        return local_state.locked(_place(project) / "up.lock", _LOCK_WAIT, local_state.busy(project.name))


def _place(project: ComposeProject) -> Path:
    return (project.state_dir / "local" / project.name).resolve()


def _make_place(project: ComposeProject) -> None:
    """Supervisors write there, so it belongs to whom the services run as; a broken compose file names nobody."""
    make_directory(_place(project), owner_of(project.services[0]) if project.services else None)


def _say_moved(project: ComposeProject, before: Ports, now: Ports, progress: Progress) -> None:
    """Name the ports of this `up` that are not those of the compose file."""
    moved = [
        f"{port} ({node.name} uses {now[node.name][port]})"
        for node in project.nodes
        for port in local_services.own_ports(node).values()
        if port not in before.get(node.name, {}) and now[node.name][port] != port
    ]
    if moved:
        more = f" and {len(moved) - 1} more; `votesync ps` shows the addresses" if len(moved) > 1 else ""
        progress(f"Ports that are taken: {moved[0]}{more}.")
