"""What `up` decides to do: plans compared as text, their convergence, and what takes them back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from votesync_cli.cluster import ClusterSpec
from votesync_cli.compose import ComposeProject, parse, render
from votesync_cli.engines.base import Observed
from votesync_cli.plan import Operation, changes, plan, rollback


def project(nodes: int = 2, messages: int = 50) -> ComposeProject:
    return parse(render(ClusterSpec(cluster="demo", nodes=nodes, messages=messages)), Path("/x/compose.yml"), "demo", {})


TWO = project()


def seen(name: str, state: str = "running", *, code: int | None = None, of: ComposeProject = TWO) -> Observed:
    service = of.service(name)
    return Observed(name, service.role, service.id, state, config_hash=service.config_hash, exit_code=code)


def all_seen(of: ComposeProject = TWO) -> list[Observed]:
    nodes = [seen(node.name, of=of) for node in of.nodes]
    return nodes + [seen(client.name, "exited", code=0, of=of) for client in of.clients]


def text(operations: tuple[Operation, ...]) -> str:
    return "\n".join(step.to_text() for step in operations)


def test_from_nothing_everything_is_created_nodes_first() -> None:
    assert text(plan(TWO, [])) == (
        "create   cluster_sync_1: it does not exist\n"
        "create   cluster_sync_2: it does not exist\n"
        "create   client_1: it does not exist\n"
        "create   client_2: it does not exist"
    )


def test_a_second_up_finds_nothing_to_do() -> None:
    assert text(plan(TWO, all_seen())) == (
        "nothing  cluster_sync_1: it is running\n"
        "nothing  cluster_sync_2: it is running\n"
        "nothing  client_1: it has finished its work\n"
        "nothing  client_2: it has finished its work"
    )
    assert changes(plan(TWO, all_seen())) == ()


def test_every_state_has_its_step() -> None:
    found = [
        seen("cluster_sync_1", "paused"),
        seen("cluster_sync_2", "exited", code=137),
        seen("client_1", "exited", code=1),
        seen("client_2", "created"),
    ]
    assert text(plan(TWO, found)) == (
        "unpause  cluster_sync_1: it is paused\n"
        "start    cluster_sync_2: it ended with exit code 137\n"
        "start    client_1: it ended with exit code 1\n"
        "start    client_2: it was created and never started"
    )


def test_a_node_that_ended_with_0_is_started_again_and_a_client_is_not() -> None:
    steps = plan(TWO, [seen("cluster_sync_1", "exited", code=0), seen("client_1", "exited", code=0)])
    assert [step.kind for step in steps] == ["start", "create", "nothing", "create"]


def test_what_cannot_be_used_any_more_is_made_anew() -> None:
    steps = plan(TWO, [seen("cluster_sync_1", "dead"), *all_seen()[1:]])
    assert [(step.kind, step.service) for step in changes(steps)] == [("recreate", "cluster_sync_1")]


def test_an_edit_makes_anew_what_it_concerns_and_nothing_else() -> None:
    steps = plan(project(messages=7), all_seen())
    assert text(changes(steps)) == (
        "recreate client_1: its configuration has changed\nrecreate client_2: its configuration has changed"
    )


def test_a_service_made_by_somebody_else_counts_as_right() -> None:
    found = [replace(observed, config_hash="") for observed in all_seen()]
    assert changes(plan(project(messages=7), found)) == ()


def test_what_the_file_no_longer_names_goes_first_clients_before_nodes() -> None:
    three = project(3)
    steps = plan(TWO, all_seen(three))
    assert text(steps[:2]) == (
        "remove   client_3: compose.yml does not name it any more\n"
        "remove   cluster_sync_3: compose.yml does not name it any more"
    )
    assert {step.kind for step in steps[2:4]} == {"recreate"}, "PEERS has changed"


def test_a_rollback_takes_back_what_was_done_last_first() -> None:
    done = [
        Operation("remove", "client_9", "client", ""),
        Operation("start", "cluster_sync_1", "node", ""),
        Operation("unpause", "cluster_sync_2", "node", ""),
        Operation("recreate", "client_1", "client", ""),
        Operation("create", "client_2", "client", ""),
    ]
    assert [(step.kind, step.service) for step in rollback(done)] == [
        ("remove", "client_2"),
        ("remove", "client_1"),
        ("pause", "cluster_sync_2"),
        ("stop", "cluster_sync_1"),
    ]


STATES = ["running", "paused", "restarting", "created", "exited", "dead"]


@given(st.lists(st.sampled_from([None, *STATES]), min_size=4, max_size=4), st.sampled_from([0, 1, 137]), st.booleans())
def test_carried_out_a_plan_leaves_nothing_to_do(states: list[str | None], code: int, other: bool) -> None:
    wanted = project(messages=7) if other else TWO
    world = {
        service.name: seen(service.name, state, code=code if state == "exited" else None)
        for service, state in zip(TWO.services, states, strict=True)
        if state is not None
    }
    touched = set()
    for step in changes(plan(wanted, world.values())):
        touched.add(step.service)
        world[step.service] = seen(step.service, of=wanted)
    assert changes(plan(wanted, world.values())) == ()
    assert {step.service for step in rollback(plan(wanted, []))} == {service.name for service in wanted.services}
    assert touched <= {service.name for service in wanted.services}
