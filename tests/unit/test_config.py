"""The environment of a node: what it takes, what it refuses and with which words, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.config import TUNABLES, Address, NodeConfig, Tunables, format_peers, parse_peers
from node_runtime.errors import ConfigError
from node_runtime.messages import Policy
from node_runtime.state import Timing

PEERS = "0=cluster_sync_1:6000,1=cluster_sync_2:6001,2=[::1]:6002"
LEAST = {"ID": "1", "PEERS": PEERS}


def test_the_seeds_variables_are_enough_and_the_ports_follow_the_id() -> None:
    config = NodeConfig.from_env(LEAST)
    assert (config.node, config.cluster, config.policy) == (1, "votesync", Policy.TURNS)
    assert (config.client_address, config.peer_address) == (Address("0.0.0.0", 5001), Address("0.0.0.0", 6001))
    assert (config.shared_dir, config.data_dir, config.faults_allowed, config.seed) == ("/shared", "/data", False, None)
    assert config.peers == {0: Address("cluster_sync_1", 6000), 1: Address("cluster_sync_2", 6001), 2: Address("::1", 6002)}
    assert config.tunables == Tunables()


@pytest.mark.parametrize(
    ("variable", "got"),
    [
        ("ID", ""), ("ID", "x"), ("ID", "-1"), ("ID", "64"), ("ID", "1.0"), ("ID", "٣"), ("ID", "9" * 30),
        ("PORT", "0"), ("PORT", "65536"), ("CLUSTER_PORT", "abc"), ("SEED", "-1"), ("FAULTS", "maybe"),
        ("WRITER", "both"), ("WRITER", ""), ("CLUSTER", "Upper"), ("CLUSTER", ""), ("CLUSTER", "a" * 64), ("CLUSTER", "-a"),
        ("SHARED_DIR", ""), ("DATA_DIR", "a\0b"),
        ("PEERS", ""), ("PEERS", "0=a:1"), ("PEERS", "1=a:1"), ("PEERS", "0=a:1,1=b"), ("PEERS", "0=a:1,1=b:0"),
        ("PEERS", "0=a:1,1=b:65536"), ("PEERS", "0=a:1,1=b:2,1=c:3"), ("PEERS", "0=a:1,1=b:2,3=c:3"),
        ("PEERS", "0=a b:1,1=b:2"),
        ("ROUND_WINDOW_MS", "nan"), ("ROUND_WINDOW_MS", "inf"), ("ROUND_WINDOW_MS", "-1"), ("ROUND_WINDOW_MS", ""),
        ("ROUNDS_IN_FLIGHT", "0"), ("ROUNDS_IN_FLIGHT", "65"), ("ROUNDS_IN_FLIGHT", "1.5"), ("QUEUE_MESSAGES", "15"),
        ("ELECTION_MAX_MS", "400"), ("HEARTBEAT_MS", "201"), ("SEGMENT_BYTES", "1"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_it_takes(variable: str, got: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NodeConfig.from_env({**LEAST, variable: got})
    assert caught.value.variable == variable
    assert variable in str(caught.value)
    assert "takes" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_id_is_named() -> None:
    with pytest.raises(ConfigError, match="ID=None: takes a whole number from 0 to 63"):
        NodeConfig.from_env({"PEERS": PEERS})


def test_a_node_that_is_not_among_its_peers_is_refused() -> None:
    with pytest.raises(ConfigError, match="names this node too"):
        NodeConfig.from_env({"ID": "3", "PEERS": PEERS})


@st.composite
def configs(draw: st.DrawFn) -> NodeConfig:
    count = draw(st.integers(1, 9))
    hosts = st.sampled_from(["cluster_sync_1", "10.0.0.7", "::1", "a-b.c"])
    peers = {node: Address(draw(hosts), draw(st.integers(1, 65535))) for node in range(count)}
    values: dict[str, Any] = {}
    for name, least, most in TUNABLES.values():
        if name in {"election_min_ms", "election_max_ms", "heartbeat_ms"}:
            continue
        whole = isinstance(getattr(Tunables(), name), int)
        values[name] = draw(st.integers(int(least), int(most)) if whole else st.floats(least, most))
    return NodeConfig(
        draw(st.integers(0, count - 1)), draw(st.sampled_from(["votesync", "a", "x_1-y"])), Address("0.0.0.0", 5000),
        Address("0.0.0.0", 6000), peers, "/shared", "/data dir", draw(st.sampled_from(Policy)), draw(st.booleans()),
        draw(st.none() | st.integers(0, 2**63)), Tunables(**values),
    )  # fmt: skip


@given(configs())
def test_to_env_is_what_from_env_reads(config: NodeConfig) -> None:
    assert NodeConfig.from_env(config.to_env()) == config


@given(configs())
def test_peers_are_written_as_they_are_read(config: NodeConfig) -> None:
    assert parse_peers("PEERS", format_peers(config.peers)) == config.peers


def test_defaults_are_left_out_of_the_environment() -> None:
    assert set(NodeConfig.from_env(LEAST).to_env()) == {
        "ID", "CLUSTER", "BIND", "PORT", "CLUSTER_PORT", "PEERS", "SHARED_DIR", "DATA_DIR", "WRITER",
    }  # fmt: skip


@pytest.mark.parametrize("variable", sorted(TUNABLES))
def test_each_tunable_has_its_variable_and_its_bounds(variable: str) -> None:
    name, least, most = TUNABLES[variable]
    assert least <= getattr(Tunables(), name) <= most
    with pytest.raises(ConfigError, match=variable):
        NodeConfig.from_env({**LEAST, variable: str(most + 1)})


def test_an_empty_number_means_the_default_as_compose_files_write_it() -> None:
    config = NodeConfig.from_env({**LEAST, "PORT": "", "CLUSTER_PORT": "", "FAULTS": ""})
    assert (config.client_address.port, config.peer_address.port, config.faults_allowed) == (5001, 6001, False)


def test_clusters_have_tags_of_their_own() -> None:
    tags = {NodeConfig.from_env({**LEAST, "CLUSTER": name}).cluster_tag for name in ("a", "b", "ab")}
    assert len(tags) == 3
    assert {len(tag) for tag in tags} == {8}


def test_rule_48_time_in_the_core_is_whole_ticks() -> None:
    timing = Timing.of(NodeConfig.from_env({**LEAST, "ROUND_WINDOW_MS": "0.25", "TURN_TIMEOUT_MS": "100"}))
    assert (timing.round_window, timing.turn_timeout, timing.election_min) == (250, 100_000, 400_000)
    assert all(isinstance(getattr(timing, name), int) for name in Timing.__dataclass_fields__)
