"""What a cluster may be asked to be, and what a project may be called."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.config import NodeConfig
from votesync_cli.cluster import SETTINGS, ClusterSpec, client_service, node_service, project_name, spec_from
from votesync_cli.errors import UsageError


def test_names_start_at_one_and_ids_at_zero() -> None:
    assert (node_service(0), client_service(4)) == ("cluster_sync_1", "client_5")


@given(st.integers(1, 64))
def test_every_node_takes_what_it_is_told(nodes: int) -> None:
    spec = ClusterSpec(cluster="c", nodes=nodes)
    for node in range(nodes):
        config = NodeConfig.from_env(spec.node_environment(node))
        assert config.node == node
        assert len(config.peers) == nodes
        assert config.peers[node].port == config.peer_address.port == 6000 + node
        assert config.client_address.port == 5000 + node


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"nodes": 0}, "--nodes"),
        ({"nodes": 65}, "--nodes"),
        ({"messages": -1}, "--messages"),
        ({"rate": -0.5}, "--rate"),
        ({"in_flight": 0}, "--in-flight"),
        ({"publish": 65_535}, "--publish"),
        ({"writer": "anybody"}, "--writer"),
        ({"round_window_ms": -1.0}, "--round-window"),
        ({"election_min_ms": 900.0}, "--election-max"),
        ({"heartbeat_ms": 300.0}, "--heartbeat"),
        ({"base_image": "two words"}, "--base-image"),
        ({"base_image": ""}, "--base-image"),
    ],
)
def test_a_wrong_value_names_its_option(wrong: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError) as caught:
        ClusterSpec(cluster="c", **wrong)
    assert caught.value.message.startswith(option)
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_what_is_asked_for_goes_before_the_settings_and_those_before_the_defaults() -> None:
    spec = spec_from({"nodes": 7, "messages": 9}, {"messages": 3, "rate": None}, cluster="c", image="i", uid=1, gid=2)
    assert (spec.nodes, spec.messages, spec.rate, spec.uid, spec.gid) == (7, 3, 0.0, 1, 2)
    again = spec_from(spec.settings(), {}, cluster="c", image="i", uid=1, gid=2)
    assert again == spec
    assert set(spec.settings()) == set(SETTINGS)


def test_damaged_settings_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="x-votesync"):
        spec_from({"nodes": "five"}, {}, cluster="c", image="i", uid=1, gid=2)


@pytest.mark.parametrize(
    ("flag", "variable", "directory", "name"),
    [
        ("a-b", "other", "dir", "a-b"),
        (None, "other", "dir", "other"),
        (None, None, "My Project (2)", "myproject2"),
        (None, None, "_-x", "x"),
        (None, None, "…", "votesync"),
        (None, "", "dir", "dir"),
    ],
)
def test_the_projects_name_follows_compose(flag: str | None, variable: str | None, directory: str, name: str) -> None:
    environment = {} if variable is None else {"COMPOSE_PROJECT_NAME": variable}
    assert project_name(flag, environment, directory) == name


@pytest.mark.parametrize("bad", ["Upper", "-x", "a b", "a.b", "ü"])
def test_a_name_that_compose_refuses_is_refused(bad: str) -> None:
    with pytest.raises(UsageError, match="--project-name"):
        project_name(bad, {}, "dir")
    with pytest.raises(UsageError, match="COMPOSE_PROJECT_NAME"):
        project_name(None, {"COMPOSE_PROJECT_NAME": bad}, "dir")
