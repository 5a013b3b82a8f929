"""Five nodes in containers: how they are made, what the verbs show of them, and what happens when one is harmed.

The tests share one cluster and leave every node running.
"""

from __future__ import annotations

import json
import signal
import socket
import time

import pytest

from tests.e2e.docker.docker_cluster import LIMIT, Cluster, docker, until
from votesync_cli.engines.docker import DockerEngine
from votesync_cli.engines.docker_admin import ask_directly, ask_inside
from votesync_cli.errors import CommandFailed, TimedOut


def test_a_container_is_hardened_as_the_file_says(five: Cluster) -> None:
    for service in five.project.services:
        seen = five.inspect(service.name)
        host = seen["HostConfig"]
        assert seen["Config"]["User"] == service.user
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert host["Privileged"] is False
        assert host["Init"] is True
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["PidsLimit"] == 128
        assert host["Memory"] == 512 << 20
        assert list(host["Tmpfs"]) == ["/tmp"]
        assert host["RestartPolicy"]["Name"] == "no"
        assert host["PortBindings"] == {}, "no port is published unless asked for"
        assert {mount["Type"] for mount in seen["Mounts"]} == {"bind"}
        assert seen["Config"]["StopTimeout"] == 5


def test_nothing_but_its_directories_can_be_written_inside(five: Cluster, engine: DockerEngine) -> None:
    script = "id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; touch /opt/votesync/x; touch /shared/x && rm /shared/x"
    done = engine.run(five.project, "cluster_sync_1", ["sh", "-c", script])
    said = done.stdout.decode().split()
    assert said[0] == five.project.services[0].user.partition(":")[0]
    assert said[2] == "0000000000000000"
    assert said[4] == "1"
    assert b"Read-only file system" in done.stderr
    assert done.code == 0


def test_a_container_has_composes_labels_and_ours(five: Cluster) -> None:
    node, client = five.inspect("cluster_sync_2"), five.inspect("client_2")
    said = node["Config"]["Labels"]
    assert node["Name"] == f"/{five.name}-cluster_sync_2-1"
    assert said["com.docker.compose.project"] == five.name
    assert said["com.docker.compose.service"] == "cluster_sync_2"
    assert said["com.docker.compose.container-number"] == "1"
    assert said["com.docker.compose.oneoff"] == "False"
    assert said["com.docker.compose.project.working_dir"] == str(five.directory)
    assert said["com.docker.compose.project.config_files"] == str(five.directory / "compose.yml")
    assert said["com.docker.compose.image"] == node["Image"]
    assert len(said["com.docker.compose.config-hash"]) == 64
    assert (said["io.votesync.role"], said["io.votesync.id"]) == ("node", "1")
    assert client["Config"]["Labels"]["com.docker.compose.depends_on"] == "cluster_sync_2:service_healthy:false"
    network = json.loads(docker("network", "inspect", f"{five.name}_default"))[0]
    assert network["Labels"]["com.docker.compose.network"] == "default"
    assert network["Labels"]["com.docker.compose.project"] == five.name
    assert "cluster_sync_2" in node["NetworkSettings"]["Networks"][f"{five.name}_default"]["Aliases"]


def test_the_healthcheck_is_the_files(five: Cluster) -> None:
    said = five.inspect("cluster_sync_1")["Config"]["Healthcheck"]
    assert said["Test"] == ["CMD", "python", "-m", "node_runtime", "ctl", "health"]
    assert (said["Interval"], said["Timeout"], said["StartPeriod"]) == (1_000_000_000, 2_000_000_000, 5_000_000_000)


def test_ps_and_status_show_five_nodes_and_five_clients(five: Cluster) -> None:
    rows = five.rows("ps")
    assert [row["service"] for row in rows] == [service.name for service in five.project.services]
    assert all(row["state"] == "running" for row in rows if row["role"] == "node")
    status = five.rows("status")
    assert sorted(row["role"] for row in status) == ["follower"] * 4 + ["leader"]
    assert len({row["leader"] for row in status}) == 1


def test_the_clients_messages_are_in_the_file_and_it_keeps_the_rules(five: Cluster) -> None:
    five.cli("wait", "--timeout", "60")
    data = five.output.read_text()
    assert data.count("Mensagem: ") >= 150
    assert "FAIL" not in five.cli("verify").stdout


def test_what_is_sent_is_written_once(five: Cluster) -> None:
    five.cli("send", "--node", "3", "hello from outside")
    five.cli("send", stdin="one line\nanother line\n")
    data = five.output.read_text()
    for text in ("hello from outside", "one line", "another line"):
        assert data.count(f"message: {text}\n") == 1


def test_tail_shows_the_votes_of_rounds_that_are_over(five: Cluster) -> None:
    rows = [json.loads(line) for line in five.cli("tail", "--no-follow", "--json").stdout.splitlines()]
    assert len(rows) > 10


def test_ctrl_c_in_tail_ends_the_tail_and_never_the_cluster(five: Cluster) -> None:
    tail = five.begin("tail", "--json")
    assert tail.stdout is not None
    assert tail.stdout.readline(), "it shows something"
    tail.send_signal(signal.SIGINT)
    _, said = tail.communicate(timeout=LIMIT)
    assert "Traceback" not in said
    assert tail.returncode in {0, 130}
    assert all(row["state"] == "running" for row in five.rows("ps") if row["role"] == "node")


def test_the_engine_runs_commands_with_input_and_both_outputs_apart(five: Cluster, engine: DockerEngine) -> None:
    done = engine.run(five.project, "cluster_sync_1", ["sh", "-c", "cat; echo said >&2; exit 3"], stdin=b"x" * 300_000)
    assert (done.code, done.stdout, done.stderr) == (3, b"x" * 300_000, b"said\n")


def test_a_node_is_asked_alike_through_its_directory_and_from_inside(five: Cluster, engine: DockerEngine) -> None:
    name = "cluster_sync_4"
    inside = ask_inside(lambda command: engine.run(five.project, name, command), name, {"op": "status"})
    data_dir = five.project.service(name).data_dir
    assert data_dir is not None
    direct = ask_directly(data_dir, name, {"op": "status"}, 5.0)
    assert direct is not None, "on this machine's own kernel the socket can be reached"
    assert direct["node"] == inside["node"] == 3
    assert direct.keys() == inside.keys()


def test_a_command_that_does_not_end_is_given_up(five: Cluster, engine: DockerEngine) -> None:
    before = time.monotonic()
    with pytest.raises(TimedOut, match=r"did not end within 0\.5 seconds"):
        engine.run(five.project, "cluster_sync_1", ["sleep", "5"], timeout=0.5)
    assert time.monotonic() - before < 4


def test_a_nodes_client_port_answers_at_the_address_that_is_shown(five: Cluster, engine: DockerEngine) -> None:
    addresses = [seen.client_address for seen in engine.observe(five.project) if seen.role == "node"]
    assert len(set(addresses)) == 5
    assert all(address is not None and address.endswith(f":{5000 + node}") for node, address in enumerate(addresses))
    host, _, port = str(addresses[2]).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT) as link, link.makefile("rb") as replies:
        link.sendall(b'{"op":"status"}\n')
        assert json.loads(replies.readline())["node"] == 2


def test_a_line_of_many_pieces_comes_whole(five: Cluster, engine: DockerEngine) -> None:
    script = "head -c 100000 /dev/zero | tr '\\0' x >/proc/1/fd/1; echo >/proc/1/fd/1"
    done = engine.run(five.project, "cluster_sync_1", ["sh", "-c", script])
    assert done.code == 0, done.stderr

    def there() -> bool:
        lines = engine.logs(five.project, ["cluster_sync_1"], follow=False, since=None)
        return any(line.line == "x" * 100_000 for line in lines)

    until(there, "the long line is in the log, in one piece")


def test_the_leader_is_killed_and_the_rest_goes_on_and_it_comes_back(five: Cluster, engine: DockerEngine) -> None:
    old = five.leader()
    five.cli("kill", str(old))
    assert five.inspect(f"cluster_sync_{old + 1}")["State"]["ExitCode"] == 137
    until(lambda: _leader_other_than(five, old) is not None, "another node leads")
    five.cli("send", "--node", str((old + 1) % 5), "after the leader died")
    assert "message: after the leader died\n" in five.output.read_text()
    five.cli("start", str(old))
    decided = five.status(engine, (old + 1) % 5)["decided"]
    until(lambda: five.status(engine, old).get("decided", 0) >= decided, "the killed node catches up")


def test_a_paused_node_says_that_it_is_paused_and_goes_on_after(five: Cluster, engine: DockerEngine) -> None:
    node = (five.leader() + 1) % 5
    name = f"cluster_sync_{node + 1}"
    five.cli("pause", str(node))
    assert five.inspect(name)["State"]["Status"] == "paused"
    with pytest.raises(CommandFailed, match="it is paused"):
        engine.admin(five.project, name, {"op": "status"})
    with pytest.raises(CommandFailed, match="it is paused"):
        engine.run(five.project, name, ["true"])
    five.cli("send", "--node", str((node + 1) % 5), "while one is paused")
    five.cli("unpause", str(node))
    assert "message: while one is paused\n" in five.output.read_text()
    until(lambda: five.status(engine, node).get("healthy"), "it is well again")


def test_following_goes_on_over_the_restart_of_a_node(five: Cluster, engine: DockerEngine) -> None:
    node = (five.leader() + 2) % 5
    name = f"cluster_sync_{node + 1}"
    lines = engine.logs(five.project, [name], follow=True, since=time.time() - 0.5)
    five.cli("restart", str(node))
    starts = 0
    for line in lines:
        starts += '"event":"start"' in line.line
        if starts and '"event":"follow"' in line.line:
            break
    lines.close()  # type: ignore[attr-defined]  # it is a generator
    assert starts == 1
    assert five.inspect(name)["State"]["Running"] is True


def test_compose_lists_what_votesync_started_and_finds_nothing_to_change(five: Cluster) -> None:
    names = {service.name for service in five.project.services}
    assert set(five.compose("ps", "--services").split()) == names
    assert five.compose("ps").count("Up (healthy)") == 5
    before = {name: five.inspect(name)["Id"] for name in names}
    said = five.compose("up", "-d")
    assert said.count("is up-to-date") == 5
    assert {name: five.inspect(name)["Id"] for name in names} == before, "no container was made anew"


def test_a_second_up_finds_nothing_to_do_and_builds_nothing(five: Cluster) -> None:
    five.cli("wait", "--timeout", "60")
    done = five.cli("up")
    assert "nothing to do" in done.stdout
    assert "Building" not in done.stderr


def test_the_file_keeps_the_rules_after_all_that(five: Cluster) -> None:
    five.cli("wait", "--timeout", "60")
    assert "FAIL" not in five.cli("verify").stdout


def _leader_other_than(five: Cluster, old: int) -> int | None:
    rows = [row for row in five.rows("status") if row.get("role") == "leader" and row["node"] != old]
    return int(rows[0]["node"]) if rows else None
