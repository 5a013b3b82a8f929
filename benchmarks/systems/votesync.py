"""Votesync: nodes as the local engine runs them (the same program, environment and files), and load through the client port."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.procs import Processes, child_environment, free_ports, processes, python
from benchmarks.systems.base import CLOSED, MEMBERS, PIPELINED, Meter, Mode, Span, collect, measurement
from node_runtime import ctl
from node_runtime.config import Address, NodeConfig
from node_runtime.messages import NodeId, Policy

_FORMED_S = 60.0
SETTINGS: Mapping[str, Mapping[str, str]] = {"turns": {}, "winner": {}}  # what differs from the defaults


@dataclass(slots=True)
class Cluster:
    """Nodes that run, and where they are."""

    group: Processes
    configs: dict[int, NodeConfig]
    environments: dict[int, dict[str, str]] = field(default_factory=dict)

    @property
    def ports(self) -> list[int]:
        """Client ports, by node."""
        return [config.client_address.port for _, config in sorted(self.configs.items())]

    def start(self, node: int) -> subprocess.Popen[bytes]:
        """Start a node (again)."""
        return self.group.start(f"node{node}", python("-m", "node_runtime", "node"), self.environments[node])

    def form(self) -> None:
        """Wait until every node can decide, and all are in touch with the leader.

        Raises: BenchmarkError.
        """
        self.group.wait_until(self._has_formed, _FORMED_S, "a cluster in touch")

    def _has_formed(self) -> bool:
        found = [self.status(node) for node in self.configs]
        leads = [said for said in found if said.get("role") == "leader"]
        if not all(said.get("healthy") for said in found) or len(leads) != 1:
            return False
        return all(peer["connected"] and peer["lag"] == 0 for peer in leads[0]["peers"].values())

    def status(self, node: int) -> dict[str, Any]:
        """What a node says of itself; nothing where it does not answer."""
        with contextlib.suppress(OSError, ValueError):
            return ctl.ask(self.configs[node].data_dir, {"op": "status"}, 2.0)
        return {}

    def load(self, mode: Mode, span: Span, processes_: int = 1) -> list[dict[str, Any]]:
        """Let clients work, spread over so many processes; what they report.

        Raises: BenchmarkError.
        """
        many = min(processes_, mode.clients)
        started = []
        for place in range(many):
            clients = [client for client in range(mode.clients) if client % many == place]
            spread = clients[: len(self.ports)]  # further clients begin with the first of these again
            nodes = [f"--node=127.0.0.1:{self.ports[client % len(self.ports)]}" for client in spread]
            words = ["--clients", str(len(clients)), "--in-flight", str(mode.in_flight), "--size", str(span.size)]
            words += ["--for", str(span.seconds), "--warm-up", str(span.warm_up), *nodes]
            command = python("-m", "node_runtime", "bench", *words)
            pipe = subprocess.PIPE
            started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, env=child_environment()))
        return collect(started, span.warm_up + span.seconds + 20)


@contextlib.contextmanager
def cluster(directory: Path, nodes: int, writer: str, tunables: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A formed cluster; leaving the context ends it.

    Raises: BenchmarkError.
    """
    with processes(directory) as group:
        made = Cluster(group, _configs(directory, nodes, writer))
        for node, config in made.configs.items():
            made.environments[node] = {**config.to_env(), **(tunables or {})}
            made.start(node)
        made.form()
        yield made


def _configs(directory: Path, nodes: int, writer: str) -> dict[int, NodeConfig]:
    ports = free_ports(2 * nodes)
    peers = {NodeId(node): Address("127.0.0.1", ports[nodes + node]) for node in range(nodes)}
    made = {}
    for node in peers:
        config = NodeConfig(
            node=node,
            cluster="bench",
            client_address=Address("127.0.0.1", ports[node]),
            peer_address=peers[node],
            peers=peers,
            shared_dir=str(directory / "shared_data"),
            data_dir=str(directory / "data" / f"node{node}"),
            policy=Policy[writer.upper()],
            faults_allowed=False,
        )
        made[int(node)] = config
        Path(config.data_dir).mkdir(parents=True)
    (directory / "shared_data").mkdir()
    return made


class Votesync:
    """Five nodes; client i speaks to node i."""

    modes = (CLOSED, PIPELINED)

    def __init__(self, writer: str, tunables: Mapping[str, str] | None = None, load_processes: Sequence[int] = (1, 1)) -> None:
        self.name = f"votesync-{writer}"
        self.title = f"votesync, writer = {writer}"
        self._writer = writer
        self._tunables = SETTINGS[writer] if tunables is None else tunables
        self._load_processes = dict(zip((CLOSED.name, PIPELINED.name), load_processes, strict=True))

    def missing(self) -> str | None:
        """It is here."""
        return None

    def settings(self) -> Mapping[str, str]:
        """Defaults but for what is named."""
        told = " ".join(f"{name}={value}" for name, value in self._tunables.items()) or "defaults"
        loop = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
        return {"members": str(MEMBERS), "options": f"WRITER={self._writer}, {told}", "loop": loop}

    @contextlib.contextmanager
    def running(self, directory: Path) -> Iterator[_Running]:
        """See `System`."""
        with cluster(directory, MEMBERS, self._writer, self._tunables) as made:
            yield _Running(made, self._load_processes)


class _Running:
    def __init__(self, made: Cluster, load_processes: Mapping[str, int]) -> None:
        self._cluster = made
        self._load_processes = load_processes

    def measure(self, mode: Mode, span: Span) -> dict[str, Any]:
        """See `Running`."""
        meter = Meter(self._cluster.group)
        return measurement(self._cluster.load(mode, span, self._load_processes[mode.name]), meter)
