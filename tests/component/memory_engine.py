"""An engine that keeps its services in memory and does what a test tells it to do wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Finished, LogLine, Observed, Progress
from votesync_cli.errors import CommandFailed


class MemoryEngine:
    """`calls` lists what changed something; `faults` maps such a call (`create client_1`) to what is to be raised."""

    name = "memory"

    def __init__(self) -> None:
        self.services: dict[str, Observed] = {}
        self.calls: list[str] = []
        self.faults: dict[str, BaseException] = {}
        self.prepared = False
        self.formed = True
        self.after_create: Callable[[Service], Observed] | None = None

    def _call(self, verb: str, name: str) -> None:
        call = f"{verb} {name}"
        self.calls.append(call)
        if call in self.faults:
            raise self.faults[call]

    def _state(self, name: str, state: str, code: int | None = None) -> None:
        old = self.services[name]
        self.services[name] = Observed(name, old.role, old.id, state, config_hash=old.config_hash, exit_code=code)

    def close(self) -> None:
        """Nothing is held."""

    def prepare(self, project: ComposeProject, progress: Progress) -> None:
        self._call("prepare", project.name)
        self.prepared = True

    def create(self, project: ComposeProject, service: Service) -> None:
        self.services[service.name] = Observed(
            service.name, service.role, service.id, "running", config_hash=service.config_hash
        )
        if self.after_create is not None:
            self.services[service.name] = self.after_create(service)
        self._call("create", service.name)

    def start(self, project: ComposeProject, name: str) -> None:
        self._call("start", name)
        self._state(name, "running")

    def stop(self, project: ComposeProject, name: str, timeout: float = 10.0) -> None:
        self._call("stop", name)
        self._state(name, "exited", 0)

    def kill(self, project: ComposeProject, name: str) -> None:
        self._call("kill", name)
        self._state(name, "exited", 137)

    def pause(self, project: ComposeProject, name: str) -> None:
        self._call("pause", name)
        self._state(name, "paused")

    def unpause(self, project: ComposeProject, name: str) -> None:
        self._call("unpause", name)
        self._state(name, "running")

    def remove(self, project: ComposeProject, name: str) -> None:
        self._call("remove", name)
        self.services.pop(name, None)

    def teardown(self, project: ComposeProject, *, volumes: bool) -> Sequence[str]:
        self._call("teardown", project.name)
        self.prepared = False
        return []

    def observe(self, project: ComposeProject) -> Sequence[Observed]:
        return list(self.services.values())

    def logs(self, project: ComposeProject, names: Sequence[str], *, follow: bool, since: float | None) -> Iterator[LogLine]:
        for name in names:
            yield from (LogLine(name, f"line {number} of {name}") for number in range(20))

    def raw_log(self, project: ComposeProject, name: str) -> Iterator[bytes]:
        for line in self.logs(project, [name], follow=False, since=None):
            yield line.line.encode() + b"\n"

    def log_files(self, project: ComposeProject) -> Mapping[str, Path]:
        return {}

    def run(
        self, project: ComposeProject, name: str, command: Sequence[str], stdin: bytes = b"", timeout: float = 10.0
    ) -> Finished:
        raise CommandFailed(f"{name} runs nothing.", "It is in memory only.")

    def admin(self, project: ComposeProject, name: str, request: dict[str, object], timeout: float = 5.0) -> dict[str, object]:
        if self.services[name].state != "running":
            raise CommandFailed(f"{name} does not run.", "Start it.")
        peers = {str(node.id): {"connected": self.formed} for node in project.nodes if node.name != name}
        return {"leader": 0 if self.formed else None, "healthy": self.formed, "peers": peers}
