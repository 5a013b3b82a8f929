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
def shared_five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of `five`."""
    cluster = Cluster(tmp_path_factory.mktemp("local") / "five", 5)
    yield cluster
    cluster.cli("down")
    assert cluster.processes() == []


@pytest.fixture
def five(shared_five: Cluster) -> Cluster:
    """Five nodes that are well and five clients that rest; whenever one is started it sends 300 messages at 100 a second."""
    shared_five.up("--messages", "300", "--rate", "100", "--in-flight", "8")
    shared_five.await_clients()
    return shared_five


@pytest.fixture
def watched(five: Cluster) -> Iterator[Cluster]:
    """The same with the shared file watched for as long as the test lasts."""
    watcher = Watcher(five.output)
    yield five
    watcher.close()
    watcher.check()
    five.judge()
    assert five.data().startswith(watcher.last)
