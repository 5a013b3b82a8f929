"""`up` and `down` on the local engine: again, interrupted, killed, side by side, and without a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.local.cluster import LIMIT, Cluster, end, until
from tests.e2e.local.conftest import Maker

UP = ("up", "--engine", "local", "--nodes", "3", "--messages", "5")


def _await_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended without saying {text!r}")


def test_a_second_up_changes_nothing_but_what_is_missing(make_cluster: Maker) -> None:
    cluster = make_cluster("again", 3)
    cluster.up("--messages", "5")
    cluster.await_clients()
    before = cluster.processes()
    said = cluster.cli(*UP, "--json")
    assert cluster.processes() == before
    assert json.loads(said.stdout.splitlines()[0])["operations"] == []
    cluster.cli("kill", "1")
    rest = cluster.processes()
    assert len(rest) == len(before) - 2, "the node and its supervisor are gone"
    cluster.up("--messages", "5")
    assert len(cluster.processes()) == len(before)
    assert set(rest) <= set(cluster.processes()), "only the dead node was started"
    until(lambda: cluster.has_caught_up(1), "it catches up")


def test_the_verbs_for_one_node(make_cluster: Maker) -> None:
    cluster = make_cluster("verbs", 3)
    cluster.up("--messages", "5")
    cluster.await_clients()
    for verb, state, code in (
        ("kill", "exited", 137),
        ("start", "running", None),
        ("pause", "paused", None),
        ("unpause", "running", None),
        ("stop", "exited", 0),
        ("start", "running", None),
        ("restart", "running", None),
    ):
        cluster.cli(verb, "1")
        seen = cluster.seen("cluster_sync_2")
        assert (seen.state, seen.exit_code) == (state, code), verb
    until(lambda: cluster.has_caught_up(1), "it catches up")


@pytest.mark.parametrize("moment", ["create cluster_sync_2", "waiting:", "create client_1"])
def test_ctrl_c_in_the_middle_of_up_leaves_nothing_behind(make_cluster: Maker, moment: str) -> None:
    cluster = make_cluster("interrupted", 3)
    with cluster.begin(*UP) as process:
        _await_line(process, moment)
        code = end(process, signal.SIGINT)
    assert code == 130
    assert cluster.processes() == []
    assert not (cluster.directory / ".votesync" / "local").exists()
    cluster.up("--messages", "5")
    cluster.await_clients()
    cluster.judge()


@pytest.mark.parametrize("moment", ["create cluster_sync_2", "waiting:"])
def test_down_ends_what_an_up_started_that_was_killed(make_cluster: Maker, moment: str) -> None:
    cluster = make_cluster("crashed", 3)
    with cluster.begin(*UP) as process:
        _await_line(process, moment)
        end(process, signal.SIGKILL)
    assert cluster.processes() != []
    cluster.cli("down")
    assert cluster.processes() == []


def test_down_leaves_a_process_alone_that_got_a_nodes_pid(make_cluster: Maker) -> None:
    cluster = make_cluster("reused", 1)
    cluster.up("--messages", "5")
    cluster.await_clients()
    cluster.cli("kill", "0")
    state = cluster.directory / ".votesync" / "local" / "reused" / "state.json"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        data = json.loads(state.read_text())
        for record in data["records"].values():
            record["own"]["pid"] = record["supervisor"]["pid"] = stranger.pid
        state.write_text(json.dumps(data))
        cluster.cli("kill", "0", code=1)
        cluster.cli("down")
        assert stranger.poll() is None
        stranger.kill()


def test_two_projects_side_by_side_do_not_touch_each_other(make_cluster: Maker) -> None:
    one, two = make_cluster("one", 3), make_cluster("two", 3)
    with one.begin(*UP) as first, two.begin(*UP) as second:
        assert first.wait(LIMIT) == 0
        assert second.wait(LIMIT) == 0
    addresses = [seen.client_address for cluster in (one, two) for seen in cluster.engine.observe(cluster.project)]
    taken = [address for address in addresses if address]
    assert len(taken) == len(set(taken)) == 6
    for cluster in (one, two):
        cluster.await_clients()
    before = two.processes()
    one.kill(0, 1)
    one.cli("down")
    assert one.processes() == []
    assert two.processes() == before
    for cluster in (one, two):
        cluster.judge()
        assert cluster.data().count(b"Mensagem: ") == 15


def test_two_ups_of_one_project_at_once_give_one_cluster(make_cluster: Maker) -> None:
    cluster = make_cluster("twice", 3)
    slow = ("--election-min", "3000", "--election-max", "4000", "--heartbeat", "500")
    with cluster.begin(*UP, *slow) as first:
        _await_line(first, "create cluster_sync_1")
        first.send_signal(signal.SIGSTOP)  # however long the second takes to begin, the first is not done
        try:
            refused = cluster.cli(*UP, code=4)
        finally:
            first.send_signal(signal.SIGCONT)
        assert "Another votesync is bringing project twice up or down" in refused.stderr
        assert first.stderr is not None
        first.stderr.read()
        assert first.wait(LIMIT) == 0
    cluster.await_clients()
    cluster.judge()


def test_the_cluster_outlives_the_terminal(make_cluster: Maker) -> None:
    cluster = make_cluster("terminal", 1)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cluster.directory)
        os.execvpe(
            sys.executable, cluster.command("up", "--engine", "local", "--nodes", "1", "--messages", "5"), cluster.environment
        )
    said = b""
    while b"votesync down" not in said:  # the last of the next commands to paste
        said += os.read(terminal, 4096)
    os.close(terminal)  # SIGHUP to all that hangs on it
    os.waitpid(pid, 0)
    cluster.await_clients()
    assert cluster.leader() == 0
    cluster.judge()


def test_down_and_up_again_go_on_with_the_same_file(make_cluster: Maker) -> None:
    cluster = make_cluster("resumed", 3)
    cluster.up("--messages", "5")
    cluster.await_clients()
    before = cluster.data()
    cluster.cli("down")
    cluster.up("--messages", "5")
    cluster.await_clients()
    assert cluster.data().startswith(before)
    assert len(cluster.data()) > len(before)
    cluster.judge()


def test_a_damaged_record_is_named_by_up_and_mended_by_down(make_cluster: Maker) -> None:
    cluster = make_cluster("damaged", 1)
    cluster.up("--messages", "5")
    _state(cluster).write_text('{"format": 1, "rec')
    assert "state.json is damaged" in cluster.cli("up", "--engine", "local", code=4).stderr
    assert cluster.processes() != []
    cluster.cli("down")
    assert cluster.processes() == []


def _state(cluster: Cluster) -> Path:
    return cluster.directory / ".votesync" / "local" / cluster.directory.name / "state.json"
