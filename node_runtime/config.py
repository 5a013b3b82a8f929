"""What a node is told: `NodeConfig` from the environment and back, so the CLI writes what the node reads.

Durations are in milliseconds in the environment and in ticks (microseconds) in the fields that end in `_ticks`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from node_runtime.errors import ConfigError
from node_runtime.messages import MAX_NODES, NodeId, Policy

_PEER = re.compile(r"(\d{1,3})=(\[[0-9a-fA-F:]+\]|[A-Za-z0-9_.-]+):(\d{1,5})\Z")
_CLUSTER = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or address and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tunables:
    """Numbers that may be set by one environment variable each (see `TUNABLES`)."""

    round_window_ms: float = 10.0
    election_min_ms: float = 400.0
    election_max_ms: float = 800.0
    heartbeat_ms: float = 80.0
    turn_timeout_ms: float = 250.0
    ack_timeout_ms: float = 5000.0
    rounds_in_flight: int = 4
    round_messages: int = 4096
    queue_messages: int = 8192
    segment_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """All that one node needs to know. `peers` holds every node of the cluster, this one included."""

    node: NodeId
    cluster: str
    client_address: Address
    peer_address: Address
    peers: Mapping[NodeId, Address]
    shared_dir: str
    data_dir: str
    policy: Policy = Policy.TURNS
    faults_allowed: bool = False
    seed: int | None = None
    tunables: Tunables = Tunables()

    @property
    def cluster_tag(self) -> bytes:
        """Eight bytes that stand in each frame and each journal: another cluster's are refused (rules 27, 51)."""
        return hashlib.blake2b(self.cluster.encode(), digest_size=8).digest()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> NodeConfig:
        """Read the environment.

        Raises: ConfigError naming the variable, what it got and what it takes.
        """
        node = _integer(env, "ID", None, 0, MAX_NODES - 1)
        bind = env.get("BIND", "0.0.0.0")
        peers = parse_peers("PEERS", env.get("PEERS", ""))
        if node not in peers:
            raise ConfigError("PEERS", env.get("PEERS", ""), f"a list that names this node too (ID={node})")
        cluster = env.get("CLUSTER", "votesync")
        if not _CLUSTER.match(cluster):
            raise ConfigError("CLUSTER", cluster, "lower-case letters, digits, - and _, starting with a letter or digit")
        tunables = _tunables(env)
        return cls(
            node=node,
            cluster=cluster,
            client_address=Address(bind, _integer(env, "PORT", 5000 + node, 1, 65535)),
            peer_address=Address(bind, _integer(env, "CLUSTER_PORT", 6000 + node, 1, 65535)),
            peers=peers,
            shared_dir=_path(env, "SHARED_DIR", "/shared"),
            data_dir=_path(env, "DATA_DIR", "/data"),
            policy=_policy(env),
            faults_allowed=_boolean(env, "FAULTS"),
            seed=_integer(env, "SEED", 0, 0, 2**63) if "SEED" in env else None,
            tunables=tunables,
        )

    def to_env(self) -> dict[str, str]:
        """The environment from which `from_env` reads this config back; defaults are left out."""
        env = {
            "ID": str(self.node),
            "CLUSTER": self.cluster,
            "BIND": self.client_address.host,
            "PORT": str(self.client_address.port),
            "CLUSTER_PORT": str(self.peer_address.port),
            "PEERS": format_peers(self.peers),
            "SHARED_DIR": self.shared_dir,
            "DATA_DIR": self.data_dir,
            "WRITER": self.policy.name.lower(),
        }
        if self.faults_allowed:
            env["FAULTS"] = "1"
        if self.seed is not None:
            env["SEED"] = str(self.seed)
        defaults = Tunables()
        for variable, (name, _, _) in TUNABLES.items():
            value = getattr(self.tunables, name)
            if value != getattr(defaults, name):
                env[variable] = str(value).removesuffix(".0")
        return env


# variable -> (field of Tunables, least, most)
TUNABLES: dict[str, tuple[str, float, float]] = {
    "ROUND_WINDOW_MS": ("round_window_ms", 0, 60_000),
    "ELECTION_MIN_MS": ("election_min_ms", 10, 600_000),
    "ELECTION_MAX_MS": ("election_max_ms", 20, 600_000),
    "HEARTBEAT_MS": ("heartbeat_ms", 1, 100_000),
    "TURN_TIMEOUT_MS": ("turn_timeout_ms", 1, 100_000),
    "ACK_TIMEOUT_MS": ("ack_timeout_ms", 10, 3_600_000),
    "ROUNDS_IN_FLIGHT": ("rounds_in_flight", 1, 64),
    "ROUND_MESSAGES": ("round_messages", 1, 65_536),
    "QUEUE_MESSAGES": ("queue_messages", 16, 1_000_000),
    "SEGMENT_BYTES": ("segment_bytes", 65_536, 1 << 30),
}


def parse_peers(variable: str, text: str) -> dict[NodeId, Address]:
    """Read `0=host:port,1=host:port,…`: every id from 0 to N-1 once.

    Raises: ConfigError.
    """
    takes = "0=host:port,1=host:port,… with every id from 0 to N-1 once"
    peers: dict[NodeId, Address] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _PEER.match(part)
        if match is None or int(match[1]) in peers or not 0 < int(match[3]) < 65536:
            raise ConfigError(variable, text, takes)
        peers[int(match[1])] = Address(match[2].strip("[]"), int(match[3]))
    if not peers or sorted(peers) != list(range(len(peers))) or len(peers) > MAX_NODES:
        raise ConfigError(variable, text, takes)
    return peers


def format_peers(peers: Mapping[NodeId, Address]) -> str:
    """The text that `parse_peers` reads."""
    return ",".join(
        f"{node}=[{address.host}]:{address.port}" if ":" in address.host else f"{node}={address}"
        for node, address in sorted(peers.items())
    )


def _integer(env: Mapping[str, str], name: str, default: int | None, least: int, most: int) -> int:
    text = env.get(name)
    if text is None or text == "":
        if default is None:
            raise ConfigError(name, text, f"a whole number from {least} to {most}")
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 20 or not least <= int(text) <= most:
        raise ConfigError(name, text, f"a whole number from {least} to {most}")
    return int(text)


def _boolean(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "0").lower()
    if text not in {"0", "1", "true", "false", ""}:
        raise ConfigError(name, text, "1 or 0")
    return text in {"1", "true"}


def _path(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name, default)
    if not text or "\0" in text:
        raise ConfigError(name, text, "a directory")
    return text


def _policy(env: Mapping[str, str]) -> Policy:
    text = env.get("WRITER", "turns")
    try:
        return Policy[text.upper()]
    except KeyError:
        raise ConfigError("WRITER", text, "turns or winner") from None


def _tunables(env: Mapping[str, str]) -> Tunables:
    values: dict[str, float | int] = {}
    defaults = Tunables()
    for variable, (name, least, most) in TUNABLES.items():
        if variable not in env:
            continue
        kind = type(getattr(defaults, name))
        try:
            value = kind(env[variable])
        except ValueError:
            raise ConfigError(variable, env[variable], f"a number from {least:g} to {most:g}") from None
        if not least <= value <= most:
            raise ConfigError(variable, env[variable], f"a number from {least:g} to {most:g}")
        values[name] = value
    tunables = Tunables(**values)  # type: ignore[arg-type]  # each value has its field's own type
    if tunables.election_max_ms <= tunables.election_min_ms:
        raise ConfigError("ELECTION_MAX_MS", tunables.election_max_ms, "more than ELECTION_MIN_MS")
    if tunables.heartbeat_ms * 2 > tunables.election_min_ms:
        raise ConfigError("HEARTBEAT_MS", tunables.heartbeat_ms, "at most half of ELECTION_MIN_MS")
    return tunables
