"""`votesync fault` against real nodes: what it breaks breaks, what has a majority goes on, and faults end by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local.cluster import Cluster, until
from tests.e2e.local.conftest import Maker


@pytest.fixture(scope="module")
def shared_faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of `faulty`."""
    cluster = Cluster(tmp_path_factory.mktemp("local") / "faulty", 5)
    cluster.up("--faults", "--messages", "100000", "--rate", "40")
    yield cluster
    cluster.cli("down")
    assert cluster.processes() == []


@pytest.fixture
def faulty(shared_faulty: Cluster) -> Cluster:
    """Five nodes that take faults and are well, under a light load for as long as a test may last."""
    shared_faulty.cli("fault", "heal")
    until(lambda: unwell(shared_faulty, set()), "all are well")
    return shared_faulty


def unwell(cluster: Cluster, nodes: set[int]) -> bool:
    """Whether just these nodes know that they can decide nothing."""
    return {node for node in range(5) if cluster.status(node).get("healthy") is not True} == nodes


def test_a_partition_stops_the_minority_shows_in_status_and_log_and_ends_by_itself(faulty: Cluster) -> None:
    done = faulty.cli("fault", "partition", "0,1/2,3,4", "--for", "12s")
    assert done.stdout == "partition 0,1 / 2,3,4 at nodes 0, 1, 2, 3, 4, for 12 s.\n"
    until(lambda: unwell(faulty, {0, 1}), "the two know that they are too few, the three go on", 11.0)
    size = len(faulty.data())
    until(lambda: len(faulty.data()) > size + 1000, "the three write")
    assert "faults: cut" in faulty.cli("status").stdout
    rows = [json.loads(line) for line in faulty.cli("fault", "list", "--json").stdout.splitlines()]
    assert {row["node"] for row in rows} == {0, 1, 2, 3, 4}
    assert all(0 < row["left_ms"] <= 12_000 for row in rows)
    until(lambda: unwell(faulty, set()), "it ends by itself")
    assert faulty.cli("fault", "list").stdout == "No faults are at work.\n"
    for node in range(5):
        assert faulty.events(node, "fault")[-1]["detail"]["kind"] == "cut"
        assert faulty.events(node, "heal")[-1]["fault"] == "cut"


def test_a_leader_that_is_cut_off_one_way_is_replaced_and_heal_mends_it(faulty: Cluster) -> None:
    leader = faulty.leader()
    others = ",".join(str(node) for node in range(5) if node != leader)
    faulty.cli("fault", "cut", f"leader->{others}")
    until(lambda: faulty.leader() != leader, "another one leads: nobody hears the old one any more")
    assert "healed" in faulty.cli("fault", "heal", "cut").stdout
    until(lambda: unwell(faulty, set()), "all are well")


def test_bad_links_everywhere_slow_it_down_and_harm_nothing(faulty: Cluster) -> None:
    for words in ("delay all 5ms±4ms", "drop all 5%", "dup 20%", "reorder 20%", "skew 3 -2s", "skew leader +1h"):
        faulty.cli("fault", *words.split(), "--seed", "7")
    size = len(faulty.data())
    until(lambda: len(faulty.data()) > size + 10_000, "it goes on")
    assert len(json.loads(faulty.cli("status", "--json").stdout.splitlines()[0])["faults"]) >= 4
    faulty.cli("fault", "heal")
    until(lambda: faulty.cli("fault", "list").stdout == "No faults are at work.\n", "they are gone")
    for client in faulty.project.clients:  # the last test that needs them
        faulty.engine.stop(faulty.project, client.name)
    report = faulty.cli("verify")
    assert "FAIL" not in report.stdout


def test_without_faults_allowed_it_is_refused_and_nothing_changes(make_cluster: Maker) -> None:
    cluster = make_cluster("sound", 3)
    cluster.up("--messages", "5")
    refused = cluster.cli("fault", "drop", "0", "10%", code=1)
    assert "takes no faults" in refused.stderr
    assert "up --faults" in refused.stderr
    assert cluster.cli("fault", "list").stdout == "No faults are at work.\n"


def test_a_node_that_does_not_run_is_named(make_cluster: Maker) -> None:
    cluster = make_cluster("three", 3)
    cluster.up("--messages", "5", "--faults")
    cluster.kill(2)
    done = cluster.cli("fault", "dup", "50%")
    assert "at nodes 0, 1." in done.stdout
    assert "cluster_sync_3 was not asked: it is exited." in done.stdout


def test_the_half_link_that_a_shell_leaves_is_explained(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "none", 3)
    cluster.cli("generate", "--nodes", "3")
    refused = cluster.cli("fault", "cut", "1-", "--engine", "local", code=2)
    assert "the shell took" in refused.stderr
