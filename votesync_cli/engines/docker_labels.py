"""Which containers and networks are this project's: the labels of docker compose, and votesync's own.

Things are found by label, never by name. Two directories may be called alike, and another compose file may share the
project's name; a container is *ours* only if it was started from this directory and is a service of this file or one
that votesync knows as its own. What is not ours is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from votesync_cli.compose import ComposeProject, Service

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
ONEOFF = "com.docker.compose.oneoff"
COMPOSE_HASH = "com.docker.compose.config-hash"
WORKING_DIR = "com.docker.compose.project.working_dir"
CONFIG_FILES = "com.docker.compose.project.config_files"
DEPENDS_ON = "com.docker.compose.depends_on"
IMAGE = "com.docker.compose.image"
NETWORK = "com.docker.compose.network"
VERSION = "com.docker.compose.version"

ROLE = "io.votesync.role"
ID = "io.votesync.id"
HASH = "io.votesync.config-hash"

# What `version` says: the compose whose labels these are. v2 compares it with nothing; v1 shows it nowhere.
_COMPOSE = "2.0.0"


def container_name(project: ComposeProject, service: Service) -> str:
    """The name that compose v2 would give."""
    return f"{project.name}-{service.name}-1"


def network_name(project: ComposeProject) -> str:
    """The name of the project's one network, the same in both composes."""
    return f"{project.name}_default"


def container_labels(project: ComposeProject, service: Service, *, compose_hash: str, image_id: str) -> dict[str, str]:
    """All labels of one service's container; those of the file first, so none of them can hide the project's."""
    return {
        **service.labels,
        PROJECT: project.name,
        SERVICE: service.name,
        NUMBER: "1",
        ONEOFF: "False",
        COMPOSE_HASH: compose_hash,
        WORKING_DIR: str(project.directory.resolve()),
        CONFIG_FILES: str(project.file.resolve()),
        DEPENDS_ON: ",".join(f"{name}:{how}:false" for name, how in service.depends_on.items()),
        IMAGE: image_id,
        VERSION: _COMPOSE,
        ROLE: service.role,
        ID: str(service.id),
        HASH: service.config_hash,
    }


def network_labels(project: ComposeProject) -> dict[str, str]:
    """The network's labels: compose's only, since compose v1 complains about any it did not expect."""
    return {PROJECT: project.name, NETWORK: "default", VERSION: _COMPOSE}


def of_project(project: ComposeProject, *more: str) -> dict[str, list[str]]:
    """The filter for `GET /containers/json` and its like."""
    return {"label": [f"{PROJECT}={project.name}", *more]}


def elsewhere(project: ComposeProject, labels: Mapping[str, str]) -> Path | None:
    """The other directory that a container was started from, or None where it was this one.

    A directory that is gone was moved: its cluster belongs to whoever has the project now.
    """
    text = labels.get(WORKING_DIR, "")
    if not text or not Path(text).is_dir():
        return None
    directory = Path(text).resolve()
    return None if directory == project.directory.resolve() else directory


def is_ours(project: ComposeProject, summary: Mapping[str, Any]) -> bool:
    """Whether a container, as the engine's list shows it, belongs to this project and to votesync."""
    labels = summary.get("Labels") or {}
    if elsewhere(project, labels) is not None:
        return False
    named = labels.get(SERVICE) in {service.name for service in project.services}
    return ROLE in labels or named or "node_runtime" in str(summary.get("Command", "")).split()


def is_oneoff(summary: Mapping[str, Any]) -> bool:
    """Whether it was started with `docker-compose run`: not a service, but `down` removes it."""
    return bool((summary.get("Labels") or {}).get(ONEOFF) == "True")
