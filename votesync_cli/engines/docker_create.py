"""A service of the compose file, in the words of the engine's API: what `create` sends, and what `inspect` says. Pure.

The dictionaries are those of the Docker Engine API (`POST /containers/create`, `GET /containers/{id}/json`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from votesync_cli.compose import ComposeProject, Healthcheck, Service
from votesync_cli.engines import docker_labels as labels
from votesync_cli.engines.base import Observed

_SECOND = 1_000_000_000  # nanoseconds
_ZERO_TIME = "0001-01-01T00:00:00Z"


def create_request(
    project: ComposeProject, service: Service, *, image_id: str, compose_hash: str, rootless: bool = False
) -> dict[str, Any]:
    """The body of `POST /containers/create`.

    In a rootless engine root inside is the invoking user outside, and any other user inside is nobody who could write
    to that user's directories; so there the service runs as root inside.
    """
    return {
        "Image": service.image,
        "Cmd": list(service.command),
        "Env": [f"{name}={value}" for name, value in service.environment.items()],
        "User": "0:0" if rootless else service.user,
        "Labels": labels.container_labels(project, service, compose_hash=compose_hash, image_id=image_id),
        "ExposedPorts": {f"{port.target}/tcp": {} for port in service.ports},
        "StopTimeout": math.ceil(service.stop_grace_period),
        "HostConfig": _host_config(project, service),
        "NetworkingConfig": {"EndpointsConfig": {labels.network_name(project): {"Aliases": [service.name]}}},
        **({"Healthcheck": _health(service.healthcheck)} if service.healthcheck is not None else {}),
    }


def _host_config(project: ComposeProject, service: Service) -> dict[str, Any]:
    name, _, retries = service.restart.partition(":")
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in service.ports:
        binding = {"HostIp": port.host.strip("[]"), "HostPort": str(port.published or "")}
        bindings.setdefault(f"{port.target}/tcp", []).append(binding)
    return {
        "NetworkMode": labels.network_name(project),
        # As a mount, not as a bind: a source that does not exist is an error then, not a directory of root's.
        "Mounts": [
            {"Type": "bind", "Source": str(mount.source), "Target": mount.target, "ReadOnly": mount.read_only}
            for mount in service.volumes
        ],
        "Tmpfs": {path: options for path, _, options in (item.partition(":") for item in service.tmpfs)},
        "PortBindings": bindings,
        "RestartPolicy": {"Name": name or "no", "MaximumRetryCount": int(retries) if retries.isdigit() else 0},
        "ReadonlyRootfs": service.read_only,
        "Init": service.init,
        "CapDrop": list(service.cap_drop),
        "SecurityOpt": list(service.security_opt),
        **({"PidsLimit": service.pids_limit} if service.pids_limit is not None else {}),
        **({"Memory": service.mem_limit} if service.mem_limit is not None else {}),
    }


def _health(check: Healthcheck) -> dict[str, Any]:
    return {
        "Test": ["CMD", *check.test],
        "Interval": round(check.interval * _SECOND),
        "Timeout": round(check.timeout * _SECOND),
        "StartPeriod": round(check.start_period * _SECOND),
        "Retries": check.retries,
    }


def observed(
    project: ComposeProject, inspected: Mapping[str, Any], *, reachable: bool, compose_hashes: Sequence[str] = ()
) -> Observed | None:
    """What `inspect` says, in the words of `Observed`; None for a container that cannot be told to be a node or a client.

    `reachable`: containers' own addresses can be reached from here. `compose_hashes` are what the composes on this machine
    would label the service with now: a container that compose started with one of them is as wanted.
    """
    config, state = inspected["Config"], inspected["State"]
    said = config.get("Labels") or {}
    service = next((item for item in project.services if item.name == said.get(labels.SERVICE)), None)
    environment = dict(item.partition("=")[::2] for item in config.get("Env") or ())
    role = said.get(labels.ROLE) or _role(config.get("Cmd") or ()) or (service.role if service is not None else "")
    identity = said.get(labels.ID) or environment.get("ID", "")
    if not role or not identity.isdigit():
        return None
    config_hash = said.get(labels.HASH, "")
    if not config_hash and service is not None and any(compose_hashes):
        theirs = str(said.get(labels.COMPOSE_HASH, ""))
        config_hash = service.config_hash if theirs in compose_hashes else theirs
    status = str(state.get("Status", ""))
    return Observed(
        service=str(said.get(labels.SERVICE, "")),
        role=role,
        id=int(identity),
        state="dead" if status == "removing" else status,
        health=_health_word(state),
        config_hash=config_hash,
        pid=state.get("Pid") or None,
        container=str(inspected["Id"])[:12],  # as the docker command shows it
        exit_code=state.get("ExitCode") if status in {"exited", "dead"} else None,
        client_address=_client_address(project, inspected, environment, reachable) if role == "node" else None,
        started_at=seconds(state["StartedAt"]) if state.get("StartedAt", _ZERO_TIME) != _ZERO_TIME else None,
    )


def seconds(text: str) -> float:
    """An RFC 3339 time of the engine, with nanoseconds, in Unix seconds."""
    return nanoseconds(text) / _SECOND


def nanoseconds(text: str) -> int:
    """An RFC 3339 time of the engine, in Unix nanoseconds.

    Raises: ValueError.
    """
    match = re.fullmatch(r"([\d-]+T[\d:]+)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        raise ValueError(text)
    whole = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    return int(whole.timestamp()) * _SECOND + int((match[2] or "0").ljust(9, "0"))


def _role(command: Any) -> str:
    words = list(command)
    after = words[words.index("node_runtime") + 1 :][:1] if "node_runtime" in words else []
    return after[0] if after in (["node"], ["client"]) else ""


def _health_word(state: Mapping[str, Any]) -> str:
    word = str((state.get("Health") or {}).get("Status", ""))
    return "" if word == "none" or state.get("Status") not in {"running", "paused"} else word


def _client_address(
    project: ComposeProject, inspected: Mapping[str, Any], environment: Mapping[str, str], reachable: bool
) -> str | None:
    port = environment.get("PORT", "")
    network = inspected.get("NetworkSettings") or {}
    for binding in (network.get("Ports") or {}).get(f"{port}/tcp") or ():
        host = binding.get("HostIp") or "127.0.0.1"
        return f"{'127.0.0.1' if host in {'0.0.0.0', '::'} else host}:{binding['HostPort']}"
    address = ((network.get("Networks") or {}).get(labels.network_name(project)) or {}).get("IPAddress")
    return f"{address}:{port}" if reachable and address and port else None
