"""How `up` carries out a plan on an engine, and what is left when that fails: exactly what was there before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.component.memory_engine import MemoryEngine
from votesync_cli.cluster import ClusterSpec
from votesync_cli.commands.raising import Raising
from votesync_cli.commands.up import carry_out
from votesync_cli.compose import ComposeProject, Service, parse, render
from votesync_cli.engines.base import Observed
from votesync_cli.errors import CommandFailed, EnvironmentFault, Interrupted, TimedOut, VotesyncError
from votesync_cli.plan import changes, plan


@pytest.fixture
def project(tmp_path: Path) -> ComposeProject:
    return parse(render(ClusterSpec(cluster="demo", nodes=3)), tmp_path / "compose.yml", "demo", {})


def up(engine: MemoryEngine, project: ComposeProject, *, limit: float = 20.0, rollback: bool = True, wait: bool = True) -> None:
    before = engine.observe(project)
    run = Raising(engine, project, time.monotonic() + limit)
    carry_out(run, plan(project, before), before, wait=wait, rollback=rollback)


def test_nodes_form_before_clients_start(project: ComposeProject) -> None:
    engine = MemoryEngine()
    up(engine, project)
    assert engine.calls == ["prepare demo", *(f"create {service.name}" for service in project.services)]
    assert changes(plan(project, engine.observe(project))) == ()


@pytest.mark.parametrize("place", range(6))
def test_a_create_that_fails_leaves_nothing(project: ComposeProject, place: int) -> None:
    engine = MemoryEngine()
    broken = project.services[place].name
    engine.faults[f"create {broken}"] = EnvironmentFault("The disk is full.", "Make room.")
    with pytest.raises(EnvironmentFault, match="disk is full"):
        up(engine, project)
    assert engine.services == {}
    assert not engine.prepared
    made = [call.split()[1] for call in engine.calls if call.startswith("create")]
    assert [call.split()[1] for call in engine.calls if call.startswith("remove")] == made[::-1]


def test_only_what_this_run_made_is_taken_back(project: ComposeProject) -> None:
    engine = MemoryEngine()
    up(engine, project)
    engine.remove(project, "cluster_sync_3")
    engine.kill(project, "cluster_sync_2")
    before = dict(engine.services)
    engine.calls.clear()
    engine.formed = False
    with pytest.raises(TimedOut) as caught:
        up(engine, project, limit=0.5)
    assert caught.value.exit_code == 124
    assert "knows no leader" in caught.value.message
    assert engine.services.keys() == before.keys()
    assert engine.services["cluster_sync_1"] == before["cluster_sync_1"]
    assert engine.services["cluster_sync_2"].state == "exited"
    assert engine.calls[-2:] == ["remove cluster_sync_3", "stop cluster_sync_2"], "last first"
    assert engine.prepared, "the network is not this run's"


def test_a_rollback_goes_on_where_one_step_of_it_fails(project: ComposeProject, capfd: pytest.CaptureFixture[str]) -> None:
    engine = MemoryEngine()
    engine.faults["create client_1"] = EnvironmentFault("No.", "Never.")
    engine.faults["remove cluster_sync_2"] = CommandFailed("It clings.", "Pull.")
    with pytest.raises(EnvironmentFault):
        up(engine, project)
    assert "remove cluster_sync_1" in engine.calls
    assert "Could not be taken back: It clings." in capfd.readouterr().err


def test_no_rollback_leaves_everything(project: ComposeProject) -> None:
    engine = MemoryEngine()
    engine.faults["create client_2"] = EnvironmentFault("No.", "Never.")
    with pytest.raises(EnvironmentFault):
        up(engine, project, rollback=False)
    assert "cluster_sync_3" in engine.services
    assert engine.prepared


def test_ctrl_c_rolls_back_and_ends_with_130(project: ComposeProject) -> None:
    engine = MemoryEngine()
    engine.faults["create cluster_sync_2"] = KeyboardInterrupt()
    with pytest.raises(Interrupted) as caught:
        up(engine, project)
    assert caught.value.exit_code == 130
    assert engine.services == {}
    assert not engine.prepared


def ended(role: str, code: int) -> Callable[[Service], Observed]:
    def observed(service: Service) -> Observed:
        if service.role == role and service.id == 1:
            return Observed(service.name, service.role, service.id, "exited", config_hash=service.config_hash, exit_code=code)
        return Observed(service.name, service.role, service.id, "running", config_hash=service.config_hash)

    return observed


@pytest.mark.parametrize(("role", "name"), [("node", "cluster_sync_2"), ("client", "client_2")])
def test_a_service_that_dies_is_shown_with_its_last_lines(project: ComposeProject, role: str, name: str) -> None:
    engine = MemoryEngine()
    engine.after_create = ended(role, 3)
    with pytest.raises(VotesyncError) as caught:
        up(engine, project)
    assert f"{name} ended with exit code 3" in caught.value.message
    assert f"line 19 of {name}" in caught.value.message
    assert f"line 9 of {name}" not in caught.value.message
    assert engine.services == {}


def test_a_client_that_is_done_at_once_is_no_failure(project: ComposeProject) -> None:
    engine = MemoryEngine()
    engine.after_create = ended("client", 0)
    up(engine, project)
    assert engine.services["client_2"].exit_code == 0


def test_without_waiting_nobody_is_asked(project: ComposeProject) -> None:
    engine = MemoryEngine()
    engine.formed = False
    up(engine, project, wait=False)
    assert len(engine.services) == 6
