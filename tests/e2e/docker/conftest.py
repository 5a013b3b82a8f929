"""A Docker Engine, the image to build on, and projects that are gone after their tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.docker.docker_cluster import Cluster, wipe
from votesync_cli.engines.docker import DockerEngine
from votesync_cli.errors import EnvironmentFault

Maker = Callable[[str], Cluster]
_LOCAL_BASE = "votesync-base:bookworm"  # made without a registry, where there is none


def _missing(reason: str) -> None:
    if os.environ.get("VOTESYNC_REQUIRE_DOCKER") == "1":
        pytest.fail(f"VOTESYNC_REQUIRE_DOCKER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """The engine of this machine; without one these tests are skipped, or fail where one is required."""
    try:
        found = DockerEngine.connect()
    except EnvironmentFault as error:
        _missing(error.message)
        raise
    yield found
    found.close()


@pytest.fixture(scope="session")
def base_image(engine: DockerEngine) -> str:
    """An image with Python that is on this machine."""
    for name in filter(None, (os.environ.get("VOTESYNC_BASE_IMAGE"), _LOCAL_BASE, "python:3.12-slim")):
        if subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0:
            return name
    _missing("no image with Python is on this machine: set VOTESYNC_BASE_IMAGE")
    raise AssertionError


@pytest.fixture
def make_cluster(base_image: str, tmp_path: Path) -> Iterator[Maker]:
    """Projects of one test, by a short name; what they leave is removed, found by their label."""
    made: list[Cluster] = []

    def make(name: str) -> Cluster:
        made.append(Cluster(tmp_path / name, f"vst{os.getpid()}-{name.replace(' ', '')}", base_image))
        return made[-1]

    yield make
    for cluster in made:
        wipe(cluster.name)


@pytest.fixture(scope="module")
def five(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Five nodes and five clients of 30 messages, in a directory whose name has a space."""
    cluster = Cluster(tmp_path_factory.mktemp("docker") / "five nodes", f"vst{os.getpid()}-five", base_image)
    try:
        cluster.cli("up", "--engine", "docker", "--nodes", "5", "--messages", "30", "--timeout", "120")
        cluster.cli("wait", "--timeout", "60")
        yield cluster
    finally:
        wipe(cluster.name)
