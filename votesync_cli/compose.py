"""The compose file, the one source of truth: `render` writes it from a `ClusterSpec`, `load` reads it back.

The file loads in docker-compose 1.29 and in compose v2: it has no `version`, no `name`, no `start_interval`. Its
first line says that votesync wrote it and holds a digest of the rest, so that a hand's edit is told from our own.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from votesync_cli.cluster import ClusterSpec, client_service, node_service
from votesync_cli.compose_checks import check_services
from votesync_cli.compose_model import Build, ComposeProject, Healthcheck, Mount, Port, Role, Service
from votesync_cli.compose_reader import Place, read_service
from votesync_cli.errors import ComposeFileError, EnvironmentFault, UsageError
from votesync_cli.marked import MEND, MarkedMap, interpolate, read

__all__ = [
    "Authorship",
    "Build",
    "ComposeProject",
    "Healthcheck",
    "Mount",
    "Port",
    "Role",
    "Service",
    "authorship",
    "load",
    "parse",
    "render",
]

_HEADER = (
    "# Written by votesync, digest {digest}. Edit it as you like: `votesync up` and `docker compose up` run what it says.\n"
)
_WRITTEN = re.compile(r"# Written by votesync, digest ([0-9a-f]{16})\b")

Authorship = Literal["ours", "edited", "foreign"]


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def authorship(text: str) -> Authorship:
    """Whose a compose file is: written by votesync, written by it and edited since, or somebody else's."""
    first, _, body = text.partition("\n")
    match = _WRITTEN.match(first)
    if match is None:
        return "foreign"
    return "ours" if match[1] == _digest(body) else "edited"


def template_file(name: str = "compose.yml.j2") -> Path:
    """Where a template is: inside the installed package, or at the root of a checkout.

    Raises: EnvironmentFault where neither has it.
    """
    here = Path(__file__).resolve().parent
    for directory in (here / "templates", here.parent / "templates"):
        if (directory / name).is_file():
            return directory / name
    raise EnvironmentFault(f"The template {name} is not where votesync was installed.", "Install votesync again.")


def render(spec: ClusterSpec) -> str:
    """The text of the compose file for this cluster."""
    import jinja2  # here, since only `generate` and `up` need it, and `--help` must be quick

    environments = [spec.node_environment(node) for node in range(spec.nodes)]
    own = {"ID", "PORT", "CLUSTER_PORT"}
    clients = [spec.client_environment(client) for client in range(spec.nodes)]
    template = jinja2.Template(
        template_file().read_text(encoding="utf-8"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    body: str = template.render(
        spec=spec,
        settings=spec.settings(),
        node_environment={name: value for name, value in environments[0].items() if name not in own},
        client_environment={name: value for name, value in clients[0].items() if name != "ID"},
        nodes=[(node_service(node), {name: env[name] for name in sorted(own)}) for node, env in enumerate(environments)],
        clients=[(client_service(client), node_service(client), env["ID"]) for client, env in enumerate(clients)],
    )
    return _HEADER.format(digest=_digest(body)) + body


def load(path: Path, project_name: str, environment: Mapping[str, str] | None = None) -> ComposeProject:
    """Read the compose file at `path`; `environment` (the process's own by default) fills its `${NAME}`s.

    Raises: UsageError where there is no such file, ComposeFileError where it makes no sense, EnvironmentFault where it
    cannot be read.
    """
    return parse(read_text(path), path.resolve(), project_name, os.environ if environment is None else environment)


def read_text(path: Path) -> str:
    """The text of the file.

    Raises: UsageError, EnvironmentFault, ComposeFileError.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"There is no {path}.", "Write one with `votesync generate`, or start at once with `votesync up`."
        ) from None
    except UnicodeDecodeError:
        raise ComposeFileError(path.name, 1, "it is not UTF-8 text.", MEND) from None
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be read: {error.strerror}.", "Mend its permissions, or name another file with -f."
        ) from None


def parse(text: str, file: Path, project_name: str, environment: Mapping[str, str]) -> ComposeProject:
    """What a compose file's text says. `file` is absolute: relative paths start from its directory.

    Raises: ComposeFileError.
    """
    place = Place(file.name, file.parent)
    document = interpolate(read(text, file.name), environment, file.name)
    raw = document.get("services")
    if not isinstance(raw, MarkedMap) or not raw:
        line = document.lines.get("services", 1)
        raise ComposeFileError(file.name, line, "it has no services.", MEND)
    services = [read_service(place, name, value, raw.lines[name], environment) for name, value in raw.items()]
    notes = check_services(place, services)
    for key, line in document.lines.items():
        if key not in {"services", "version"} and not key.startswith("x-"):
            notes += (f"{file.name}:{line}: votesync does not act on `{key}`.",)
    return ComposeProject(
        name=project_name,
        directory=file.parent,
        file=file,
        services=tuple(sorted((item.service for item in services), key=lambda service: (service.role == "client", service.id))),
        settings=settings_of(document),
        notes=tuple(note for item in services for note in item.notes) + notes,
    )


def settings_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands under `x-votesync`; nothing where it is not a mapping."""
    settings = document.get("x-votesync")
    return dict(settings) if isinstance(settings, Mapping) else {}
