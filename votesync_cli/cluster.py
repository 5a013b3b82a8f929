"""What is wanted: `ClusterSpec`, the few numbers and names from which a compose file is rendered.

Node ids start at 0 and service names at 1, as in the mission: `cluster_sync_1` has `ID=0`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from node_runtime.config import Address, NodeConfig, Tunables, format_peers
from node_runtime.errors import ConfigError
from node_runtime.messages import MAX_NODES, Policy
from votesync_cli.errors import UsageError

CLIENT_PORT = 5000
PEER_PORT = 6000
DEFAULT_BASE_IMAGE = "python:3.12-slim"
DEFAULT_FILE = "compose.yml"

_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*\Z")


def node_service(node: int) -> str:
    """The service name of a node id: 0 is `cluster_sync_1`."""
    return f"cluster_sync_{node + 1}"


def client_service(client: int) -> str:
    """The service name of a client id: 0 is `client_1`."""
    return f"client_{client + 1}"


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster as it is asked for. Durations are in milliseconds, `rate` in messages a second (0: no limit).

    Raises: UsageError where a value cannot be used; it names the option.
    """

    cluster: str
    nodes: int = 5
    messages: int = 50
    rate: float = 0.0
    in_flight: int = 1
    writer: str = "turns"
    round_window_ms: float = 10.0
    election_min_ms: float = 400.0
    election_max_ms: float = 800.0
    heartbeat_ms: float = 80.0
    base_image: str = DEFAULT_BASE_IMAGE
    publish: int | None = None
    faults: bool = False
    image: str = "votesync-node:latest"
    uid: int = 1000
    gid: int = 1000

    def __post_init__(self) -> None:
        _between("--nodes", self.nodes, 1, MAX_NODES)
        _between("--messages", self.messages, 0, 2**53)
        _between("--rate", self.rate, 0, 1e9)
        _between("--in-flight", self.in_flight, 1, 65_536)
        if self.publish is not None:
            _between("--publish", self.publish, 1, 65_535 - MAX_NODES)
        if not _IMAGE.match(self.base_image):
            raise UsageError(
                f"--base-image {self.base_image!r} is not the name of an image.", "Give a name such as python:3.12-slim."
            )
        try:
            NodeConfig.from_env(self.node_environment(0))
        except ConfigError as error:
            option = "--" + error.variable.lower().replace("_", "-").removesuffix("-ms")
            raise UsageError(f"{option} cannot be {error.got}.", f"It takes {error.takes}.") from None
        except KeyError:
            raise UsageError(f"--writer cannot be {self.writer!r}.", "It takes turns or winner.") from None

    def node_environment(self, node: int) -> dict[str, str]:
        """What the node with this id is told, as `NodeConfig.from_env` reads it."""
        config = NodeConfig(
            node=node,
            cluster=self.cluster,
            client_address=Address("0.0.0.0", CLIENT_PORT + node),
            peer_address=Address("0.0.0.0", PEER_PORT + node),
            peers={peer: Address(node_service(peer), PEER_PORT + peer) for peer in range(self.nodes)},
            shared_dir="/shared",
            data_dir="/data",
            policy=Policy[self.writer.upper()],
            faults_allowed=self.faults,
            tunables=Tunables(
                round_window_ms=self.round_window_ms,
                election_min_ms=self.election_min_ms,
                election_max_ms=self.election_max_ms,
                heartbeat_ms=self.heartbeat_ms,
            ),
        )
        return {**config.to_env(), "ROUND_WINDOW_MS": f"{self.round_window_ms:g}"}

    def client_environment(self, client: int) -> dict[str, str]:
        """What the client with this id is told; its own node has the same id."""
        peers = {node: Address(node_service(node), CLIENT_PORT + node) for node in range(self.nodes)}
        return {
            "ID": str(client),
            "CLUSTER": self.cluster,
            "NODES": format_peers(peers),
            "MESSAGES": str(self.messages),
            "RATE": f"{self.rate:g}",
            "IN_FLIGHT": str(self.in_flight),
            "SHARED_DIR": "/shared",
        }

    def settings(self) -> dict[str, Any]:
        """What the compose file keeps under `x-votesync`, so that a later `up` starts from it."""
        return {name: getattr(self, name) for name in SETTINGS}


SETTINGS = (
    "cluster",
    "nodes",
    "messages",
    "rate",
    "in_flight",
    "writer",
    "round_window_ms",
    "election_min_ms",
    "election_max_ms",
    "heartbeat_ms",
    "base_image",
    "publish",
    "faults",
)
_DEFAULTS = {field.name: field.default for field in fields(ClusterSpec)}


def spec_from(
    settings: Mapping[str, Any], asked: Mapping[str, Any], *, cluster: str, image: str, uid: int, gid: int
) -> ClusterSpec:
    """The spec that an older file's settings and the options given now make together; None means: not given.

    Raises: UsageError.
    """
    values = {name: settings.get(name, _DEFAULTS[name]) for name in SETTINGS if name != "cluster"}
    values |= {name: value for name, value in asked.items() if value is not None}
    try:
        return ClusterSpec(cluster=cluster, image=image, uid=uid, gid=gid, **values)
    except (TypeError, AttributeError, ValueError):
        raise UsageError(
            "The settings under x-votesync in the compose file are damaged.",
            "Write the file anew with `votesync generate --force`.",
        ) from None


def project_name(flag: str | None, environment: Mapping[str, str], directory: str) -> str:
    """The project's name by compose's rules: the flag, then COMPOSE_PROJECT_NAME, then the directory's name made to fit.

    Raises: UsageError where the flag or the variable is no project name.
    """
    for source, name in (("--project-name", flag), ("COMPOSE_PROJECT_NAME", environment.get("COMPOSE_PROJECT_NAME"))):
        if name:
            if not _PROJECT.match(name):
                raise UsageError(
                    f"{source} {name!r} cannot name a project.",
                    "Use lower-case letters, digits, - and _, starting with a letter or a digit.",
                )
            return name
    return re.sub(r"[^a-z0-9_-]", "", directory.lower()).lstrip("_-") or "votesync"


def _between(option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"{option} cannot be {value:g}.", f"It takes a number from {least:g} to {most:g}.")
