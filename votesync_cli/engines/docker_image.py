"""The image that the services run: made from the build context where it is not there yet, with its steps shown.

Nothing here needs a network unless the base image is missing. The build itself has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from votesync_cli.compose import Build, ComposeProject
from votesync_cli.engines.base import Progress
from votesync_cli.engines.directories import owner_of
from votesync_cli.engines.docker_faults import fault, fault_from_text, translated
from votesync_cli.engines.image import CONTENT_LABEL, NO_PYTHON, content_hash, labelled_content, read_context, write_context
from votesync_cli.errors import EnvironmentFault, VotesyncError

if TYPE_CHECKING:
    from docker.api.client import APIClient

_BASE_HINT = "Name an image on this machine with Python 3.11 or newer: --base-image NAME (`docker images` lists them)"
_STEP = re.compile(r"Step (\d+/\d+) : (\S.*)")


def ensure_image(api: APIClient, project: ComposeProject, progress: Progress) -> str:
    """See to it that the project's image exists and holds what the context says; returns its id.

    Raises: EnvironmentFault where there is no fitting base image, or the engine cannot build.
    """
    build = project.build
    if build is None:
        return _ensure_present(api, project.image, progress, f"Build it or pull it first: docker pull {project.image}.")
    if build.context == project.state_dir.resolve() / "image":
        write_context(build.context, owner_of(project.nodes[0]))
    content, labels = _wanted(build.context)
    base = build.args.get("BASE_IMAGE", "")
    if base:
        existing = find_image(api, project.image)
        if existing is not None and _is_current(existing, find_image(api, base), content):
            return str(existing["Id"])
        _ensure_present(api, base, progress, f"{_BASE_HINT}, or run `docker pull {base}` where there is a network.")
    progress(f"Building the image {project.image}" + (f" from {base}" if base else ""))
    _build(api, project.image, build, labels, progress)
    made = find_image(api, project.image)
    if made is None:
        raise EnvironmentFault(
            f"The image {project.image} was built but is not there.", "Look at the engine's disk: docker system df."
        )
    return str(made["Id"])


def find_image(api: APIClient, name: str) -> Mapping[str, Any] | None:
    """What the engine knows about an image, or None where it has none of that name."""
    from docker.errors import ImageNotFound, NotFound

    with translated(f"look for the image {name}"):
        try:
            found: Mapping[str, Any] = api.inspect_image(name)  # type: ignore[no-untyped-call]  # the stubs give it none
        except (ImageNotFound, NotFound):
            return None
        return found


def _wanted(context: Path) -> tuple[str, dict[str, str]]:
    """The hash of the context, and the labels to build with: a Dockerfile of somebody else names no hash itself."""
    try:
        files = read_context(context)
    except OSError as error:
        raise EnvironmentFault(
            f"The build context {context} cannot be read: {error.strerror}.", "Mend its permissions."
        ) from None
    if "Dockerfile" not in files:
        raise EnvironmentFault(f"The build context {context} has no Dockerfile.", "Mend `build` in the compose file.")
    labelled = labelled_content(files)
    content = labelled or content_hash(files)
    return content, {} if labelled else {CONTENT_LABEL: content}


def _is_current(image: Mapping[str, Any], base: Mapping[str, Any] | None, content: str) -> bool:
    """Whether the image holds this content on this base; a base that is not on the machine cannot have changed."""
    if ((image.get("Config") or {}).get("Labels") or {}).get(CONTENT_LABEL) != content:
        return False
    layers = (image.get("RootFS") or {}).get("Layers") or []
    below = ((base or {}).get("RootFS") or {}).get("Layers") or []
    return bool(layers[: len(below)] == below)


def _ensure_present(api: APIClient, name: str, progress: Progress, hint: str) -> str:
    found = find_image(api, name)
    if found is None:
        progress(f"Pulling the image {name}")
        _pull(api, name, progress, hint)
        found = find_image(api, name)
    if found is None:
        raise EnvironmentFault(f"The image {name} was pulled but is not there.", hint)
    return str(found["Id"])


def _pull(api: APIClient, name: str, progress: Progress, hint: str) -> None:
    from docker.errors import DockerException
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(name)
    done: set[str] = set()
    try:
        for event in api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if "error" in event:
                raise _no_image(name, str(event["error"]), hint)
            if event.get("status") == "Pull complete":
                done.add(str(event.get("id")))
                progress(f"Pulling {name}: {len(done)} layers")
    except (DockerException, OSError) as error:
        raise _no_image(name, str(getattr(error, "explanation", None) or error), hint) from None


def _no_image(name: str, reason: str, hint: str) -> VotesyncError:
    known = fault_from_text(reason, f"pull {name}")
    if "disk" in known.message:
        return known
    reason = re.sub(r'^(?:Get|Head) "\S+": ', "", " ".join(reason.split())).rstrip(".")
    return EnvironmentFault(f"The image {name} is not on this machine and cannot be pulled: {reason}.", hint)


def _build(api: APIClient, name: str, build: Build, labels: Mapping[str, str], progress: Progress) -> None:
    from docker.errors import DockerException

    try:
        stream = api.build(
            path=str(build.context),
            tag=name,
            buildargs=dict(build.args),
            labels=dict(labels),
            network_mode="none",
            rm=True,
            forcerm=True,
            decode=True,
        )
        _follow(stream, build, progress)
    except (DockerException, OSError) as error:
        raise fault(error, "build the image") from None


def _follow(stream: Iterable[Mapping[str, Any]], build: Build, progress: Progress) -> None:
    said: list[str] = []
    for event in stream:
        text = str(event.get("stream", ""))
        said.append(text)
        step = _STEP.match(text)
        if step:
            progress(f"Step {step[1]}: {' '.join(step[2].split())[:60].rstrip()}")
        if "error" in event:
            raise _build_fault(str(event["error"]), "".join(said), build)


def _build_fault(error: str, said: str, build: Build) -> VotesyncError:
    base = build.args.get("BASE_IMAGE") or "its base"
    if f"non-zero code: {NO_PYTHON}" in error:
        return EnvironmentFault(f"The image {base} has no Python 3.11 or newer.", f"{_BASE_HINT}.")
    if re.search(r'exec: "/bin/sh"|/bin/sh: (?:stat|no such)', error):
        return EnvironmentFault(f"The image {base} has no shell, which the build needs.", f"{_BASE_HINT} and a shell.")
    known = fault_from_text(error, "build the image")
    if said.strip() and known.message.startswith("Docker could not build"):
        last = said.strip().splitlines()[-1]
        return EnvironmentFault(f"{known.message[:-1]} (it said: {last[:200]}).", known.hint)
    return known
