"""Clusters of every size form, work, and leave nothing behind."""

from __future__ import annotations

import pytest

from tests.e2e.local.conftest import Maker


@pytest.mark.parametrize("nodes", [1, 2, 3, 5, 7, 9])
def test_a_cluster_of_any_size_forms_and_works(make_cluster: Maker, nodes: int) -> None:
    cluster = make_cluster(f"size{nodes}", nodes)
    cluster.up("--messages", "10")
    assert len(cluster.processes()) >= 2 * nodes, "every node, and its supervisor"
    cluster.await_clients()
    cluster.judge()
    assert cluster.data().count(b"Mensagem: ") == 10 * nodes
    states = {one.service: (one.state, one.health, one.exit_code) for one in cluster.engine.observe(cluster.project)}
    assert states == {f"cluster_sync_{one + 1}": ("running", "healthy", None) for one in range(nodes)} | {
        f"client_{one + 1}": ("exited", "", 0) for one in range(nodes)
    }
    cluster.cli("down")
    assert cluster.processes() == []
    assert not (cluster.directory / ".votesync" / "local").exists()
    assert cluster.data().count(b"Mensagem: ") == 10 * nodes, "the data stays"
