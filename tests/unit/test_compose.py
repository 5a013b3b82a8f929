"""The compose file: what is rendered is read back, edits take effect, and what is broken is named with its line."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from votesync_cli.cluster import ClusterSpec
from votesync_cli.compose import ComposeProject, authorship, parse, render
from votesync_cli.errors import ComposeFileError, UsageError

FILE = Path("/somewhere/compose.yml")
THREE = render(ClusterSpec(cluster="demo", nodes=3))


def read(text: str, environment: dict[str, str] | None = None) -> ComposeProject:
    return parse(text, FILE, "demo", environment or {})


def edited(old: str, new: str, count: int = 1, text: str = THREE) -> str:
    assert text.count(old) >= 1, old
    return text.replace(old, new, count)


def refused(text: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    with pytest.raises(ComposeFileError) as caught:
        read(text, environment)
    assert caught.value.message.startswith(f"compose.yml:{caught.value.line}: ")
    assert caught.value.hint
    assert caught.value.exit_code == 2
    return caught.value.line, caught.value.message


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@settings(max_examples=10, deadline=None)
@given(
    nodes=st.sampled_from([1, 2, 5, 64]),
    messages=st.integers(0, 10**6),
    rate=st.sampled_from([0.0, 0.5, 1000.0]),
    writer=st.sampled_from(["turns", "winner"]),
    publish=st.none() | st.integers(1, 60_000),
    faults=st.booleans(),
)
def test_what_is_rendered_is_read_back(
    nodes: int, messages: int, rate: float, writer: str, publish: int | None, faults: bool
) -> None:
    spec = ClusterSpec(
        cluster="demo", nodes=nodes, messages=messages, rate=rate, writer=writer, publish=publish, faults=faults, uid=7, gid=8
    )
    text = render(spec)
    project = read(text)
    assert project.settings == spec.settings()
    assert project.notes == ()
    assert authorship(text) == "ours"
    assert [node.id for node in project.nodes] == [client.id for client in project.clients] == list(range(nodes))
    for service in project.nodes:
        assert service.environment == spec.node_environment(service.id)
        assert [port.published for port in service.ports] == ([] if publish is None else [publish + service.id])
    for service in project.clients:
        assert service.environment == spec.client_environment(service.id)
        assert service.depends_on == {f"cluster_sync_{service.id + 1}": "service_healthy"}


def test_the_file_has_nothing_that_an_old_compose_refuses() -> None:
    document = yaml.safe_load(THREE)
    assert set(document) == {"services"} | {key for key in document if key.startswith("x-")}
    assert "start_interval" not in THREE


def test_services_are_confined() -> None:
    for service in read(THREE).services:
        assert service.read_only
        assert service.init
        assert service.cap_drop == ("ALL",)
        assert service.security_opt == ("no-new-privileges:true",)
        assert service.tmpfs == ("/tmp",)
        assert service.pids_limit == 128
        assert service.mem_limit == 512 * 1024 * 1024
        assert service.user == "1000:1000"
        assert service.ports == ()
    check = read(THREE).nodes[0].healthcheck
    assert check is not None
    assert check.test == ("python", "-m", "node_runtime", "ctl", "health")
    assert (check.interval, check.timeout, check.start_period) == (1.0, 2.0, 5.0)


def test_rule_47_directories_are_mounted_and_never_the_file() -> None:
    project = read(THREE)
    assert project.shared_dir == Path("/somewhere/shared_data")
    assert project.nodes[1].data_dir == Path("/somewhere/.votesync/data/cluster_sync_2")
    assert project.clients[1].data_dir is None
    assert not [mount for service in project.services for mount in service.volumes if mount.source.suffix]


@pytest.mark.parametrize(
    ("old", "new", "name", "value"),
    [
        ('MESSAGES: "50"', "MESSAGES: 7", "MESSAGES", "7"),
        ('RATE: "0"', "RATE: 2.5", "RATE", "2.5"),
        ('ROUND_WINDOW_MS: "10"', "ROUND_WINDOW_MS: 0", "ROUND_WINDOW_MS", "0"),
        ('WRITER: "turns"', "WRITER: winner", "WRITER", "winner"),
        ('MESSAGES: "50"', 'MESSAGES: "${HOW_MANY:-12}"', "MESSAGES", "12"),
    ],
)
def test_an_edit_takes_effect_and_needs_the_service_made_anew(old: str, new: str, name: str, value: str) -> None:
    before, after = read(THREE), read(edited(old, new))
    services = [service for service in after.services if name in service.environment]
    assert services
    for service in services:
        assert service.environment[name] == value
        assert service.config_hash != before.service(service.name).config_hash
    others = [service for service in after.services if name not in service.environment]
    assert all(service.config_hash == before.service(service.name).config_hash for service in others)


def test_a_client_service_can_be_added() -> None:
    more = """
  client_9:
    <<: *client
    environment:
      <<: *client-environment
      ID: 8
      MESSAGES: 3
"""
    project = read(THREE + more)
    assert [client.name for client in project.clients] == ["client_1", "client_2", "client_3", "client_9"]
    assert project.find("client_9").environment["MESSAGES"] == "3"


def test_an_environment_may_be_a_list_and_take_values_from_outside() -> None:
    text = edited(
        '    environment:\n      <<: *client-environment\n      ID: "0"',
        "    environment: [ID=0, 'NODES=0=cluster_sync_1:5000', MESSAGES, RATE]",
    )
    told = read(text, {"MESSAGES": "4"}).service("client_1").environment
    assert told == {"ID": "0", "NODES": "0=cluster_sync_1:5000", "MESSAGES": "4"}


def test_an_edit_is_told_from_our_own_words() -> None:
    assert authorship(THREE) == "ours"
    assert authorship(THREE + "# mine\n") == "edited"
    assert authorship(THREE.split("\n", 1)[1]) == "foreign"
    assert authorship("services: {}\n") == "foreign"
    assert authorship("") == "foreign"


WRONG: list[tuple[str, str, str, str]] = [
    # what to replace, with what, the line where the complaint points, what it says
    ('      ID: "1"', '      ID: "00"', 'ID: "00"', "ID 0 is taken by cluster_sync_1"),
    ('      ID: "1"', '      ID: "one"', 'ID: "one"', "its ID is 'one'"),
    ('      ID: "1"', '      ID: "7"', "PEERS:", "cluster_sync_2: PEERS cannot be"),
    ('      ID: "0"\n      PORT', "      PORT", "", "it has no ID"),
    ('PORT: "5001"', 'PORT: "port"', 'PORT: "port"', "PORT cannot be 'port'"),
    (
        'CLUSTER_PORT: "6001"',
        'CLUSTER_PORT: "6009"',
        "PEERS:",
        "node 1 is at cluster_sync_2:6001, but it is at cluster_sync_2:6009",
    ),
    ("1=cluster_sync_2:6001,", "1=cluster_sync_9:6001,", "PEERS:", "node 1 is at cluster_sync_9:6001"),
    (",2=cluster_sync_3:6002", "", "PEERS:", "PEERS"),
    ('WRITER: "turns"', "WRITER: all", "WRITER: all", "WRITER cannot be 'all'"),
    ('WRITER: "turns"', 'HEARTBEAT_MS: "300"', 'HEARTBEAT_MS: "300"', "HEARTBEAT_MS cannot be 300"),
    ('MESSAGES: "50"', "MESSAGES: many", "MESSAGES: many", "MESSAGES cannot be 'many'"),
    ('MESSAGES: "50"', "MESSAGES: [1]", "MESSAGES: [1]", "MESSAGES under `environment` is a list"),
    ('MESSAGES: "50"', "MESSAGES: true", "MESSAGES: true", "is true"),
    ("0=cluster_sync_1:5000", "0=cluster_sync_1:5009", "NODES:", "takes clients at cluster_sync_1:5009"),
    ('user: "1000:1000"', "user: [1]", "user: [1]", "`user` is a list"),
    ("read_only: true", "read_only: 3", "read_only: 3", "`read_only` is 3"),
    ("mem_limit: 512m", "mem_limit: much", "mem_limit: much", "`mem_limit` is 'much'"),
    ("stop_grace_period: 5s", "stop_grace_period: soon", "soon", "`stop_grace_period` is 'soon'"),
    ('command: ["python", "-m", "node_runtime", "client"]', "command: redis", "command: redis", "neither"),
    ('volumes: ["./shared_data:/shared"]', "volumes: [named:/shared]", "volumes: [named", "directories of this machine"),
    ("./.votesync/data/cluster_sync_2:/data", "./.votesync/data/cluster_sync_1:/data", "", "also that of cluster_sync_1"),
    ("./.votesync/data/cluster_sync_2:/data", "./x:/elsewhere", "DATA_DIR", "no volume is mounted there"),
    ("cluster_sync_2: {condition: service_healthy}", "nobody: {condition: service_healthy}", "", "'nobody'"),
    ("  cluster_sync_2:\n", "  cluster_sync_1:\n", "", "'cluster_sync_1' stands here again"),
    ("services:\n", "services: 3\nother:\n", "services: 3", "it has no services"),
    ("  client_1:\n", "  client_1: nothing\n  client_7:\n", "client_1: nothing", "client_1 is 'nothing'"),
]


@pytest.mark.parametrize(("old", "new", "where", "says"), WRONG)
def test_a_broken_file_is_named_with_its_line(old: str, new: str, where: str, says: str) -> None:
    text = edited(old, new)
    line, message = refused(text)
    assert says in message
    if where:
        assert line == line_of(text, where), message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("services: [\n", "not YAML"),
        ("a: b: c\n", "not YAML"),
        ("services:\n\tx: 1\n", "not YAML"),
        ("- 1\n", "no compose file"),
        ("", "no compose file"),
        ("services:\n  a:\n    image: x\n\0", "cannot stand in YAML"),
        ("services: {}\n", "no services"),
        ("services:\n  a:\n    image: x\n    command: python -m node_runtime 'node\n", "cannot be split"),
        ("services:\n  a: &a\n    environment: *a\n", "recursive"),
    ],
)
def test_what_is_no_compose_file_at_all(text: str, says: str) -> None:
    assert says in refused(text)[1]


def test_a_missing_node_is_named() -> None:
    start = THREE.index("  cluster_sync_2:\n")
    end = THREE.index("  cluster_sync_3:\n", start)
    _, message = refused(THREE[:start] + THREE[end:])
    assert "PEERS names node 1, and no service has ID 1" in message


def test_two_clients_cannot_share_a_session() -> None:
    text = edited('      ID: "1"\n    depends_on', '      ID: "1"\n      SESSION: "0"\n    depends_on')
    line, message = refused(text)
    assert "SESSION 0 is taken by client_1" in message
    assert line == line_of(text, 'SESSION: "0"')


def test_a_variable_that_must_be_set_is_named() -> None:
    text = edited('MESSAGES: "50"', 'MESSAGES: "${HOW_MANY:?say how many}"')
    line, message = refused(text)
    assert "HOW_MANY is not set: say how many" in message
    assert line == line_of(text, "HOW_MANY")
    assert read(text, {"HOW_MANY": "3"}).clients[0].environment["MESSAGES"] == "3"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (edited("  init: true\n", "  init: true\n  cpus: 0.5\n"), "votesync does not act on `cpus`"),
        (edited('MESSAGES: "50"', 'MESAGES: "7"'), "nothing reads the variable MESAGES"),
        (THREE + "networks: {other: {}}\n", "votesync does not act on `networks`"),
    ],
)
def test_what_nobody_acts_on_is_noted(text: str, note: str) -> None:
    assert any(note in said for said in read(text).notes)


@pytest.mark.parametrize(
    ("text", "service"), [("1", "cluster_sync_2"), ("cluster_sync_3", "cluster_sync_3"), ("client_1", "client_1")]
)
def test_a_node_is_found_by_id_and_by_name(text: str, service: str) -> None:
    assert read(THREE).find(text).name == service


@pytest.mark.parametrize("text", ["3", "-1", "cluster_sync_4", "", "\u00b2"])
def test_what_is_no_node_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(THREE).find(text)
    assert caught.value.hint


JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(
    key=st.sampled_from(
        ["image", "command", "environment", "volumes", "ports", "healthcheck", "depends_on", "build", "labels", "tmpfs"]
    ),
    junk=JUNK,
)
def test_no_junk_ends_in_a_traceback(key: str, junk: object) -> None:
    document = yaml.safe_load(THREE)
    document["services"]["cluster_sync_1"][key] = junk
    with contextlib.suppress(ComposeFileError):  # the only way in which it may say no
        read(yaml.safe_dump(document))
