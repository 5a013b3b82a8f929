"""Clusters for the tests on the local engine; what a test leaves running is ended, and that is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.local.cluster import Cluster, Watcher

Maker = Callable[[str, int], Cluster]


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[Maker]:
    """Clusters of one test: name, number of nodes."""
    made: list[Cluster] = []

    def make(name: str, nodes: int) -> Cluster:
        made.append(Cluster(tmp_path / name, nodes))
        return made[-1]

    yield make
    for cluster in made:
        cluster.cli("down")
        assert cluster.processes() == []


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Five nodes and five clients, each of which sends 300 messages at 100 a second whenever it is started."""
    cluster = Cluster(tmp_path_factory.mktemp("local") / "five", 5)
    cluster.up("--messages", "300", "--rate", "100", "--in-flight", "8")
    cluster.await_clients()
    yield cluster
    cluster.cli("down")
    assert cluster.processes() == []


@pytest.fixture
def watched(five: Cluster) -> Iterator[Cluster]:
    """The same with every node well, and the shared file watched for as long as the test lasts."""
    five.leader()
    watcher = Watcher(five.output)
    yield five
    watcher.close()
    watcher.check()
    five.judge()
    assert five.data().startswith(watcher.last)
