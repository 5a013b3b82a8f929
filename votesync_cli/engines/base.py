"""What an engine is: it runs the services of a compose file, wherever it runs them.

Every method is one call on the outside world; deciding what to call is `plan.py`'s. An engine finds what belongs
to a project by label (docker) or by its own records (local), never by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from votesync_cli.compose import ComposeProject, Service


@dataclass(frozen=True, slots=True)
class Observed:
    """One service as the engine finds it; `state` and `health` use docker's words.

    state: created, running, paused, restarting, exited, dead. health: starting, healthy, unhealthy, or "" where
    none is defined. `config_hash` is what the service was started with, to be compared with what is wanted.
    """

    service: str
    role: str
    id: int
    state: str
    health: str = ""
    config_hash: str = ""
    pid: int | None = None
    container: str | None = None
    exit_code: int | None = None
    client_address: str | None = None
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a service wrote; `ts` is when, in Unix seconds, as the engine knows it (or 0)."""

    service: str
    line: str
    ts: float = 0.0


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command run inside a service left behind."""

    code: int
    stdout: bytes = b""
    stderr: bytes = field(default=b"")


Progress = Callable[[str], None]


class Engine(Protocol):
    """The calls that verbs make. Each raises an error of `votesync_cli.errors` and nothing else."""

    name: str

    def close(self) -> None:
        """Let go of what this object holds: connections, locks. The services go on."""
        ...

    def prepare(self, project: ComposeProject, progress: Progress) -> None:
        """Make what the services need: the image and the network, or the directories."""
        ...

    def create(self, project: ComposeProject, service: Service) -> None:
        """Create and start one service that does not exist."""
        ...

    def start(self, project: ComposeProject, name: str) -> None:
        """Start a service that was stopped or killed."""
        ...

    def stop(self, project: ComposeProject, name: str, timeout: float = 10.0) -> None:
        """Ask a service to end (SIGTERM), then make it (SIGKILL)."""
        ...

    def kill(self, project: ComposeProject, name: str) -> None:
        """SIGKILL."""
        ...

    def pause(self, project: ComposeProject, name: str) -> None:
        """Stop a service from running without ending it (SIGSTOP, or the cgroup's freezer)."""
        ...

    def unpause(self, project: ComposeProject, name: str) -> None:
        """Let it go on."""
        ...

    def remove(self, project: ComposeProject, name: str) -> None:
        """Remove one service of the project, running or not."""
        ...

    def teardown(self, project: ComposeProject, *, volumes: bool) -> Sequence[str]:
        """Remove the network and whatever else `prepare` made; journals too if `volumes`. Returns what was removed."""
        ...

    def observe(self, project: ComposeProject) -> Sequence[Observed]:
        """All services of the project that exist."""
        ...

    def logs(self, project: ComposeProject, names: Sequence[str], *, follow: bool, since: float | None) -> Iterator[LogLine]:
        """The lines of these services; with `follow` until all have ended or the caller stops, over restarts too."""
        ...

    def raw_log(self, project: ComposeProject, name: str) -> Iterator[bytes]:
        """All that a service wrote until now, byte for byte, in pieces: much quicker than its `logs`."""
        ...

    def log_files(self, project: ComposeProject) -> Mapping[str, Path]:
        """service -> the file that its lines go to, where this engine has such files; they vanish with the service."""
        ...

    def run(
        self, project: ComposeProject, name: str, command: Sequence[str], stdin: bytes = b"", timeout: float = 10.0
    ) -> Finished:
        """Run a command inside a service: `docker exec`, or the same program beside it on loopback."""
        ...

    def admin(self, project: ComposeProject, name: str, request: dict[str, object], timeout: float = 5.0) -> dict[str, object]:
        """Ask a node's admin socket (`status`, `health`, `fault` …): one JSON object there, one back."""
        ...
