"""The config hash that docker compose would label a service with: only compose can say, so it is asked where there is one.

A foreign value would make a later `docker compose up` make every container anew.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from votesync_cli.compose import ComposeProject

COMPOSES = (("docker", "compose"), ("docker-compose",))
_PATIENCE = 30.0  # seconds; compose v1 takes about one


def compose_hashes(project: ComposeProject) -> Sequence[Mapping[str, str]]:
    """Service -> compose's hash, once for each compose that is installed and understands the file, v2 first.

    compose v1 hashes the image's id too, so this is asked after the image was made.
    """
    project_options = ("-p", project.name, "-f", str(project.file), "--project-directory", str(project.directory))
    answers = [_ask((*compose, *project_options)) for compose in COMPOSES]
    return [hashes for hashes in answers if hashes]


def _ask(compose: tuple[str, ...]) -> dict[str, str]:
    try:
        done = subprocess.run(
            [*compose, "config", "--hash=*"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}  # not installed, or stuck: our own hash does
    if done.returncode != 0:
        return {}
    pairs = (line.split() for line in done.stdout.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
