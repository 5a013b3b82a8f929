"""Whether the services of a compose file make one cluster: ids, peers, ports, and what each node and client accepts.

The node's own reader of its environment is asked (`NodeConfig.from_env`), so that what this lets pass, the node takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from node_runtime.config import TUNABLES, Address, NodeConfig
from node_runtime.errors import ConfigError
from node_runtime.load import LoadConfig
from votesync_cli.compose_reader import Place, Read
from votesync_cli.errors import ComposeFileError
from votesync_cli.marked import MEND

_NODE_VARIABLES = {
    "ID",
    "CLUSTER",
    "BIND",
    "PORT",
    "CLUSTER_PORT",
    "PEERS",
    "SHARED_DIR",
    "DATA_DIR",
    "WRITER",
    "FAULTS",
    "SEED",
}
_CLIENT_VARIABLES = {"ID", "CLUSTER", "NODES", "MESSAGES", "RATE", "IN_FLIGHT", "SHARED_DIR", "SESSION", "TEXT", "TIMEOUT"}


def check_services(place: Place, services: Sequence[Read]) -> tuple[str, ...]:
    """Hold every service against the others; returns notes on variables that nobody reads.

    Raises: ComposeFileError for the first thing that cannot work.
    """
    nodes = [read for read in services if read.service.role == "node"]
    clients = [read for read in services if read.service.role == "client"]
    if not nodes:
        raise ComposeFileError(place.file, 1, "it has no node service.", MEND)
    _check_unique(place, nodes, "ID")
    configs = {read.service.name: _config(place, read) for read in nodes}
    for read in nodes:
        _check_peers(place, read, nodes, configs)
        _check_mounts(place, read, configs[read.service.name])
    _check_data_apart(place, nodes)
    _check_unique(place, clients, "ID")
    _check_unique(place, clients, "SESSION")
    for read in clients:
        _check_client(place, read, configs)
    _check_waits(place, services)
    return _unknown(place, nodes, _NODE_VARIABLES | TUNABLES.keys()) + _unknown(place, clients, _CLIENT_VARIABLES)


def _fail(place: Place, read: Read, variable: str, problem: str, hint: str = MEND) -> NoReturn:
    line = read.environment_lines.get(variable, read.line)
    raise ComposeFileError(place.file, line, f"{read.service.name}: {problem}.", hint)


def _check_unique(place: Place, services: Sequence[Read], variable: str) -> None:
    seen: dict[str, Read] = {}
    for read in services:
        value = str(read.service.id) if variable == "ID" else read.service.environment.get(variable) or str(read.service.id)
        other = seen.setdefault(value, read)
        if other is not read:
            line = other.environment_lines.get(variable, other.line)
            said = f"{variable} {value} is taken by {other.service.name} (line {line})"
            _fail(place, read, variable, said, f"Give each of the two its own {variable}.")


def _config(place: Place, read: Read) -> NodeConfig:
    try:
        return NodeConfig.from_env(read.service.environment)
    except ConfigError as error:
        _fail(place, read, error.variable, f"{error.variable} cannot be {error.got!r}", f"It takes {error.takes}.")


def _check_peers(place: Place, read: Read, nodes: Sequence[Read], configs: Mapping[str, NodeConfig]) -> None:
    """Rule 18: a majority is one of the configured nodes, so PEERS and the services must be the same list."""
    config = configs[read.service.name]
    services = {other.service.id: other.service.name for other in nodes}
    missing = sorted(config.peers.keys() - services.keys())
    if missing:
        _fail(place, read, "PEERS", f"PEERS names node {missing[0]}, and no service has ID {missing[0]}")
    left_out = sorted(services.keys() - config.peers.keys())
    if left_out:
        _fail(place, read, "PEERS", f"PEERS leaves out node {left_out[0]} ({services[left_out[0]]})")
    for node, address in sorted(config.peers.items()):
        wanted = Address(services[node], configs[services[node]].peer_address.port)
        if address != wanted:
            _fail(place, read, "PEERS", f"PEERS says that node {node} is at {address}, but it is at {wanted}")
    first = configs[nodes[0].service.name].cluster
    if config.cluster != first:
        hint = f"Give every node the same CLUSTER: {nodes[0].service.name} has {first}."
        _fail(place, read, "CLUSTER", f"CLUSTER is {config.cluster}, so the other nodes would refuse it", hint)


def _check_mounts(place: Place, read: Read, config: NodeConfig) -> None:
    for variable, path in (("SHARED_DIR", config.shared_dir), ("DATA_DIR", config.data_dir)):
        if read.service.host_path(path) is None:
            hint = f"Mount a directory there under `volumes`, such as ./somewhere:{path}."
            _fail(place, read, variable, f"{variable} is {path}, and no volume is mounted there", hint)


def _check_data_apart(place: Place, nodes: Sequence[Read]) -> None:
    first = nodes[0]
    seen: dict[object, Read] = {}
    for read in nodes:
        if read.service.shared_dir != first.service.shared_dir:
            hint = "Mount the same directory for every node."
            _fail(place, read, "SHARED_DIR", f"its shared directory is not that of {first.service.name}", hint)
        other = seen.setdefault(read.service.data_dir, read)
        if other is not read:
            hint = "Mount a directory of its own for each node's DATA_DIR."
            _fail(place, read, "DATA_DIR", f"its data directory is also that of {other.service.name}", hint)


def _client_config(place: Place, read: Read) -> LoadConfig:
    try:
        return LoadConfig.from_env(read.service.environment)
    except ConfigError as error:
        _fail(place, read, error.variable, f"{error.variable} cannot be {error.got!r}", f"It takes {error.takes}.")


def _check_client(place: Place, read: Read, configs: Mapping[str, NodeConfig]) -> None:
    for node, address in _client_config(place, read).nodes:
        config = configs.get(address.host)
        if config is None or config.client_address.port != address.port or config.node != node:
            _fail(place, read, "NODES", f"NODES says that node {node} takes clients at {address}, and no node service does")
    if read.service.shared_dir is None:
        hint = "Mount the shared directory there under `volumes`: the client writes its history into it."
        _fail(place, read, "SHARED_DIR", "no volume is mounted at its SHARED_DIR", hint)


def _check_waits(place: Place, services: Sequence[Read]) -> None:
    names = {read.service.name for read in services}
    for read in services:
        for name in read.service.depends_on:
            if name not in names:
                _fail(place, read, "", f"`depends_on` names {name!r}, and there is no such service")


def _unknown(place: Place, services: Sequence[Read], known: set[str]) -> tuple[str, ...]:
    return tuple(
        f"{place.file}:{line}: {read.service.name}: nothing reads the variable {variable}."
        for read in services
        for variable, line in read.environment_lines.items()
        if variable not in known
    )
