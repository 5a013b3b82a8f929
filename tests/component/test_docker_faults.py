"""What goes wrong between votesync and a Docker Engine, over a real socket: one sentence, one hint, never a traceback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.docker_api import Exchange, FakeDocker
from votesync_cli.compose import ComposeProject, Port, Service
from votesync_cli.engines.docker import DockerEngine
from votesync_cli.engines.docker_faults import fault_from_text
from votesync_cli.engines.docker_labels import PROJECT, SERVICE, WORKING_DIR
from votesync_cli.errors import CommandFailed, EnvironmentFault


def service(name: str = "cluster_sync_1", **said: object) -> Service:
    values: dict[str, object] = {"role": "node", "id": 0, "image": "img:1", "command": ("python",), "environment": {"ID": "0"}}
    return Service(name=name, **{**values, **said})  # type: ignore[arg-type]  # a mapping of mixed values


def project(directory: Path, *services: Service) -> ComposeProject:
    return ComposeProject("toy", directory, directory / "compose.yml", services or (service(),))


@pytest.fixture
def fake() -> Iterator[FakeDocker]:
    with FakeDocker() as made:
        made.on("GET", "/images/img:1/json", {"Id": "sha256:1", "Config": {}})
        yield made


def connect(host: str) -> str:
    """Connect in a process of its own, where DOCKER_HOST is `host`; returns message and hint."""
    code = (
        "from votesync_cli.engines.docker import DockerEngine\n"
        "from votesync_cli.errors import EnvironmentFault\n"
        "try: print('connected', DockerEngine.connect(1).version)\n"
        "except EnvironmentFault as error: print(error.exit_code, error.message, '|', error.hint)\n"
    )
    environment = {**os.environ, "DOCKER_HOST": host}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_an_engine_that_answers_is_connected_to(fake: FakeDocker) -> None:
    assert connect(fake.host) == "connected 20.10.24"


def test_no_socket_names_the_socket_and_both_ways_out(tmp_path: Path) -> None:
    said = connect("unix:///nowhere/docker.sock")
    assert said.startswith("4 No Docker Engine answers at unix:///nowhere/docker.sock: there is no such socket. |")
    assert "systemctl start docker" in said
    assert "--engine local" in said


def test_a_socket_that_nobody_listens_on_means_that_the_daemon_is_down(fake: FakeDocker) -> None:
    path = fake.directory / "dead.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.close()
    assert connect(f"unix://{path}").startswith(f"4 No Docker Engine answers at unix://{path}: the connection failed. |")


def test_an_engine_that_hangs_is_given_up(fake: FakeDocker) -> None:
    path = fake.directory / "mute.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        said = connect(f"unix://{path}")
    assert said.startswith(f"4 The Docker Engine at unix://{path} does not answer in time. |")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else, who may not use the socket")
def test_permission_denied_names_the_group(fake: FakeDocker) -> None:
    os.chmod(fake.directory, 0o755)
    os.chmod(fake.directory / "docker.sock", 0o600)
    code = (
        "import os, docker, docker.errors\n"
        "from votesync_cli.engines.docker_faults import fault\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: docker.from_env(timeout=1)\n"
        "except docker.errors.DockerException as error: print(fault(error, 'answer', 'X').message, fault(error, 'a').hint)\n"
    )
    environment = {**os.environ, "DOCKER_HOST": fake.host}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("You may not use the Docker Engine at X: permission denied. Join its group (sudo usermod -aG")


def test_an_address_that_is_none_is_said(fake: FakeDocker) -> None:
    assert connect("carrier-pigeon://roof").startswith("4 ")


def test_no_address_range_left(fake: FakeDocker, tmp_path: Path) -> None:
    text = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    fake.on("POST", "/networks/create", lambda exchange: exchange.fail(404, text))
    with pytest.raises(EnvironmentFault, match="no address range left") as caught:
        fake.engine().prepare(project(tmp_path), lambda _: None)
    assert "docker network prune" in caught.value.hint


def test_a_port_that_is_taken_is_named_and_the_container_is_removed(fake: FakeDocker, tmp_path: Path) -> None:
    text = "driver failed programming external connectivity on endpoint toy-x (00ff): "
    text += "Bind for 127.0.0.1:5000 failed: port is already allocated"
    fake.on("POST", "/containers/create", {"Id": "c1", "Warnings": []})
    fake.on("POST", "/containers/c1/start", lambda exchange: exchange.fail(500, text))
    fake.on("DELETE", "/containers/c1", lambda exchange: exchange.say(None, 204))
    wanted = project(tmp_path, service(ports=(Port(5000, 5000, "127.0.0.1"),)))
    with pytest.raises(EnvironmentFault, match=r"^Port 5000 is taken by another program\.$"):
        fake.engine().create(wanted, wanted.services[0])
    assert any(line.startswith("DELETE /containers/c1") for line in fake.asked)


def test_a_name_that_is_taken_names_who_has_it(fake: FakeDocker, tmp_path: Path) -> None:
    text = 'Conflict. The container name "/toy-cluster_sync_1-1" is already in use by container "0123456789abcdef". You have'
    fake.on("POST", "/containers/create", lambda exchange: exchange.fail(409, text))
    with pytest.raises(EnvironmentFault, match="toy-cluster_sync_1-1 is taken by container 0123456789ab,"):
        fake.engine().create(project(tmp_path), service())


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("write /var/lib/docker/x: no space left on device", "The disk of the Docker Engine is full."),
        ("listen tcp4 0.0.0.0:8080: bind: address already in use", "Port 8080 is taken by another program."),
        ("all predefined address pools have been fully subnetted", "Docker has no address range left for another network."),
        (
            'invalid mount config for type "bind": bind source path does not exist: /x/y',
            "The Docker Engine does not see the directory /x/y.",
        ),
        ("something  nobody\nhas seen.", "Docker could not dance: something nobody has seen."),
    ],
)
def test_the_engines_sentences_become_ours(said: str, message: str) -> None:
    made = fault_from_text(said, "dance")
    assert (made.message, made.exit_code) == (message, 4)
    assert made.hint


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("Container abc is paused, unpause the container before exec", "Docker could not run: it is paused."),
        ("Container abc is already paused", "Docker could not run: it is paused already."),
        ("Container abc is not paused", "Docker could not run: it is not paused."),
        ("Container abc is not running", "Docker could not run: it is not running."),
    ],
)
def test_a_wrong_state_is_the_commands_failure_not_the_machines(said: str, message: str) -> None:
    made = fault_from_text(said, "run")
    assert isinstance(made, CommandFailed)
    assert made.message == message


def test_a_connection_that_is_cut_in_the_middle_is_no_traceback(fake: FakeDocker, tmp_path: Path) -> None:
    fake.on("GET", "/containers/json", lambda exchange: exchange.hang_up())
    with pytest.raises(EnvironmentFault, match="No Docker Engine answers: the connection failed"):
        fake.engine().observe(project(tmp_path))


@pytest.mark.parametrize(("failures", "works"), [(0, True), (3, True), (1000, False)])
def test_freezing_is_tried_again_for_a_while_where_the_kernel_did_not_manage_it(
    fake: FakeDocker, tmp_path: Path, failures: int, works: bool
) -> None:
    labels = {PROJECT: "toy", SERVICE: "cluster_sync_1", WORKING_DIR: str(tmp_path)}
    fake.on("GET", "/containers/json", [{"Id": "c1", "State": "running", "Labels": labels}])
    answers = iter(range(failures))

    def pause(exchange: Exchange) -> None:
        if next(answers, None) is None:
            exchange.say(None, 204)
        else:
            exchange.fail(500, "Cannot pause container c1: OCI runtime pause failed: unable to freeze: unknown")

    fake.on("POST", "/containers/c1/pause", pause)
    with contextlib.nullcontext() if works else pytest.raises(EnvironmentFault, match="unable to freeze"):
        fake.engine().pause(project(tmp_path), "cluster_sync_1")
    tries = sum(line.startswith("POST /containers/c1/pause") for line in fake.asked)
    assert tries == failures + 1 if works else 1 < tries < 100


def test_an_image_that_cannot_be_pulled_says_why_and_what_to_do(fake: FakeDocker, tmp_path: Path) -> None:
    fake.on("GET", "/images/img:1/json", lambda exchange: exchange.fail(404, "No such image: img:1"))
    text = 'Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid: no such host'
    fake.on("POST", "/images/create", lambda exchange: exchange.fail(500, text))
    with pytest.raises(EnvironmentFault, match="The image img:1 is not on this machine and cannot be pulled: dial tcp: lookup"):
        fake.engine().prepare(project(tmp_path), lambda _: None)


def test_importing_the_engine_does_not_import_the_sdk() -> None:
    code = (
        "import sys, votesync_cli.engines.docker; print(sorted({m.split('.')[0] for m in sys.modules} & {'docker', 'urllib3'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    assert DockerEngine.name == "docker"
