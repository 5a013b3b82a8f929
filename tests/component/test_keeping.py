"""Keeping a run when not everything goes well: engines that fail or hang, full limits, Ctrl-C, two at once, foreign files."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.component.local_projects import node, project, service
from tests.component.memory_engine import MemoryEngine
from votesync_cli import runs
from votesync_cli.commands import keeping
from votesync_cli.commands.down import stop_all
from votesync_cli.commands.keeping import Beginning
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import LogLine
from votesync_cli.engines.local_state import locked
from votesync_cli.errors import EnvironmentFault
from votesync_cli.runs_copy import Budget

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
BLOCK = "Container 0 \nMensagem: client 0 time: 1 - message: 1\n" + "#" * 56 + "\n"


class Engine(MemoryEngine):
    """One whose logs can fail, hang, or press Ctrl-C; `lines` are how many a service has."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 20
        self.trouble: dict[str, BaseException] = {}
        self.hangs: set[str] = set()
        self.let_go = threading.Event()

    def logs(self, project: ComposeProject, names: Sequence[str], *, follow: bool, since: float | None) -> Iterator[LogLine]:
        for name in names:
            yield from (LogLine(name, f"line {number} of {name}") for number in range(self.lines))
            if name in self.trouble:
                raise self.trouble[name]
            if name in self.hangs:
                self.let_go.wait(60)


@pytest.fixture
def lab(tmp_path: Path) -> ComposeProject:
    """Two nodes and a client that have written something."""
    made = project(tmp_path, node(tmp_path, 0), node(tmp_path, 1), service("client_1", "", tmp_path), name="lab")
    made.file.write_text("# a compose file\n")
    history = tmp_path / "shared_data" / "history"
    history.mkdir(parents=True)
    (tmp_path / "shared_data" / "output.txt").write_text(BLOCK * 3)
    (history / "client_1.jsonl").write_text('{"event":"begin"}\n')
    (history / "client_2.jsonl").symlink_to("/etc/passwd")
    for one in made.nodes:
        assert one.data_dir is not None
        (one.data_dir / "journal").mkdir(parents=True)
        (one.data_dir / "journal" / "00000001.log").write_bytes(b"frames" + bytes(100_000))
    return made


@pytest.fixture
def engine(lab: ComposeProject) -> Iterator[Engine]:
    """It runs them."""
    running = Engine()
    for one in lab.services:
        running.create(lab, one)
    yield running
    running.let_go.set()


def files(run: runs.Run) -> set[str]:
    return {name for name, _ in runs.files_of(run.path) if name != runs.LOCK}


def test_all_of_it_is_kept_once_and_the_run_is_over(lab: ComposeProject, engine: Engine) -> None:
    opened = keeping.opened(lab, "memory", {"nodes": 2}, Beginning(NOON, 0))
    assert opened.name == "2026-11-24T12-00-00Z"
    keeping.note_deed(lab, "kill", "cluster_sync_1")
    run = keeping.finish(engine, lab)
    assert run is not None
    assert run.path == opened.path
    assert (run.state, run.messages, run.rounds, run.missing) == ("kept", 3, 3, ())
    assert files(run) == {
        "run.json", "settings.json", "compose.yml", "faults.jsonl", "output.txt", "history/client_1.jsonl",
        "votes/cluster_sync_1.log", "votes/cluster_sync_2.log", "clients/client_1.log",
        "journals/cluster_sync_1/journal/00000001.log", "journals/cluster_sync_2/journal/00000001.log",
    }  # fmt: skip
    assert (run.path / "votes" / "cluster_sync_2.log").read_text().splitlines()[-1] == "line 19 of cluster_sync_2"
    assert (run.path / "journals" / "cluster_sync_1" / "journal" / "00000001.log").stat().st_size == 4096
    settings = json.loads((run.path / "settings.json").read_text())
    assert (settings["asked"], settings["engine"]) == ({"nodes": 2}, "memory")
    assert (run.path.parent / "latest").resolve() == run.path.resolve()
    assert runs.read(run.path) == run
    assert keeping.current(lab) is None
    (lab.shared_dir / "output.txt").write_text("something else")
    assert (run.path / "output.txt").read_text() == BLOCK * 3


def test_a_cluster_that_nobody_opened_a_run_for_gets_one(lab: ComposeProject, engine: Engine) -> None:
    run = keeping.keep(engine, lab)
    assert run.state == "open"
    assert keeping.current(lab) == run
    again = keeping.keep(engine, lab, end=True)
    assert again.path == run.path
    assert again.state == "kept"


def test_a_run_whose_cluster_went_away_is_lost_and_the_next_says_what_it_goes_on_with(lab: ComposeProject) -> None:
    first = keeping.opened(lab, "memory", {}, Beginning(NOON, 0))
    second = keeping.opened(lab, "memory", {}, Beginning(NOON, 99))
    assert [run.state for run in runs.listed(first.path.parent)] == ["lost", "open"]
    assert second.continues == first.name


def test_an_engine_that_fails_costs_its_log_and_nothing_else(lab: ComposeProject, engine: Engine) -> None:
    engine.trouble["cluster_sync_1"] = EnvironmentFault("The daemon has gone.", "")
    run = keeping.keep(engine, lab, end=True)
    assert [what for what in run.missing if "The daemon has gone" in what] == list(run.missing)
    assert "votes/cluster_sync_2.log" in files(run)
    assert run.state == "kept"


def test_an_engine_that_hangs_is_not_waited_for(lab: ComposeProject, engine: Engine) -> None:
    engine.hangs.add("cluster_sync_1")
    run = keeping.keep(engine, lab, end=True, budget=Budget(1 << 30, time.monotonic() + 0.2))
    assert any("cluster_sync_1" in what and "in time" in what for what in run.missing)
    assert "votes/cluster_sync_1.log" not in files(run)
    assert {"votes/cluster_sync_2.log", "output.txt", "history/client_1.jsonl"} <= files(run)


def test_what_is_more_than_a_run_keeps_is_named(lab: ComposeProject, engine: Engine) -> None:
    engine.lines = 1000
    run = keeping.keep(engine, lab, end=True, budget=Budget(len(BLOCK) * 3 + 900, time.monotonic() + 60))
    assert "output.txt" in files(run), "it comes before all else"
    log = (run.path / "votes" / "cluster_sync_1.log").read_text()
    assert log.endswith("of cluster_sync_1\n")
    assert 0 < len(log) < 900
    assert any("cluster_sync_1 from byte" in what for what in run.missing)
    assert any("the journal of cluster_sync_1" in what for what in run.missing)


def test_a_full_disk_or_a_place_that_is_no_directory_is_one_note(
    lab: ComposeProject, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.state_dir.mkdir(exist_ok=True)
    (lab.state_dir / "runs").write_text("not a directory")
    assert keeping.finish(engine, lab) is None
    said = capsys.readouterr().err
    assert said.startswith("note: the run is not kept: ")
    assert said.count("\n") == 1
    assert (lab.state_dir / "runs").read_text() == "not a directory"


@pytest.mark.parametrize("name", ["cluster_sync_1", "client_1"])
def test_ctrl_c_leaves_the_run_as_it_was(
    lab: ComposeProject, engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keeping.keep(engine, lab)
    kept = {file: (before.path / file).read_bytes() for file in files(before)}

    def interrupted(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    (lab.shared_dir / "output.txt").write_text(BLOCK * 9)
    monkeypatch.setattr(keeping, "copy_journal" if name == "client_1" else "keep_logs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keeping.keep(engine, lab, end=True)
    assert {file: (before.path / file).read_bytes() for file in files(before)} == kept
    assert runs.read(before.path) == before
    assert list(before.path.glob(".new-*")) == []


def test_a_gathering_that_was_killed_while_it_took_its_place_is_seen_and_mended(lab: ComposeProject, engine: Engine) -> None:
    run = keeping.keep(engine, lab)
    marker = json.loads((run.path / "run.json").read_text()) | {"gathering": True}
    (run.path / "run.json").write_text(json.dumps(marker))
    (run.path / ".new-1" / "votes").mkdir(parents=True)
    half = runs.read(run.path)
    assert half is not None
    assert half.state == "half"
    assert keeping.keep(engine, lab, end=True).state == "kept"
    assert not (run.path / ".new-1").exists()


def test_a_second_gathering_finds_less_and_takes_nothing_away(lab: ComposeProject, engine: Engine) -> None:
    run = keeping.keep(engine, lab)
    engine.lines = 3  # as when a service was made anew
    engine.remove(lab, "cluster_sync_2")
    again = keeping.keep(engine, lab, end=True)
    for name in ("cluster_sync_1", "cluster_sync_2"):
        assert (again.path / "votes" / f"{name}.log").read_text().count("\n") == 20
    assert again.path == run.path


def test_two_at_once_do_not_mix(lab: ComposeProject, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    run = keeping.opened(lab, "memory", {}, Beginning(NOON, 0))
    with locked(run.path / runs.LOCK, 0.0, "busy"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "LOCK_WAIT", 0.1)
        assert keeping.finish(engine, lab) is None
    assert f"is being gathered (process {os.getpid()})" in capsys.readouterr().err
    assert keeping.finish(engine, lab) is not None


def test_down_ends_the_clients_then_the_nodes_and_says_who_could_not_be_stopped(lab: ComposeProject, engine: Engine) -> None:
    engine.calls.clear()
    engine.pause(lab, "cluster_sync_2")
    stop_all(engine, lab, engine.observe(lab))
    assert engine.calls == ["pause cluster_sync_2", "stop client_1", "stop cluster_sync_1"], "a frozen one is left to `remove`"
    engine.start(lab, "cluster_sync_1")
    engine.faults["stop cluster_sync_1"] = EnvironmentFault("The daemon has gone.", "")
    with pytest.raises(EnvironmentFault, match="The daemon has gone"):
        stop_all(engine, lab, engine.observe(lab))


def test_without_a_compose_file_the_logs_are_kept(lab: ComposeProject, engine: Engine) -> None:
    bare = ComposeProject("lab", lab.directory, lab.file, ())
    run = keeping.keep(engine, bare, end=True)
    assert "votes/cluster_sync_1.log" in files(run)
    assert run.messages is None
