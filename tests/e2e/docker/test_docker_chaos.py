"""Faults and chaos on a real Docker Engine: the same words, the same verdicts."""

from __future__ import annotations

import json

import pytest

from tests.e2e.docker.conftest import Maker
from tests.e2e.docker.docker_cluster import Cluster, until

pytestmark = pytest.mark.docker


def healthy(cluster: Cluster) -> set[int]:
    return {int(row["node"]) for row in cluster.rows("status") if row.get("healthy")}


def test_a_partition_and_a_chaos_run(make_cluster: Maker) -> None:
    cluster = make_cluster("chaos")
    up = ("up", "--engine", "docker", "--nodes", "3", "--faults", "--messages", "100000", "--rate", "30", "--timeout", "120")
    cluster.cli(*up)
    assert cluster.cli("fault", "partition", "0/1,2", "--for", "1m").stdout.startswith("partition 0 / 1,2 at nodes 0, 1, 2")
    statuses = json.loads(cluster.cli("fault", "list", "--json").stdout.splitlines()[0])
    assert statuses["kind"] == "cut"

    def only_the_majority_is_well() -> bool:
        return healthy(cluster) == {1, 2}

    until(only_the_majority_is_well, "the one that is cut off knows it")
    cluster.cli("fault", "heal")
    until(lambda: healthy(cluster) == {0, 1, 2}, "all are well")
    done = cluster.cli("chaos", "--seed", "5", "--for", "15s")
    assert done.stdout.splitlines()[-1].startswith("PASS: seed 5")
