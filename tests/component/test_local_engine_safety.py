"""The local engine when things go wrong: crashes half-way, reused pids, damaged files, copies, two at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.component.local_projects import (
    WAITER,
    file_of,
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
from votesync_cli.compose_model import ComposeProject
from votesync_cli.engines import local_state
from votesync_cli.engines.local import LocalEngine
from votesync_cli.engines.local_processes import (
    Identity,
    ProcessTable,
    ProcFs,
    PsTable,
    find,
    make_mark,
    parse_mark,
    send,
)
from votesync_cli.engines.local_state import Damaged
from votesync_cli.errors import CommandFailed, EnvironmentFault

# Starts one service and dies by SIGKILL at a chosen step of it.
CRASHER = """
import os, signal, sys
from pathlib import Path
from tests.component.local_projects import *
from votesync_cli.engines import local_lives, local_spawn
step, directory = sys.argv[1], Path(sys.argv[2])
true_spawn = local_spawn.spawn
def spawn(*words, **said):
    if step == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    true_spawn(*words, **said)
    os.kill(os.getpid(), signal.SIGKILL)
local_spawn.spawn = spawn
start_all(LocalEngine(), project(directory, node(directory, 0)))
"""


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    sweep(tmp_path)


@pytest.fixture(params=[ProcFs, PsTable])
def table(request: pytest.FixtureRequest) -> ProcessTable:
    made: ProcessTable = request.param()
    return made


def _crash(step: str, directory: Path) -> ComposeProject:
    done = subprocess.run([sys.executable, "-c", CRASHER, step, str(directory)], check=False)
    assert done.returncode == -signal.SIGKILL
    return project(directory, node(directory, 0))


def _pid(engine: LocalEngine, made: ComposeProject, name: str) -> int:
    pid = seen(engine, made, name).pid
    assert pid is not None
    return pid


def test_a_service_whose_pid_nobody_wrote_down_is_found_and_ended(table: ProcessTable, tmp_path: Path) -> None:
    made, engine = _crash("after", tmp_path), LocalEngine(table)
    assert json.loads(file_of(made).read_text())["records"]["cluster_sync_1"]["own"] is None
    found = seen(engine, made, "cluster_sync_1")
    assert found.state == "running"
    assert found.pid is not None
    remove_all(engine, made)
    assert not is_alive(found.pid)
    assert engine.observe(made) == []


def test_an_intent_without_a_process_can_be_started_or_removed(tmp_path: Path) -> None:
    made, engine = _crash("before", tmp_path), LocalEngine()
    assert seen(engine, made, "cluster_sync_1").state == "created"
    engine.start(made, "cluster_sync_1")
    assert seen(engine, made, "cluster_sync_1").state == "running"
    remove_all(engine, made)


def test_a_reused_pid_is_not_touched(table: ProcessTable, tmp_path: Path) -> None:
    made, engine = project(tmp_path, node(tmp_path, 0)), LocalEngine(table)
    start_all(engine, made)
    engine.kill(made, "cluster_sync_1")
    begun = int(seen(engine, made, "cluster_sync_1").started_at or 0)
    until(lambda: int(time.time()) > begun, "the clock goes on")  # `ps` counts start times in seconds
    with subprocess.Popen([sys.executable, "-c", WAITER], stdout=subprocess.DEVNULL) as stranger:
        try:
            data = json.loads(file_of(made).read_text())
            for part in ("own", "supervisor"):
                data["records"]["cluster_sync_1"][part]["pid"] = stranger.pid
            file_of(made).write_text(json.dumps(data))
            assert seen(engine, made, "cluster_sync_1").state == "exited"
            with pytest.raises(CommandFailed, match="is not running"):
                engine.kill(made, "cluster_sync_1")
            engine.stop(made, "cluster_sync_1")
            remove_all(engine, made)
            assert stranger.poll() is None, "the stranger lives on"
        finally:
            stranger.kill()


def test_neither_start_time_nor_mark_alone_makes_a_process_ours(tmp_path: Path) -> None:
    """A pid of the same start time but with another mark is somebody else's; so is one of another boot."""
    made, engine, table = project(tmp_path, node(tmp_path, 0)), LocalEngine(), ProcFs()
    start_all(engine, made)
    here = table.look(_pid(engine, made, "cluster_sync_1"))
    assert here is not None
    assert find(table, here.identity, here.mark) is not None
    assert find(table, here.identity, here.mark + "0") is None
    assert not send(table, here.identity, here.mark + "0", signal.SIGKILL)
    for other in (
        Identity(here.identity.pid, "1", here.identity.boot),
        Identity(here.identity.pid, here.identity.started, "another boot"),
    ):
        assert not send(table, other, here.mark, signal.SIGKILL)
    assert seen(engine, made, "cluster_sync_1").state == "running"
    remove_all(engine, made)


def test_after_a_reboot_nothing_runs(tmp_path: Path) -> None:
    made, engine = project(tmp_path, node(tmp_path, 0)), LocalEngine()
    start_all(engine, made)
    pid = _pid(engine, made, "cluster_sync_1")
    text = file_of(made).read_text()
    file_of(made).write_text(text.replace(ProcFs().boot(), "the boot before"))
    assert seen(engine, made, "cluster_sync_1").state == "exited"
    file_of(made).write_text(text)
    remove_all(engine, made)
    assert not is_alive(pid)


@pytest.mark.parametrize(
    "damage", ["", "{", '{"format": 1}', '{"format": 2, "directory": "", "ports": {}, "records": {}}', "[]", "\0"]
)
def test_a_damaged_state_file_is_named_and_down_still_works(tmp_path: Path, damage: str) -> None:
    made, engine = project(tmp_path, node(tmp_path, 0), service("client_1", WAITER, tmp_path)), LocalEngine()
    start_all(engine, made)
    pids = [_pid(engine, made, one.name) for one in made.services]
    file_of(made).write_text(damage)
    with pytest.raises(Damaged, match=r"state\.json is damaged") as caught:
        engine.prepare(made, lambda _: None)
    assert caught.value.exit_code == 4
    assert "votesync down" in caught.value.hint
    with pytest.raises(Damaged):
        engine.start(made, "cluster_sync_1")
    assert [
        (one.service, one.role, one.id, one.state) for one in sorted(engine.observe(made), key=lambda one: one.service)
    ] == [
        ("client_1", "client", 0, "running"),
        ("cluster_sync_1", "node", 0, "running"),
    ]
    remove_all(engine, made)
    assert not any(map(is_alive, pids))
    start_all(engine, made)
    remove_all(engine, made)


def test_down_finds_what_runs_after_its_files_were_removed(tmp_path: Path) -> None:
    made, engine = project(tmp_path, node(tmp_path, 0)), LocalEngine()
    start_all(engine, made)
    pid = _pid(engine, made, "cluster_sync_1")
    shutil.rmtree(made.state_dir)
    remove_all(engine, made)
    assert not is_alive(pid)


def test_down_needs_no_compose_file(tmp_path: Path) -> None:
    made, engine = project(tmp_path, node(tmp_path, 0)), LocalEngine()
    start_all(engine, made)
    pid = _pid(engine, made, "cluster_sync_1")
    remove_all(engine, project(tmp_path))
    assert not is_alive(pid)
    assert engine.observe(made) == []


def test_teardown_alone_ends_what_is_left(tmp_path: Path) -> None:
    made, engine = project(tmp_path, node(tmp_path, 0)), LocalEngine()
    start_all(engine, made)
    pid = _pid(engine, made, "cluster_sync_1")
    assert "cluster_sync_1" in engine.teardown(made, volumes=True)
    assert not is_alive(pid)


def test_two_projects_in_one_directory_do_not_touch_each_other(tmp_path: Path) -> None:
    engine = LocalEngine()
    both = [project(tmp_path, node(tmp_path, 0, PEERS="0=cluster_sync_1:6000"), name=name) for name in ("toy", "toy2")]
    for made in both:
        start_all(engine, made)
    addresses = {seen(engine, made, "cluster_sync_1").client_address for made in both}
    assert len(addresses) == 2
    remove_all(engine, both[0])
    assert seen(engine, both[1], "cluster_sync_1").state == "running"
    remove_all(engine, both[1])


def test_two_ups_at_once_never_choose_the_same_port(tmp_path: Path) -> None:
    """Both choose before either has bound anything."""
    engines = LocalEngine(), LocalEngine()
    both = [project(tmp_path / name, node(tmp_path / name, 0)) for name in ("a", "b")]
    for engine, made in zip(engines, both, strict=True):
        engine.prepare(made, lambda _: None)
    chosen = [port for made in both for port in json.loads(file_of(made).read_text())["ports"]["cluster_sync_1"].values()]
    assert len(set(chosen)) == 4
    for engine, made in zip(engines, both, strict=True):
        remove_all(engine, made)


def test_a_port_stays_the_projects_while_its_node_is_down(tmp_path: Path) -> None:
    made = project(tmp_path / "a", node(tmp_path / "a", 0), node(tmp_path / "a", 1))
    with LocalEngine() as first:
        start_all(first, made)
    ports = json.loads(file_of(made).read_text())["ports"]["cluster_sync_1"]
    engine = LocalEngine()
    engine.kill(made, "cluster_sync_1")
    other = project(tmp_path / "b", node(tmp_path / "b", 0))
    with LocalEngine() as second:
        second.prepare(other, lambda _: None)
        theirs = json.loads(file_of(other).read_text())["ports"]["cluster_sync_1"]
        assert set(ports.values()).isdisjoint(theirs.values())
        engine.start(made, "cluster_sync_1")
        second.teardown(other, volumes=False)
    assert seen(engine, made, "cluster_sync_1").state == "running"
    remove_all(engine, made)


def test_a_second_up_of_one_project_is_refused_with_a_clear_sentence(tmp_path: Path) -> None:
    made = project(tmp_path, node(tmp_path, 0))
    with LocalEngine() as first:
        first.prepare(made, lambda _: None)
        with pytest.raises(
            EnvironmentFault, match=rf"Another votesync is bringing project toy up or down \(process {os.getpid()}\)"
        ):
            LocalEngine().prepare(made, lambda _: None)
        first.create(made, made.services[0])
        assert seen(LocalEngine(), made, "cluster_sync_1").state == "running", "looking is allowed"
    with LocalEngine() as second:
        second.prepare(made, lambda _: None)
        with pytest.raises(CommandFailed, match="exists already"):
            second.create(made, made.services[0])
        second.teardown(made, volumes=False)


def test_the_lock_ends_with_whoever_held_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.component.local_projects import *\n"
        "d = Path(sys.argv[1]); made = project(d, node(d, 0)); engine = LocalEngine(); engine.prepare(made, lambda _: None)\n"
        "engine.create(made, made.services[0]); print('held', flush=True); sys.stdin.read()"
    )
    made, engine = project(tmp_path, node(tmp_path, 0)), LocalEngine()
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(EnvironmentFault, match=str(holder.pid)):
            engine.prepare(made, lambda _: None)
        holder.kill()
        holder.wait()
    engine.prepare(made, lambda _: None)
    remove_all(engine, made)


def test_a_copy_of_a_running_project_owns_nothing(tmp_path: Path) -> None:
    made, engine = project(tmp_path / "one", node(tmp_path / "one", 0)), LocalEngine()
    start_all(engine, made)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    copy = project(tmp_path / "two", node(tmp_path / "two", 0))
    assert engine.observe(copy) == []
    remove_all(engine, copy)
    assert seen(engine, made, "cluster_sync_1").state == "running"
    remove_all(engine, made)


def test_a_project_that_was_moved_while_it_ran_is_still_ours(tmp_path: Path) -> None:
    made, engine = project(tmp_path / "one", node(tmp_path / "one", 0)), LocalEngine()
    start_all(engine, made)
    pid = _pid(engine, made, "cluster_sync_1")
    (tmp_path / "one").rename(tmp_path / "two")
    moved = project(tmp_path / "two", node(tmp_path / "two", 0))
    assert _pid(engine, moved, "cluster_sync_1") == pid
    remove_all(engine, moved)
    assert not is_alive(pid)


def test_the_state_file_is_never_half_written(tmp_path: Path) -> None:
    """A reader that looks all the time while services come and go sees whole files only."""
    made, engine = project(tmp_path, *(service(f"client_{one}", "", tmp_path) for one in range(1, 6))), LocalEngine()
    engine.prepare(made, lambda _: None)
    code = (
        "import sys; from pathlib import Path; from votesync_cli.engines.local_state import load\n"
        "d = Path(sys.argv[1]); most = 0\n"
        "while most < 5: most = max(most, len(load(d).records))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(file_of(made).parent)]) as reader:
        for one in made.services:
            engine.create(made, one)
        assert reader.wait(20) == 0
    assert local_state.load(file_of(made).parent).records.keys() == {one.name for one in made.services}
    remove_all(engine, made)


def test_the_tables_agree_on_what_they_see(tmp_path: Path) -> None:
    made, engine = project(tmp_path, node(tmp_path, 0)), LocalEngine()
    start_all(engine, made)
    until(lambda: "up" in log_of(made, "cluster_sync_1"), "the service starts")
    prefix = make_mark(str(file_of(made).parent), "cluster_sync_1", "")
    both = [sorted((one.identity.pid, one.is_service) for one in table.marked(prefix)) for table in (ProcFs(), PsTable())]
    assert len(both[0]) == 2
    assert both[0] == both[1]
    engine.pause(made, "cluster_sync_1")
    assert [one.stopped for table in (ProcFs(), PsTable()) for one in table.marked(prefix) if one.is_service] == [True, True]
    remove_all(engine, made)


def test_a_mark_survives_a_strange_directory() -> None:
    assert parse_mark(make_mark("/a b|c", "client_1", "ff")) == ("/a b|c", "client_1", "ff")
    with pytest.raises(CommandFailed, match="no mark"):
        parse_mark("nonsense")
