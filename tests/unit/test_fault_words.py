"""The words of `votesync fault`: what each asks of the nodes, and what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.faults import Fault, FaultError, LinkFaults
from votesync_cli.errors import UsageError
from votesync_cli.fault_results import FaultDone, FaultList
from votesync_cli.fault_words import Order, duration_of, milliseconds, parse_fault

FIVE = range(5)


def parse(text: str, nodes: int = 5) -> Order:
    return parse_fault(text.split(), range(nodes), {"leader": 2, "holder": 4}.__getitem__)


def dead_links(order: Order, nodes: int = 5) -> set[tuple[int, int]]:
    """(from, to) of what the nodes themselves would drop of every message, or would not hear."""
    dead = set()
    every = [(a, b) for a in range(nodes) for b in range(nodes) if a != b]
    machines = {node: LinkFaults(node, range(nodes)) for node in range(nodes)}
    for request in order.requests:
        for machine in machines.values():
            machine.add(Fault.parse(request, range(nodes)), 0)
    for a, b in every:
        sent = machines[a].plan(b, 0) != []
        heard = not machines[b].deaf_to(a, 0)
        assert sent == heard, "both ends of a cut agree"
        if not sent:
            dead.add((a, b))
    return dead


@pytest.mark.parametrize("text", ["partition 0,1/2,3,4", "partition 0,1 / 2,3,4", "partition 2,4,3/1,0", "partition 0,1"])
def test_a_partition_cuts_every_link_between_the_groups_and_none_inside(text: str) -> None:
    between = {(a, b) for a in (0, 1) for b in (2, 3, 4)}
    assert dead_links(parse(text)) == between | {(b, a) for a, b in between}


def test_a_partition_may_have_many_groups() -> None:
    alive = {(a, b) for a in FIVE for b in FIVE if a != b} - dead_links(parse("partition 0/1/2,3"))
    assert alive == {(2, 3), (3, 2)}


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("cut 1->3", {(1, 3)}),
        ("cut 1:3", {(1, 3)}),
        ("cut 1→3", {(1, 3)}),
        ("cut 1<->3", {(1, 3), (3, 1)}),
        ("cut 1,2:0", {(1, 0), (2, 0)}),
        ("cut leader:0", {(2, 0)}),
        ("cut holder", {(4, n) for n in range(4)} | {(n, 4) for n in range(4)}),
        ("cut cluster_sync_1:cluster_sync_2", {(0, 1)}),
        ("cut 0,1:0,1", {(0, 1), (1, 0)}),
    ],
)
def test_what_a_cut_cuts(text: str, dead: set[tuple[int, int]]) -> None:
    assert dead_links(parse(text)) == dead


def test_cutting_everything_leaves_nothing() -> None:
    assert len(dead_links(parse("cut all"))) == 20


@pytest.mark.parametrize(
    ("text", "requests"),
    [
        (
            "delay 2 80ms±20ms",
            [
                {"kind": "delay", "from": [2], "to": [0, 1, 2, 3, 4], "amount": 80.0, "jitter": 20.0},
                {"kind": "delay", "from": [0, 1, 3, 4], "to": [2], "amount": 80.0, "jitter": 20.0},
            ],
        ),
        ("delay 0:1 1.5s", [{"kind": "delay", "from": [0], "to": [1], "amount": 1500.0}]),
        ("delay 5ms", [{"kind": "delay", "from": [0, 1, 2, 3, 4], "to": [0, 1, 2, 3, 4], "amount": 5.0}]),
        ("delay 0:1 80ms+-20ms", [{"kind": "delay", "from": [0], "to": [1], "amount": 80.0, "jitter": 20.0}]),
        ("drop 4:0 10%", [{"kind": "drop", "from": [4], "to": [0], "amount": 10.0}]),
        ("dup", [{"kind": "dup", "from": [0, 1, 2, 3, 4], "to": [0, 1, 2, 3, 4], "amount": 10.0}]),
        ("reorder 12.5% 1:2", [{"kind": "reorder", "from": [1], "to": [2], "amount": 12.5}]),
        ("skew 3 +2s", [{"kind": "skew", "from": [3], "amount": 2000.0}]),
        ("skew 0,1 -300ms", [{"kind": "skew", "from": [0, 1], "amount": -300.0}]),
    ],
)
def test_amounts(text: str, requests: list[dict[str, Any]]) -> None:
    found = parse(text).requests
    assert [{key: value for key, value in request.items() if key != "op"} for request in found] == requests
    assert [request["op"] for request in found] == ["fault"] * len(found)
    for request in found:
        Fault.parse(request, FIVE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no fault ''"),
        ("explode 3", "explode"),
        ("partition", "two groups"),
        ("partition 0,1,2,3,4", "two groups"),
        ("partition 0,1/1,2", "node 1"),
        ("partition 0/9", "'9' is no node"),
        ("cut", "one link"),
        ("cut 1:1", "no link to itself"),
        ("cut 1-", "the shell took"),
        ("cut 1:", "no node"),
        ("cut -1:2", "no node"),
        ("cut ²:1", "no node"),
        ("delay 2", "duration"),
        ("delay 2 80", "duration"),
        ("delay 2 80ms 90ms", "duration"),
        ("drop 4 110%", "percentage"),
        ("drop 4 x%", "percentage"),
        ("drop 4 0%", "percentage"),
        ("drop 4 nan%", "percentage"),
        ("drop 4 10% 20%", "percentage"),
        ("skew 3", "clocks"),
        ("skew 3 0s", "clocks"),
        ("skew 3 soon", "clocks"),
        ("skew x 1s", "no node"),
    ],
)
def test_what_is_refused_says_why_and_shows_how(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert says in caught.value.message.lower() or says in caught.value.message
    assert caught.value.exit_code == 2
    assert "votesync fault" in caught.value.hint or "Write" in caught.value.hint


def test_roles_are_asked_for_only_where_they_are_named() -> None:
    def never(role: str) -> int:
        pytest.fail(f"nobody asked for {role}")

    assert parse_fault(["drop", "4", "10%"], FIVE, never).requests


@given(st.lists(st.text(max_size=12), max_size=4), st.sampled_from(["partition", "cut", "delay", "drop", "dup", "skew"]))
def test_any_words_are_taken_or_refused_and_what_is_taken_a_node_can_read(words: list[str], kind: str) -> None:
    try:
        order = parse_fault([kind, *words], FIVE, lambda role: 0)
    except UsageError:
        return
    for request in order.requests:
        try:
            Fault.parse(request, FIVE)
        except FaultError as error:
            assert "amount" in str(error) or "jitter" in str(error), "only the size of a number is left to the node"  # noqa: PT017 - the one reason allowed


@pytest.mark.parametrize(
    ("text", "ms"),
    [("80ms", 80.0), ("+2s", 2000.0), ("-1m", -60_000.0), ("1h", 3_600_000.0), ("7", 7.0), ("7x", None), ("", None)],
)
def test_durations(text: str, ms: float | None) -> None:
    assert milliseconds(text) == ms


def test_for_takes_bare_seconds_and_refuses_what_is_none() -> None:
    assert duration_of("--for", "3") == 3.0
    assert duration_of("--for", "500ms") == 0.5
    for text in ("", "0", "-1s", "2d", "25h"):
        with pytest.raises(UsageError, match="--for"):
            duration_of("--for", text)


def test_results_say_who_took_part_and_who_was_not_asked() -> None:
    done = FaultDone("cut 1 -> 3", (1,), {"cluster_sync_4": "it is paused."}, 3.0)
    assert done.to_text() == "cut 1 -> 3 at node 1, for 3 s.\ncluster_sync_4 was not asked: it is paused."
    assert done.exit_code == 0
    assert FaultDone("cut 1 -> 3", (), {}).exit_code == 1


def test_the_list_merges_what_is_the_same_at_several_nodes() -> None:
    rule = {"kind": "cut", "from": [1], "to": [3], "amount": 0.0, "jitter": 0.0, "left_ms": 1500}
    skew = {"kind": "skew", "from": [0], "to": [0, 1], "amount": -300.0, "jitter": 0.0, "left_ms": None}
    shown = FaultList(((1, rule), (3, rule | {"left_ms": 1400}), (0, skew)), {})
    assert shown.table is not None
    assert shown.table.rows == (("cut", "1", "3", "-", "1,3", "1.5 s"), ("skew", "0", "-", "-300 ms", "0", "never"))
    assert FaultList((), {}).to_text() == "No faults are at work."
