"""From nothing to a cluster and back: what is left after each way it can end, and who is not touched by it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.docker.conftest import Maker
from tests.e2e.docker.docker_cluster import LIMIT, Cluster, containers, docker, networks, until
from votesync_cli.engines.docker import DockerEngine
from votesync_cli.engines.docker_labels import container_name
from votesync_cli.engines.image import image_name

UP = ("up", "--engine", "docker", "--nodes", "1", "--messages", "3")
QUICK = (*UP, "--no-wait")


@pytest.fixture
def old_python(base_image: str) -> Iterator[str]:
    """An image that has a `python3` and it is 3.9, as far as the build can tell."""
    name = f"vst{os.getpid()}-old-python:1"
    script = r'printf "#!/bin/sh\nexit 1\n" > /usr/bin/python3 && chmod 755 /usr/bin/python3; rm -f /usr/local/bin/python*'
    _built(name, f'FROM {base_image}\nUSER root\nRUN rm -f "$(command -v python)"; {script}\n')
    yield name
    docker("rmi", name)


@pytest.fixture
def other_base(base_image: str) -> Iterator[str]:
    """A base image of this test's own, so that there is a node image to build and all its containers are this test's."""
    name = f"vst{os.getpid()}-base:1"
    _built(name, f"FROM {base_image}\nLABEL org.votesync.test={os.getpid()}\n")
    yield name
    if docker("images", "-q", image_name(name)).strip():
        docker("rmi", image_name(name))
    docker("rmi", name)


def _built(name: str, dockerfile: str) -> None:
    subprocess.run(
        ["docker", "build", "-q", "-t", name, "-"], input=dockerfile, text=True, check=True, capture_output=True, timeout=120
    )


def assert_nothing_left(cluster: Cluster) -> None:
    assert containers(cluster.name) == []
    assert networks(cluster.name) == []


def test_down_leaves_nothing_keeps_the_data_and_may_be_said_twice(make_cluster: Maker) -> None:
    cluster = make_cluster("down")
    cluster.cli(*UP)
    cluster.cli("wait", "--timeout", "60")
    cluster.cli("down")
    assert_nothing_left(cluster)
    assert cluster.output.read_text().count("Mensagem: ") == 3
    journal = cluster.directory / ".votesync" / "data" / "cluster_sync_1"
    assert any(journal.iterdir())
    assert "nothing to remove" in cluster.cli("down").stdout
    owners = {path.stat().st_uid for path in cluster.directory.rglob("*")}
    assert owners == {int(cluster.project.services[0].user.partition(":")[0])}, "all files belong to whoever ran `up`"
    cluster.cli("down", "-v")
    assert not journal.exists()


def test_two_projects_side_by_side_do_not_touch_each_other(make_cluster: Maker) -> None:
    one, two = make_cluster("one"), make_cluster("two")
    one.cli(*UP)
    two.cli(*UP)
    one.cli("down")
    assert_nothing_left(one)
    assert len(containers(two.name)) == 2
    two.cli("send", "still here")
    assert "message: still here\n" in two.output.read_text()
    assert not one.output.read_text().count("still here")


def test_a_namesake_in_another_directory_is_not_taken_over_nor_removed(make_cluster: Maker) -> None:
    first, second = make_cluster("first"), make_cluster("second")
    second.name = first.name
    first.cli(*QUICK)
    before = containers(first.name)
    said = second.cli(*UP, code=4).stderr
    assert f"Another project is called {first.name} too; it runs from {first.directory}." in said
    second.cli("down")
    assert containers(first.name) == before
    assert networks(first.name) == [f"{first.name}_default"]
    assert all(row["state"] == "running" for row in first.rows("ps") if row["role"] == "node")


def test_a_strangers_container_in_a_project_of_the_same_name_is_left_alone(make_cluster: Maker, base_image: str) -> None:
    cluster = make_cluster("stranger")
    cluster.cli(*QUICK)
    labels = ("--label", f"com.docker.compose.project={cluster.name}", "--label", "com.docker.compose.service=database")
    docker("run", "-d", "--init", "--name", f"{cluster.name}-database-1", *labels, base_image, "sleep", "600")
    cluster.cli("down")
    assert containers(cluster.name) == [f"{cluster.name}-database-1"]


def test_what_compose_started_votesync_knows_and_removes(make_cluster: Maker) -> None:
    cluster = make_cluster("compose")
    cluster.cli("generate", "--nodes", "3", "--messages", "5")
    cluster.compose("up", "-d")
    cluster.cli("wait", "--timeout", "60")
    assert cluster.output.read_text().count("Mensagem: ") == 15
    assert "FAIL" not in cluster.cli("verify").stdout
    rows = cluster.rows("ps")
    assert [row["service"] for row in rows] == [service.name for service in cluster.project.services]
    assert {row["health"] for row in rows if row["role"] == "node"} == {"healthy"}
    assert "nothing to do" in cluster.cli("up", "--engine", "docker").stdout, "compose's containers are as wanted"
    cluster.cli("down")
    assert_nothing_left(cluster)


def test_what_votesync_started_compose_removes(make_cluster: Maker) -> None:
    cluster = make_cluster("composedown")
    cluster.cli(*QUICK)
    cluster.compose("down")
    assert_nothing_left(cluster)


def test_a_base_image_that_is_nowhere_is_one_sentence_and_a_way_out(make_cluster: Maker) -> None:
    cluster = make_cluster("nobase")
    said = cluster.cli(*UP, "--base-image", "localhost:1/votesync/none:1", code=4).stderr
    assert "The image localhost:1/votesync/none:1 is not on this machine and cannot be pulled" in said
    assert "--base-image NAME" in said
    assert_nothing_left(cluster)


def test_a_base_image_without_a_new_python_is_one_sentence_and_a_way_out(make_cluster: Maker, old_python: str) -> None:
    cluster = make_cluster("oldpython")
    said = cluster.cli(*UP, "--base-image", old_python, code=4).stderr
    assert f"The image {old_python} has no Python 3.11 or newer." in said
    assert_nothing_left(cluster)


def test_an_image_that_is_there_is_not_built_again_and_another_base_is(make_cluster: Maker, other_base: str) -> None:
    cluster = make_cluster("image")
    cluster.cli(*QUICK)
    image = cluster.inspect("cluster_sync_1")["Image"]
    cluster.cli("down")
    assert "Building" not in cluster.cli(*QUICK).stderr
    assert cluster.inspect("cluster_sync_1")["Image"] == image
    said = cluster.cli(*QUICK, "--base-image", other_base).stderr
    assert f"from {other_base}" in said
    assert "Step 1/" in said
    cluster.cli("down")


@pytest.mark.parametrize("moment", ["Step 4/", "create cluster_sync_1", "create cluster_sync_3", "create client_1"])
def test_ctrl_c_in_the_middle_of_up_leaves_nothing(make_cluster: Maker, moment: str, other_base: str) -> None:
    cluster = make_cluster("interrupted")
    up = cluster.begin("up", "--engine", "docker", "--nodes", "3", "--base-image", other_base)
    assert up.stderr is not None
    seen = ""
    while moment not in seen:
        line = up.stderr.readline()
        assert line, f"`up` ended before it said {moment!r}:\n{seen}"
        seen += line
    up.send_signal(signal.SIGINT)
    _, rest = up.communicate(timeout=LIMIT)
    assert up.returncode == 130, seen + rest
    assert "Traceback" not in rest
    assert_nothing_left(cluster)
    left = ("ps", "-aq", "--filter", f"ancestor={other_base}")
    until(lambda: docker(*left) == "", "the engine removes the container of the build that was interrupted")


def _bind_behind_a_free_port(taken: socket.socket) -> int:
    """Listen on a port whose lower neighbour nobody uses, off the range from which the system gives ports to everybody."""
    for port in random.sample(range(20_000, 32_000), 1000):
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port - 1))
            taken.bind(("127.0.0.1", port))
            taken.listen()
            return port
    raise AssertionError("no two free ports")


def test_a_port_that_is_taken_is_named_and_up_is_rolled_back(make_cluster: Maker) -> None:
    cluster = make_cluster("port")
    with socket.socket() as taken:
        port = _bind_behind_a_free_port(taken)
        said = cluster.cli("up", "--engine", "docker", "--nodes", "2", "--publish", str(port - 1), code=4).stderr
    assert f"Port {port} is taken by another program." in said
    assert_nothing_left(cluster)


def test_published_ports_are_the_addresses_that_are_shown(make_cluster: Maker, engine: DockerEngine) -> None:
    cluster = make_cluster("publish")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster.cli(*UP, "--publish", str(port))
    assert [seen.client_address for seen in engine.observe(cluster.project)] == [f"127.0.0.1:{port}", None]


def test_a_name_that_a_stranger_has_is_said_and_the_stranger_stays(make_cluster: Maker, base_image: str) -> None:
    cluster = make_cluster("conflict")
    cluster.cli("generate", "--nodes", "1")
    name = container_name(cluster.project, cluster.project.services[0])
    docker("run", "-d", "--init", "--name", name, base_image, "sleep", "600")
    try:
        said = cluster.cli(*UP, code=4).stderr
        assert f"The container name {name} is taken by container" in said
        assert_nothing_left(cluster)
        assert docker("inspect", "-f", "{{.State.Running}}", name).strip() == "true"
    finally:
        docker("rm", "-f", name)


def test_a_node_that_cannot_start_takes_back_what_this_run_did_and_shows_its_words(make_cluster: Maker) -> None:
    cluster = make_cluster("rollback")
    cluster.cli("generate", "--nodes", "3")
    file = cluster.directory / "compose.yml"
    file.write_text(
        file.read_text().replace('"ctl", "health"', '"ctl", "health", "x"').replace("read_only: true", "read_only: false")
    )
    victim = cluster.directory / ".votesync" / "data" / "cluster_sync_2" / "journal"
    victim.write_text("this is no directory")
    said = cluster.cli("up", "--engine", "docker", code=1).stderr
    assert "cluster_sync_2 ended" in said
    assert "Rolling back" in said
    assert_nothing_left(cluster)


def test_a_change_of_the_file_makes_only_what_it_concerns_anew(make_cluster: Maker) -> None:
    cluster = make_cluster("change")
    cluster.cli(*QUICK)
    node, client = (cluster.inspect(name)["Id"] for name in ("cluster_sync_1", "client_1"))
    file = cluster.directory / "compose.yml"
    file.write_text(file.read_text().replace('MESSAGES: "3"', 'MESSAGES: "4"'))
    said = cluster.cli("up", "--no-wait").stderr
    assert "recreate client_1: its configuration has changed" in said
    assert cluster.inspect("cluster_sync_1")["Id"] == node
    assert cluster.inspect("client_1")["Id"] != client
