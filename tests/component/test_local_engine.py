"""The local engine with services that are a few lines of Python: states, signals, exit codes, environments, logs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.component.local_projects import (
    STUBBORN,
    WAITER,
    descriptors,
    is_alive,
    log_of,
    node,
    project,
    remove_all,
    seen,
    service,
    start_all,
    sweep,
    until,
)
from votesync_cli.compose_model import ComposeProject, Port
from votesync_cli.engines.local import LocalEngine
from votesync_cli.errors import CommandFailed, EnvironmentFault, TimedOut


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    sweep(tmp_path)


@pytest.fixture
def engine() -> LocalEngine:
    return LocalEngine()


@pytest.fixture
def waiter(engine: LocalEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = project(tmp_path, node(tmp_path, 0))
    start_all(engine, made)
    until(lambda: "up" in log_of(made, "cluster_sync_1"), "the service starts")
    yield made
    remove_all(engine, made)


def test_a_service_runs_in_its_own_session_away_from_any_terminal(engine: LocalEngine, waiter: ComposeProject) -> None:
    pid = seen(engine, waiter, "cluster_sync_1").pid
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] == "0", "it has no controlling terminal"
    log = str(waiter.state_dir / "local" / "toy" / "cluster_sync_1.log")
    held = [path for path in descriptors(pid) if "/votesync-" in path]
    assert len(held) == 2, "the reservations of its two ports"
    assert [path for path in descriptors(pid) if path not in held] == ["/dev/null", log, log]


def test_a_service_outlives_the_program_that_started_it(engine: LocalEngine, tmp_path: Path) -> None:
    made = project(tmp_path, service("client_1", WAITER, tmp_path))
    code = (
        "import sys; from pathlib import Path; from tests.component.local_projects import *\n"
        "d = Path(sys.argv[1]); start_all(LocalEngine(), project(d, service('client_1', WAITER, d)))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, start_new_session=True)
    assert seen(engine, made, "client_1").state == "running"
    remove_all(engine, made)


@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(7)", 7), ("print('done')", 0), ("import os; os.abort()", 134)]
)
def test_the_exit_code_is_known_though_nobody_waited_for_it(
    engine: LocalEngine, tmp_path: Path, code: str, expected: int
) -> None:
    made = project(tmp_path, service("client_1", code, tmp_path))
    start_all(engine, made)
    until(lambda: seen(LocalEngine(), made, "client_1").state == "exited", "the service ends")
    assert seen(LocalEngine(), made, "client_1").exit_code == expected
    remove_all(engine, made)


def test_a_killed_service_shows_137_and_stays_dead_until_start(engine: LocalEngine, waiter: ComposeProject) -> None:
    first = seen(engine, waiter, "cluster_sync_1")
    engine.kill(waiter, "cluster_sync_1")
    dead = seen(engine, waiter, "cluster_sync_1")
    assert (dead.state, dead.exit_code, dead.pid) == ("exited", 137, None)
    with pytest.raises(CommandFailed, match="is not running"):
        engine.kill(waiter, "cluster_sync_1")
    engine.start(waiter, "cluster_sync_1")
    again = seen(engine, waiter, "cluster_sync_1")
    assert (again.state, again.exit_code) == ("running", None)
    assert again.pid != first.pid
    assert again.client_address == first.client_address


def test_a_killed_supervisor_takes_the_exit_code_with_it_and_nothing_else(engine: LocalEngine, waiter: ComposeProject) -> None:
    pid = seen(engine, waiter, "cluster_sync_1").pid
    assert pid is not None
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not is_alive(supervisor), "the supervisor ends")
    assert seen(engine, waiter, "cluster_sync_1").state == "running"
    engine.kill(waiter, "cluster_sync_1")
    dead = seen(engine, waiter, "cluster_sync_1")
    assert (dead.state, dead.exit_code) == ("exited", None)
    engine.start(waiter, "cluster_sync_1")
    assert seen(engine, waiter, "cluster_sync_1").state == "running"


def test_a_supervisor_that_gets_a_sigterm_goes_on_waiting(engine: LocalEngine, waiter: ComposeProject) -> None:
    pid = seen(engine, waiter, "cluster_sync_1").pid
    assert pid is not None
    supervisor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGTERM)
    os.kill(supervisor, signal.SIGHUP)
    engine.kill(waiter, "cluster_sync_1")
    assert seen(engine, waiter, "cluster_sync_1").exit_code == 137


def test_stop_asks_first(engine: LocalEngine, waiter: ComposeProject) -> None:
    engine.stop(waiter, "cluster_sync_1")
    assert seen(engine, waiter, "cluster_sync_1").exit_code == 0
    assert log_of(waiter, "cluster_sync_1").endswith("bye\n")
    engine.stop(waiter, "cluster_sync_1")
    with pytest.raises(CommandFailed, match="cluster_sync_9 does not exist"):
        engine.stop(waiter, "cluster_sync_9")


def test_stop_forces_what_does_not_listen(engine: LocalEngine, tmp_path: Path) -> None:
    made = project(tmp_path, service("client_1", STUBBORN, tmp_path))
    start_all(engine, made)
    until(lambda: "up" in log_of(made, "client_1"), "the service starts")
    engine.stop(made, "client_1", timeout=0.1)
    assert seen(engine, made, "client_1").exit_code == 137
    remove_all(engine, made)


def test_pause_and_unpause(engine: LocalEngine, waiter: ComposeProject) -> None:
    engine.pause(waiter, "cluster_sync_1")
    paused = seen(engine, waiter, "cluster_sync_1")
    assert paused.state == "paused"
    assert paused.pid is not None
    with pytest.raises(CommandFailed, match="paused already"):
        engine.pause(waiter, "cluster_sync_1")
    with pytest.raises(CommandFailed, match="is paused"):
        engine.start(waiter, "cluster_sync_1")
    with pytest.raises(CommandFailed, match="is paused"):
        engine.admin(waiter, "cluster_sync_1", {"op": "status"})
    engine.unpause(waiter, "cluster_sync_1")
    assert seen(engine, waiter, "cluster_sync_1").state == "running"
    with pytest.raises(CommandFailed, match="not paused"):
        engine.unpause(waiter, "cluster_sync_1")


def test_a_paused_service_can_be_stopped(engine: LocalEngine, waiter: ComposeProject) -> None:
    engine.pause(waiter, "cluster_sync_1")
    engine.stop(waiter, "cluster_sync_1")
    assert seen(engine, waiter, "cluster_sync_1").exit_code == 0


def test_the_environment_is_the_compose_files_on_loopback(
    engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "1")
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")
    peers = "0=cluster_sync_1:6000,1=cluster_sync_2:6001"
    made = project(
        tmp_path,
        node(tmp_path, 0, PEERS=peers, PORT="5000", CLUSTER_PORT="6000", WRITER="winner"),
        node(tmp_path, 1, PEERS=peers, PORT="5001", CLUSTER_PORT="6001"),
        service("client_1", WAITER, tmp_path, NODES="0=cluster_sync_1:5000,1=cluster_sync_2:5001"),
    )
    start_all(engine, made)
    told = [_environment(seen(engine, made, one.name).pid) for one in made.services]
    assert "SECRET_OF_THE_USER" not in told[0]
    assert "PYTHONSTARTUP" not in told[0]
    assert told[0]["WRITER"] == "winner"
    assert told[0]["BIND"] == "127.0.0.1"
    assert told[0]["SHARED_DIR"] == str(tmp_path / "shared_data")
    assert told[0]["DATA_DIR"] == str(tmp_path / ".votesync" / "data" / "cluster_sync_1")
    assert told[0]["PYTHONUNBUFFERED"] == "1"
    expected = ",".join(f"{one}=127.0.0.1:{told[one]['CLUSTER_PORT']}" for one in (0, 1))
    assert [told[0]["PEERS"], told[1]["PEERS"]] == [expected, expected]
    assert told[2]["NODES"] == ",".join(f"{one}=127.0.0.1:{told[one]['PORT']}" for one in (0, 1))
    assert [seen(engine, made, f"cluster_sync_{one + 1}").client_address for one in (0, 1)] == [
        f"127.0.0.1:{told[one]['PORT']}" for one in (0, 1)
    ]
    remove_all(engine, made)


def test_a_taken_port_is_avoided_and_everybody_is_told(engine: LocalEngine, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        peers = f"0=cluster_sync_1:{taken}"
        made = project(tmp_path, node(tmp_path, 0, PEERS=peers, PORT=str(taken), CLUSTER_PORT=str(taken)))
        said: list[str] = []
        engine.prepare(made, said.append)
        engine.create(made, made.services[0])
        told = _environment(seen(engine, made, "cluster_sync_1").pid)
    assert int(told["PORT"]) > taken
    assert told["PEERS"] == f"0=127.0.0.1:{told['CLUSTER_PORT']}"
    assert any(f"{taken} (cluster_sync_1 uses " in line for line in said)
    remove_all(engine, made)


def test_a_published_port_that_is_taken_is_named(engine: LocalEngine, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        made = project(tmp_path, node(tmp_path, 0, ports=(Port(5000, taken),)))
        with pytest.raises(EnvironmentFault, match=f"Port {taken} .* is taken") as caught:
            engine.prepare(made, lambda _: None)
        assert caught.value.exit_code == 4
    engine.prepare(made, lambda _: None)
    engine.create(made, made.services[0])
    assert seen(engine, made, "cluster_sync_1").client_address == f"127.0.0.1:{taken}"
    remove_all(engine, made)


def test_start_names_the_port_that_was_taken_meanwhile(engine: LocalEngine, waiter: ComposeProject) -> None:
    address = seen(engine, waiter, "cluster_sync_1").client_address
    assert address is not None
    engine.kill(waiter, "cluster_sync_1")
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(address.partition(":")[2])))
        other.listen()
        with pytest.raises(EnvironmentFault, match=address.partition(":")[2]):
            engine.start(waiter, "cluster_sync_1")
    assert seen(engine, waiter, "cluster_sync_1").exit_code == 137


def test_a_place_for_reservations_that_cannot_be_used_is_named(
    engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"votesync-{os.getuid()}").write_text("somebody else's")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="is somebody else's"):
        engine.prepare(project(tmp_path, node(tmp_path, 0)), lambda _: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(EnvironmentFault, match="Ports cannot be reserved") as caught:
        engine.prepare(project(tmp_path, node(tmp_path, 0)), lambda _: None)
    assert "TMPDIR" in caught.value.hint


def test_health_in_dockers_words(engine: LocalEngine, tmp_path: Path) -> None:
    directory = tmp_path / ".votesync" / "data" / "cluster_sync_1"
    made = project(tmp_path, node(tmp_path, 0, sick=True))
    start_all(engine, made)
    assert seen(engine, made, "cluster_sync_1").health == "unhealthy"
    with socket.socket(socket.AF_UNIX) as listening:
        handle = os.open(directory, os.O_RDONLY)  # the path as it is may be too long for a socket
        listening.bind(f"/proc/self/fd/{handle}/admin.sock")
        os.close(handle)
        listening.listen()
        answers = threading.Thread(target=_answer, args=(listening, b'{"ok":true,"healthy":true,"why":""}\n'))
        answers.start()
        assert seen(engine, made, "cluster_sync_1").health == "healthy"
        answers.join()
    with pytest.raises(CommandFailed, match="cannot be asked"):
        engine.admin(made, "cluster_sync_1", {"op": "status"})
    engine.kill(made, "cluster_sync_1")
    assert seen(engine, made, "cluster_sync_1").health == ""
    remove_all(engine, made)


def test_run_has_the_services_environment_and_addresses(engine: LocalEngine, waiter: ComposeProject) -> None:
    address = seen(engine, waiter, "cluster_sync_1").client_address
    code = "import os,sys; print(os.environ['DATA_DIR'], sys.argv[1], sys.stdin.read()); sys.exit(3)"
    done = engine.run(waiter, "cluster_sync_1", ["python", "-c", code, "cluster_sync_1:5000"], stdin=b"hello")
    assert done.code == 3
    assert done.stdout.decode().split() == [str(waiter.services[0].data_dir), address, "hello"]
    with pytest.raises(TimedOut):
        engine.run(waiter, "cluster_sync_1", ["python", "-c", "input()\nwhile True: pass"], stdin=b"\n", timeout=0.3)
    with pytest.raises(CommandFailed, match="cannot be run"):
        engine.run(waiter, "cluster_sync_1", ["no-such-program"])
    engine.kill(waiter, "cluster_sync_1")
    with pytest.raises(CommandFailed, match="is not running"):
        engine.run(waiter, "cluster_sync_1", ["python", "-c", ""])


def test_what_cannot_be_executed_shows_127_and_says_so_in_its_log(engine: LocalEngine, tmp_path: Path) -> None:
    ghost = service("client_1", "", tmp_path)
    values = {field: getattr(ghost, field) for field in ghost.__dataclass_fields__}
    made = project(tmp_path, type(ghost)(**{**values, "command": ("no-such-program",)}))
    start_all(engine, made)
    until(lambda: seen(engine, made, "client_1").state == "exited", "it ends")
    assert seen(engine, made, "client_1").exit_code == 127
    assert "no-such-program" in log_of(made, "client_1")
    remove_all(engine, made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as somebody else")
def test_under_sudo_services_run_as_the_user_of_the_compose_file(engine: LocalEngine) -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own directories are closed to other users
        directory = Path(place)
        directory.chmod(0o755)
        plain = service("client_1", "", directory)
        command = ("sh", "-c", "id -u; id -G; touch $SHARED_DIR/mine; exit 5")
        made = project(directory, replace(plain, command=command, user="1234:2345"))
        start_all(engine, made)
        until(lambda: seen(engine, made, "client_1").state == "exited", "it ends")
        assert log_of(made, "client_1").split() == ["1234", "2345"]
        assert seen(engine, made, "client_1").exit_code == 5, "its supervisor may write that down"
        mine = (directory / "shared_data" / "mine").stat()
        assert (mine.st_uid, mine.st_gid) == (1234, 2345)
        remove_all(engine, made)


def test_down_leaves_the_data_and_removes_the_rest(engine: LocalEngine, waiter: ComposeProject) -> None:
    journal = waiter.state_dir / "data" / "cluster_sync_1"
    (journal / "0.journal").write_text("x")
    (waiter.directory / "shared_data" / "output.txt").write_text("y")
    pid = seen(engine, waiter, "cluster_sync_1").pid
    remove_all(engine, waiter)
    assert pid is not None
    assert not is_alive(pid)
    assert engine.observe(waiter) == []
    assert not (waiter.state_dir / "local").exists()
    assert (journal / "0.journal").exists()
    assert engine.teardown(waiter, volumes=True) == [str(journal)]
    assert (waiter.directory / "shared_data" / "output.txt").read_text() == "y"
    assert engine.teardown(waiter, volumes=True) == []


def _environment(pid: int | None) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def _answer(listening: socket.socket, reply: bytes) -> None:
    asker, _ = listening.accept()
    with asker:
        asker.recv(1024)
        asker.sendall(reply)
