"""A service of the compose file, in the words of loopback: its ports, its environment, its command, its directories.

Containers reach each other by service name; here every `<service>:<port>` becomes `127.0.0.1:<chosen port>`. Directories
inside the container become the directories of the host that are mounted there.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import node_runtime
from votesync_cli.compose_model import ComposeProject, Service
from votesync_cli.engines import directories
from votesync_cli.engines.local_ports import LOOPBACK, choose, rewriter
from votesync_cli.engines.local_state import Ports
from votesync_cli.errors import UsageError

_CLIENT_PORT = 5000  # what a node takes where PORT is not given, plus its id; CLUSTER_PORT likewise
_PEER_PORT = 6000
# What a process needs of the caller's environment to find its programs, home, language and scratch space. The library
# paths are there for interpreters that do not start without them.
_PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)
_PYTHONS = ("python", "python3")


def own_ports(service: Service) -> dict[str, int]:
    """Variable -> port, for the ports a node listens on; empty for a client."""
    if service.role != "node":
        return {}
    said = service.environment
    return {
        "PORT": _port(service, "PORT", said.get("PORT") or str(_CLIENT_PORT + service.id)),
        "CLUSTER_PORT": _port(service, "CLUSTER_PORT", said.get("CLUSTER_PORT") or str(_PEER_PORT + service.id)),
    }


def assign_ports(services: Sequence[Service], known: Ports, take: Callable[[int], bool]) -> Ports:
    """A port on loopback for each port a node listens on; those already known stay as they are.

    Published ports are served first and get exactly what they ask for.

    Raises: EnvironmentFault naming a published port that is taken.
    """
    nodes = [service for service in services if service.role == "node"]
    assigned = {node.name: dict(known.get(node.name, {})) for node in nodes}
    for exact in (True, False):
        for node in nodes:
            published = {port.target: port.published for port in node.ports if port.published}
            ports = assigned[node.name]
            wanted = [port for port in own_ports(node).values() if port not in ports and (port in published) is exact]
            taken = frozenset(mapped for given in (*known.values(), *assigned.values()) for mapped in given.values())
            ports |= choose(dict.fromkeys(wanted), published, taken, take)
    return assigned


def environment(project: ComposeProject, service: Service, ports: Mapping[str, Mapping[int, int]]) -> dict[str, str]:
    """What the service's process is told: the compose file's environment on loopback, and little of the caller's."""
    rewrite = rewriter(ports)
    told = {name: value for name in _PASSED_ON if (value := os.environ.get(name)) is not None}
    told |= {name: rewrite(value) for name, value in service.environment.items()}
    for variable, port in own_ports(service).items():
        told[variable] = str(ports[service.name][port])
    if service.role == "node":
        told["BIND"] = LOOPBACK
        told["DATA_DIR"] = str(data_dir(project, service))
    told["SHARED_DIR"] = str(shared_dir(project, service))
    told["PYTHONPATH"] = str(Path(node_runtime.__path__[0]).resolve().parent)
    told["PYTHONUNBUFFERED"] = "1"
    return told


def command(words: Sequence[str], rewrite: Callable[[str], str]) -> tuple[str, ...]:
    """The command with this interpreter in the place of the image's, and with addresses on loopback."""
    first = sys.executable if words and words[0] in _PYTHONS else "".join(words[:1])
    return (first, *map(rewrite, words[1:]))


def shared_dir(project: ComposeProject, service: Service) -> Path:
    """The directory of `output.txt`; where the compose file mounts none, the project's own, for it must outlive `down`."""
    return service.shared_dir or project.directory / "shared_data"


def data_dir(project: ComposeProject, service: Service) -> Path:
    """The directory of a node's journal; likewise."""
    return service.data_dir or project.state_dir / "data" / service.name


def make_directories(project: ComposeProject) -> None:
    """Make what must exist before the services start.

    Raises: EnvironmentFault.
    """
    directories.make_sources(project.services)
    for service in project.services:
        directories.make_directory(shared_dir(project, service), directories.owner_of(service))
    for node in project.nodes:
        directories.make_directory(data_dir(project, node), directories.owner_of(node))


def remove_journals(project: ComposeProject) -> list[str]:
    """Remove the nodes' data directories that votesync made; returns their paths.

    Raises: EnvironmentFault.
    """
    removed = directories.remove_journals(project)
    for node in project.nodes:
        unmounted = data_dir(project, node)
        if node.data_dir is None and unmounted.is_dir():
            shutil.rmtree(unmounted)
            removed.append(str(unmounted))
    return removed


def _port(service: Service, variable: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) < 65536:
        raise UsageError(f"{service.name} has {variable}={text!r} in the compose file.", "Give it a port from 1 to 65535.")
    return int(text)
