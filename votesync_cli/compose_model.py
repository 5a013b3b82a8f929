"""The nouns of a compose file as the engines get them: `ComposeProject`, `Service` and what they hold.

Paths are absolute, times are seconds, sizes are bytes. Nothing here was guessed: it is what the file says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from votesync_cli.errors import UsageError

Role = Literal["node", "client"]


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory of the host that a service sees at `target`."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the service that the host publishes; `published` 0 lets the engine choose."""

    target: int
    published: int
    host: str = ""


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """How to ask a service whether it is well; `test` is the command without compose's leading `CMD`."""

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    retries: int = 3


@dataclass(frozen=True, slots=True)
class Build:
    """How the image is made: the context's directory and the build arguments."""

    context: Path
    args: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the file. `config_hash` changes when anything does that needs the service made anew."""

    name: str
    role: Role
    id: int
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    build: Build | None = None
    user: str = ""
    volumes: tuple[Mount, ...] = ()
    ports: tuple[Port, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None
    depends_on: Mapping[str, str] = field(default_factory=dict)
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    read_only: bool = False
    init: bool = False
    pids_limit: int | None = None
    mem_limit: int | None = None
    stop_grace_period: float = 10.0
    restart: str = "no"

    @property
    def config_hash(self) -> str:
        """What identifies this configuration: equal hashes need nothing done. What it waits for at start is left out."""
        said = {name: value for name, value in asdict(self).items() if name != "depends_on"}
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()

    def host_path(self, target: str) -> Path | None:
        """The directory of the host that this service sees at `target`, or None where it is not mounted."""
        best = max((mount for mount in self.volumes if _below(target, mount.target)), key=lambda m: len(m.target), default=None)
        return best.source / target[len(best.target) :].lstrip("/") if best is not None else None

    @property
    def shared_dir(self) -> Path | None:
        """Where SHARED_DIR is on the host."""
        return self.host_path(self.environment.get("SHARED_DIR", "/shared"))

    @property
    def data_dir(self) -> Path | None:
        """Where a node's DATA_DIR is on the host; None for a client."""
        return self.host_path(self.environment.get("DATA_DIR", "/data")) if self.role == "node" else None


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """A compose file that was read and found to make sense: nodes first, then clients, each in the order of their ids.

    `settings` is what stands under `x-votesync`; `notes` says what in the file votesync does not act on.
    """

    name: str
    directory: Path
    file: Path
    services: tuple[Service, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[Service, ...]:
        """The node services, by id."""
        return tuple(service for service in self.services if service.role == "node")

    @property
    def clients(self) -> tuple[Service, ...]:
        """The client services, by id."""
        return tuple(service for service in self.services if service.role == "client")

    @property
    def cluster(self) -> str:
        """The cluster's name, which frames and journals carry."""
        return self.nodes[0].environment.get("CLUSTER", "votesync")

    @property
    def image(self) -> str:
        """The image of the nodes."""
        return self.nodes[0].image

    @property
    def build(self) -> Build | None:
        """How that image is made; None where the file only names one."""
        return self.nodes[0].build

    @property
    def base_image(self) -> str:
        """The image that it is built from; empty where the file leaves it to the Dockerfile."""
        return self.build.args.get("BASE_IMAGE", "") if self.build is not None else ""

    @property
    def shared_dir(self) -> Path:
        """The directory of the host in which `output.txt` is made."""
        return self.nodes[0].shared_dir or self.directory / "shared_data"

    @property
    def state_dir(self) -> Path:
        """Where votesync keeps its own files of this project: `.votesync` beside the compose file."""
        return self.directory / ".votesync"

    def service(self, name: str) -> Service:
        """The service called `name`.

        Raises: UsageError.
        """
        for service in self.services:
            if service.name == name:
                return service
        raise UsageError(f"There is no service {name!r} in {self.file.name}.", f"There are: {_some(self.services)}.")

    def find(self, text: str) -> Service:
        """The service that somebody means by `text`: a node's id, or a service's name.

        Raises: UsageError.
        """
        if text.isascii() and text.isdigit():
            for node in self.nodes:
                if node.id == int(text):
                    return node
            raise UsageError(f"There is no node {text} in {self.file.name}.", f"Node ids go from 0 to {len(self.nodes) - 1}.")
        return self.service(text)


def _below(path: str, parent: str) -> bool:
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def _some(services: tuple[Service, ...]) -> str:
    names = [service.name for service in services]
    return ", ".join(names if len(names) <= 12 else [*names[:5], "…", *names[-3:]])
