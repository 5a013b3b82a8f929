"""Clusters on a real Docker Engine, driven through the command line and looked at with the docker command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from votesync_cli.compose import ComposeProject, load
from votesync_cli.engines.docker import DockerEngine
from votesync_cli.errors import CommandFailed, TimedOut

LIMIT = 60.0  # seconds until a condition counts as never coming true
ROOT = Path(__file__).resolve().parents[3]
LABEL = "com.docker.compose.project"


def until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for a condition; the test fails with `what` if it does not come."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"in vain for {limit:g} s: {what}"
        time.sleep(0.05)


def docker(*words: str) -> str:
    """What the docker command prints."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120, check=True).stdout


def containers(project: str) -> list[str]:
    """The names of all containers of a project."""
    return docker("ps", "-a", "--filter", f"label={LABEL}={project}", "--format", "{{.Names}}").split()


def networks(project: str) -> list[str]:
    """The names of all networks of a project."""
    return docker("network", "ls", "--filter", f"label={LABEL}={project}", "--format", "{{.Name}}").split()


def wipe(project: str) -> None:
    """Remove what a test left of its own project, by label."""
    for name in containers(project):
        docker("rm", "-f", "-v", name)
    for name in networks(project):
        docker("network", "rm", name)


class Cluster:
    """One project in a directory of its own."""

    def __init__(self, directory: Path, project: str, base_image: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.name = project
        self.base_image = base_image

    @property
    def environment(self) -> dict[str, str]:
        """What a verb is started with; the project's name comes as compose takes it."""
        said = {"PYTHONPATH": str(ROOT), "COMPOSE_PROJECT_NAME": self.name, "VOTESYNC_BASE_IMAGE": self.base_image}
        return {**os.environ, **said}

    def command(self, *words: str) -> list[str]:
        """The command line of a verb."""
        return [sys.executable, "-m", "votesync_cli", *words]

    def cli(self, *words: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a verb and hold it to its exit code."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=180,
            check=False,
        )
        assert done.returncode == code, f"votesync {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a verb without waiting for it; its outputs are pipes."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rows(self, verb: str) -> list[dict[str, Any]]:
        """What `--json` of a verb gives."""
        return [json.loads(line) for line in self.cli(verb, "--json").stdout.splitlines()]

    def compose(self, *words: str) -> str:
        """docker-compose on the same file; what it prints."""
        done = subprocess.run(
            ["docker-compose", "-f", "compose.yml", *words],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def inspect(self, service: str) -> dict[str, Any]:
        """What docker knows of a service's container."""
        wanted = f"label=com.docker.compose.service={service}"
        identity = docker("ps", "-aq", "--filter", f"label={LABEL}={self.name}", "--filter", wanted).split()
        assert len(identity) == 1
        return dict(json.loads(docker("inspect", identity[0]))[0])

    @property
    def project(self) -> ComposeProject:
        """What the compose file says."""
        return load(self.directory / "compose.yml", self.name)

    @property
    def output(self) -> Path:
        """The shared file."""
        return self.directory / "shared_data" / "output.txt"

    def status(self, engine: DockerEngine, node: int) -> dict[str, Any]:
        """What a node says of itself; empty where it does not answer."""
        try:
            return dict(engine.admin(self.project, f"cluster_sync_{node + 1}", {"op": "status"}))
        except (CommandFailed, TimedOut):
            return {}

    def leader(self, nodes: int = 5) -> int:
        """The node that leads now."""
        found: list[int] = []

        def look() -> bool:
            rows = self.rows("status")
            found[:] = [int(row["node"]) for row in rows if row.get("role") == "leader" and row.get("state") == "running"]
            return len(rows) == nodes and len(found) == 1

        until(look, "one node leads")
        return found[0]
