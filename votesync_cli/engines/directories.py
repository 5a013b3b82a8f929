"""The directories of the host that containers see: made beforehand, so that no daemon makes them as root, and cleared.

They belong to whom the service runs as. Under `sudo votesync up` that is the user who called sudo, as the file says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from votesync_cli.compose import ComposeProject, Service
from votesync_cli.errors import EnvironmentFault


def owner_of(service: Service) -> tuple[int, int] | None:
    """The (uid, gid) that the service's directories are to get: only root can give files away, and only then it is asked."""
    uid, _, gid = service.user.partition(":")
    if os.geteuid() != 0 or not uid.isdigit():
        return None
    return int(uid), int(gid) if gid.isdigit() else int(uid)


def make_directory(path: Path, owner: tuple[int, int] | None) -> None:
    """Make `path` and the parents it needs; what was made belongs to `owner`, what was there stays as it is.

    Raises: EnvironmentFault.
    """
    missing = [path, *path.parents]
    missing = missing[: next((index for index, parent in enumerate(missing) if parent.exists()), len(missing))]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for made in missing:
            if owner is not None:
                os.chown(made, *owner)
    except OSError as error:
        raise EnvironmentFault(
            f"The directory {path} cannot be made: {error.strerror}.",
            "Make it yourself, writable for you, or use another directory.",
        ) from None


def make_sources(services: Sequence[Service]) -> None:
    """Make the source of every mount of these services.

    Raises: EnvironmentFault.
    """
    for service in services:
        for mount in service.volumes:
            make_directory(mount.source, owner_of(service))


def remove_journals(project: ComposeProject) -> list[str]:
    """Remove the nodes' data directories, as far as they are inside the project's `.votesync`; returns their paths.

    Raises: EnvironmentFault.
    """
    inside = project.state_dir.resolve()
    removed = []
    for node in project.nodes:
        path = node.data_dir
        if path is None or inside not in path.resolve().parents or not path.exists():
            continue
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise EnvironmentFault(
                f"The journal {path} cannot be removed: {error.strerror}.", f"Remove it yourself: sudo rm -r '{path}'."
            ) from None
        removed.append(str(path))
    return removed
