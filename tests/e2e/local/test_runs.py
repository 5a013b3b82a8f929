"""Runs are kept on a real cluster: what can be said of it before `down` can be said of it afterwards, wherever it lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.local.cluster import Cluster
from tests.e2e.local.conftest import Maker


def rows(cluster: Cluster, *words: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cluster.cli(*words, "--json", code=code).stdout.splitlines()]


def verdict(cluster: Cluster, *words: str) -> list[tuple[str, str, str]]:
    """Rule by rule, without where the file lay; how far journals know what is decided moves on by itself."""
    said = [row for row in rows(cluster, "verify", *words) if "rule" in row]
    return [(row["rule"], row["status"], "" if row["rule"] == "agreement" else row["detail"]) for row in said]


def test_a_run_outlives_its_cluster(make_cluster: Maker) -> None:
    cluster = make_cluster("kept for good", 3)
    cluster.up("--messages", "20")
    cluster.cli("send", "--session", "me", "hello")
    cluster.await_clients()
    cluster.cli("kill", "1")
    cluster.cli("start", "1")
    before = verdict(cluster, "--run", "latest")  # it goes on, so the cluster is read
    assert [rule for rule, status, _ in before if status != "PASS"] == ["no-invention"], "`send` keeps no history"
    explained = rows(cluster, "explain", "me:1", "--run", "latest")
    tail = rows(cluster, "tail", "--no-follow", "--event", "round")
    cluster.cli("down")
    (cluster.directory / "shared_data").rename(cluster.directory / "elsewhere")

    (run,) = rows(cluster, "runs")
    assert (run["state"], run["verdict"], run["messages"], run["latest"]) == ("kept", "PASS", 61, True)
    shown = cluster.cli("runs", "show").stdout
    assert "kill cluster_sync_2" in shown
    assert "messages 20" in shown
    archive = cluster.cli("runs", "pack", "-o", "run.tar.gz", "--json").stdout
    assert json.loads(archive)["bytes"] == (cluster.directory / "run.tar.gz").stat().st_size
    for word in (run["run"][:15], f".votesync/runs/{run['run']}"):
        assert rows(cluster, "tail", "--event", "round", "--run", word) == tail
    for word in ("latest", "run.tar.gz"):
        assert verdict(cluster, "--run", word) == before
        assert rows(cluster, "explain", "me:1", "--run", word) == explained
        assert rows(cluster, "tail", "--event", "round", "--run", word) == tail
        cluster.cli("timeline", "--run", word, "--svg", "picture.svg")
        assert (cluster.directory / "picture.svg").read_text().count("</svg>") == 1
    assert "exclude each other" in cluster.cli("verify", "elsewhere/output.txt", "--run", "latest", code=2).stderr
    (cluster.directory / "elsewhere").rename(cluster.directory / "shared_data")


def test_each_cluster_has_a_run_of_its_own_and_old_ones_go_only_when_told(make_cluster: Maker) -> None:
    cluster = make_cluster("several", 1)
    for _ in range(2):
        cluster.up("--messages", "5")
        cluster.await_clients()
        cluster.cli("down")
    cluster.cli("down")
    for words in ((), ("--run", "latest")):  # with the votes that were kept, of this run and of the one before
        assert {status for _, status, _ in verdict(cluster, *words)} == {"PASS"}
    cluster.up("--messages", "5")
    cluster.up("--messages", "6", "--rate", "7")  # other clients, the same nodes: the run goes on
    cluster.up("--writer", "winner")  # other nodes: the logs of these vanish
    assert [row["state"] for row in rows(cluster, "runs")] == ["kept", "kept", "kept", "open"]
    assert [row["continues"] for row in rows(cluster, "runs")][1:] == [row["run"] for row in rows(cluster, "runs")][:-1]
    assert {status for _, status, _ in verdict(cluster)} <= {"PASS", "NOT CHECKED"}
    cluster.cli("down", "--no-keep")
    assert rows(cluster, "runs")[-1]["state"] == "open"
    assert [row["goes"] for row in rows(cluster, "runs", "prune", "--keep", "1")] == [True, True, True]
    assert len(rows(cluster, "runs")) == 4, "nothing goes without --yes"
    cluster.cli("runs", "prune", "--keep", "2", "--yes")
    assert len(rows(cluster, "runs")) == 2
    cluster.cli("runs", "keep", code=1)


def test_up_and_down_work_where_no_run_can_be_kept(make_cluster: Maker) -> None:
    cluster = make_cluster("in the way", 1)
    (cluster.directory / ".votesync").mkdir()
    (cluster.directory / ".votesync" / "runs").write_text("a file")
    said = cluster.cli("up", "--engine", "local", "--nodes", "1", "--messages", "5").stderr
    assert said.count("note: this run will not be kept: ") == 1
    assert cluster.cli("runs").stdout.startswith("No run is kept in ")
    cluster.await_clients()
    cluster.cli("verify")
    assert cluster.cli("down").stderr.count("note: the run is not kept: ") == 1
    assert cluster.processes() == []
    assert Path(cluster.directory / ".votesync" / "runs").read_text() == "a file"
