"""Carrying out a schedule on an engine in memory: what is broken is mended, whatever happens in between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.component.memory_engine import MemoryEngine
from votesync_cli.chaos_plan import Step
from votesync_cli.cluster import ClusterSpec
from votesync_cli.commands.chaos_run import ChaosRun
from votesync_cli.compose import ComposeProject, load, render
from votesync_cli.errors import CommandFailed


class FaultyEngine(MemoryEngine):
    """Its nodes take faults; `asked` are the requests that reached them. Node 1 leads, node 2 holds the turn."""

    def __init__(self, project: ComposeProject) -> None:
        super().__init__()
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.leads = True
        for service in project.services:
            self.create(project, service)
        self.calls.clear()

    def admin(self, project: ComposeProject, name: str, request: dict[str, object], timeout: float = 5.0) -> dict[str, object]:
        if self.services[name].state != "running":
            raise CommandFailed(f"{name} does not run.", "Start it.")
        if request["op"] != "status":
            self.asked.append((name, request))
            return {"ok": True, "applied": True, "healed": []}
        leads = name == "cluster_sync_2" and self.leads
        return {"ok": True, "role": "leader" if leads else "follower", "term": 3, "holder": {"writer": 2}}


@pytest.fixture
def project(tmp_path: Path) -> ComposeProject:
    file = tmp_path / "compose.yml"
    file.write_text(render(ClusterSpec(cluster="c", nodes=5, faults=True, image="i", uid=1, gid=1)))
    return load(file, "c")


def step(number: int, kind: str, target: str, at: float = 0.0, lasts: float = 0.0) -> Step:
    return Step(number, at, lasts, kind, target, (4, 3, 2, 1, 0), 1, amount=10.0)


def run(project: ComposeProject, *steps: Step) -> tuple[ChaosRun, FaultyEngine]:
    engine = FaultyEngine(project)
    return ChaosRun(engine, project, steps, project.directory / "deeds.jsonl"), engine


def all_run(engine: MemoryEngine) -> bool:
    return {found.state for found in engine.services.values()} == {"running"}


@pytest.mark.parametrize(
    ("kind", "target", "calls"),
    [
        ("kill", "leader", ["kill cluster_sync_2", "start cluster_sync_2"]),
        ("stop", "holder", ["stop cluster_sync_3", "start cluster_sync_3"]),
        ("pause", "one", ["pause cluster_sync_5", "unpause cluster_sync_5"]),
        ("client", "one", ["kill client_5", "start client_5"]),
    ],
)
def test_each_is_done_to_whom_it_means_and_undone(project: ComposeProject, kind: str, target: str, calls: list[str]) -> None:
    chaos, engine = run(project, step(1, kind, target))
    chaos.carry_out()
    assert engine.calls == calls
    assert all_run(engine)
    assert [deed.skipped for deed in chaos.deeds] == [""]
    assert [json.loads(line)["step"] for line in chaos.journal.read_text().splitlines()] == [1]


def test_faults_of_links_reach_every_node_and_all_are_healed_in_the_end(project: ComposeProject) -> None:
    chaos, engine = run(project, step(1, "drop", "minority"))
    chaos.carry_out()
    faults = [(name, request) for name, request in engine.asked if request["op"] == "fault"]
    assert {name for name, _ in faults} == {f"cluster_sync_{number}" for number in range(1, 6)}
    assert [request["from"] for _, request in faults[:2]] == [[3, 4], [0, 1, 2]]
    assert {name for name, request in engine.asked[-5:] if request == {"op": "heal"}} == set(dict(faults))


def test_who_is_down_already_is_left_alone(project: ComposeProject) -> None:
    chaos, engine = run(project, step(1, "kill", "one", 0.0, 0.2), step(2, "pause", "one", 0.1, 0.3))
    chaos.carry_out()
    assert engine.calls == ["kill cluster_sync_5", "start cluster_sync_5"]
    assert {deed.number: deed.skipped for deed in chaos.deeds} == {1: "", 2: "whoever it means is down already"}


def test_without_a_leader_nobody_is_meant(project: ComposeProject) -> None:
    chaos, engine = run(project, step(1, "kill", "leader"))
    engine.leads = False
    chaos.carry_out()
    assert engine.calls == []
    assert [deed.skipped for deed in chaos.deeds] == ["nobody is leader now"]


def test_an_interrupt_leaves_nothing_broken(project: ComposeProject) -> None:
    chaos, engine = run(
        project,
        step(1, "kill", "minority", 0.0, 60.0),
        step(2, "pause", "leader", 0.0, 60.0),
        step(3, "client", "one", 0.1, 1.0),
    )
    engine.faults["kill client_5"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        chaos.carry_out()
    assert all_run(engine)
    assert [request["op"] for _, request in engine.asked] == ["heal"] * 5
    assert {deed.number for deed in chaos.deeds} == {1, 2, 3}


def test_what_an_engine_cannot_do_is_written_down_and_the_run_goes_on(project: ComposeProject) -> None:
    chaos, engine = run(project, step(1, "kill", "one"), step(2, "kill", "leader", 0.05))
    engine.faults["kill cluster_sync_5"] = CommandFailed("The engine is on strike.", "Wait.")
    chaos.carry_out()
    assert {deed.number: deed.skipped for deed in chaos.deeds} == {1: "The engine is on strike.", 2: ""}


def test_a_node_that_ends_by_itself_is_noticed_and_a_client_that_has_finished_is_started_again(project: ComposeProject) -> None:
    chaos, engine = run(project)
    engine._state("cluster_sync_1", "exited", 1)
    engine._state("client_2", "exited", 0)
    chaos.carry_out()
    assert chaos.ended_alone == {"cluster_sync_1": "cluster_sync_1 ended with exit code 1 though nobody had ended it"}
    assert engine.calls == ["start client_2"]


def test_a_node_that_the_engine_cannot_start_again_is_tried_again_and_named(project: ComposeProject) -> None:
    chaos, engine = run(project, step(1, "kill", "one"))
    attempts = iter([CommandFailed("Its port was taken.", "Wait."), None])

    class Stubborn(dict[str, BaseException]):
        def __contains__(self, call: object) -> bool:
            return call == "start cluster_sync_5" and next(attempts, None) is not None

        def __missing__(self, call: str) -> BaseException:
            return CommandFailed("Its port was taken.", "Wait.")

    engine.faults = Stubborn()
    chaos.carry_out()
    assert engine.calls == ["kill cluster_sync_5", "start cluster_sync_5", "start cluster_sync_5"]
    assert chaos.not_started == {}
    assert all_run(engine)
