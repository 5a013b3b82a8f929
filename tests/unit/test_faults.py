"""Faults on demand: each kind does what it says to the links it names, for as long as it says, the same for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.faults import KINDS, MAX_RULES, Fault, FaultError, FaultPanel, LinkFaults

NODES = range(3)
MS = 1000  # ticks


def faults_of(node: int, *requests: dict[str, Any], now: int = 0, seed: int | None = None) -> LinkFaults:
    faults = LinkFaults(node, NODES, seed)
    for request in requests:
        faults.add(Fault.parse({"op": "fault", **request}, NODES), now)
    return faults


def panel_of(node: int = 0, allowed: bool = True) -> tuple[FaultPanel, LinkFaults, list[int]]:
    faults, skews = LinkFaults(node, NODES), list[int]()
    return FaultPanel(faults, NODES, allowed=allowed, skew=skews.append), faults, skews


def test_without_rules_nothing_is_active_and_a_message_goes_as_normal() -> None:
    faults = LinkFaults(0, NODES)
    assert not faults.active
    assert faults.plan(1, 0) == [0]


def test_a_cut_is_directed_and_holds_on_both_ends() -> None:
    cut = {"kind": "cut", "from": [0], "to": [1]}
    sender, receiver, third = (faults_of(node, cut) for node in NODES)
    assert sender.plan(1, 0) == []
    assert sender.plan(2, 0) == [0]
    assert not sender.deaf_to(1, 0)
    assert receiver.plan(0, 0) == [0]
    assert receiver.deaf_to(0, 0)
    assert not receiver.deaf_to(2, 0)
    assert not third.active


def test_only_a_cut_makes_the_receiver_deaf() -> None:
    for kind in sorted(set(KINDS) - {"cut", "skew"}):
        assert not faults_of(1, {"kind": kind, "amount": 100, "from": [0], "to": [1]}).active


def test_a_rule_without_from_and_to_is_for_every_link() -> None:
    faults = faults_of(1, {"kind": "cut"})
    assert [faults.plan(peer, 0) for peer in (0, 2)] == [[], []]
    assert [faults.deaf_to(peer, 0) for peer in (0, 2)] == [True, True]


def test_a_rule_ends_by_itself() -> None:
    faults = faults_of(0, {"kind": "cut", "from": 0, "for_ms": 10}, now=5 * MS)
    assert faults.plan(1, 15 * MS - 1) == []
    assert faults.plan(1, 15 * MS) == [0]
    assert [rule.fault.kind for rule in faults.take_ended(15 * MS)] == ["cut"]
    assert faults.take_ended(15 * MS) == []
    assert faults.plan(1, 15 * MS) == [0]
    assert not faults.active


def test_delayed_messages_come_late_and_in_order() -> None:
    faults = faults_of(0, {"kind": "delay", "amount": 20, "jitter": 15, "seed": 1})
    dues = []
    for now in range(0, 200 * MS, MS):
        (delay,) = faults.plan(1, now)
        dues.append(now + delay)
    assert dues == sorted(dues)
    late = [due - now for due, now in zip(dues, range(0, 200 * MS, MS), strict=True)]
    assert min(late) >= 5 * MS
    assert max(late) <= 35 * MS
    assert len(set(late)) > 50


def test_a_delay_that_is_healed_lets_nothing_overtake_what_is_on_its_way() -> None:
    faults = faults_of(0, {"kind": "delay", "amount": 20})
    assert faults.plan(1, 0) == [20 * MS]
    faults.heal()
    assert faults.active
    assert faults.plan(1, 5 * MS) == [15 * MS]
    assert faults.plan(2, 5 * MS) == [0]
    assert faults.plan(1, 20 * MS) == [0]
    assert not faults.active


@pytest.mark.parametrize(("kind", "hit"), [("drop", 0), ("dup", 2)])
def test_percent_is_about_the_share_of_messages(kind: str, hit: int) -> None:
    faults = faults_of(0, {"kind": kind, "amount": 30, "seed": 7})
    share = sum(len(faults.plan(1, 0)) == hit for _ in range(4000)) / 4000
    assert 0.26 < share < 0.34
    always = faults_of(0, {"kind": kind, "amount": 100})
    assert {len(always.plan(1, 0)) for _ in range(100)} == {hit}
    never = faults_of(0, {"kind": kind, "amount": 0})
    assert {len(never.plan(1, 0)) for _ in range(100)} == {1}


def test_a_reordered_message_is_overtaken_by_the_next() -> None:
    faults = faults_of(0, {"kind": "reorder", "amount": 50, "seed": 3})
    dues = [now + faults.plan(1, now)[0] for now in range(0, 100 * MS, MS)]
    assert dues != sorted(dues)
    assert any(due == now for due, now in zip(dues, range(0, 100 * MS, MS), strict=True))


@given(st.integers(0, 2**63 - 1))
def test_the_same_seed_does_the_same_harm(seed: int) -> None:
    requests = ({"kind": "drop", "amount": 40}, {"kind": "delay", "amount": 5, "jitter": 5}, {"kind": "dup", "amount": 20})
    one, two = (faults_of(0, *requests, seed=seed) for _ in range(2))
    assert [one.plan(1, now) for now in range(50)] == [two.plan(1, now) for now in range(50)]
    other = faults_of(0, *requests, seed=seed + 1)
    assert [one.plan(1, now) for now in range(50, 150)] != [other.plan(1, now) for now in range(50, 150)]


@given(
    st.lists(
        st.tuples(st.sampled_from(["cut", "delay", "drop", "dup", "reorder"]), st.floats(0, 100), st.integers(1, 50)),
        max_size=6,
    ),
    st.lists(st.integers(0, 60 * MS), min_size=1, max_size=30),
)
def test_whatever_the_rules_no_message_comes_before_it_was_sent_and_all_end(
    rules: list[tuple[str, float, int]], times: list[int]
) -> None:
    requests = [{"kind": kind, "for_ms": ms} | ({} if kind == "cut" else {"amount": amount}) for kind, amount, ms in rules]
    faults = faults_of(0, *requests)
    for now in sorted(times):
        assert all(delay >= 0 for delay in faults.plan(1, now))
    assert len(faults.take_ended(3_600_000 * MS)) == len(rules)
    assert faults.plan(1, 3_600_000 * MS) == [0]
    assert not faults.active


def test_skews_add_up_and_touch_no_link() -> None:
    faults = faults_of(0, {"kind": "skew", "amount": -250, "from": [0]}, {"kind": "skew", "amount": 50, "for_ms": 10})
    assert faults.skew_of(0) == -200 * MS
    assert faults.skew_of(10 * MS) == -250 * MS
    assert faults.plan(1, 0) == [0]
    assert faults_of(1, {"kind": "skew", "amount": -250, "from": [0]}).skew_of(0) == 0


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "kind is None. It takes one of cut"),
        ({"kind": "melt"}, "kind is 'melt'"),
        ({"kind": "cut", "amount": 3}, "no amount"),
        ({"kind": "delay"}, "needs an amount. It takes milliseconds from 0 to 60000"),
        ({"kind": "drop", "amount": 101}, "amount is 101. It takes percent from 0 to 100"),
        ({"kind": "drop", "amount": -1}, "amount is -1"),
        ({"kind": "drop", "amount": True}, "amount is True"),
        ({"kind": "drop", "amount": "5"}, "amount is '5'"),
        ({"kind": "drop", "amount": float("nan")}, "amount is nan"),
        ({"kind": "delay", "amount": float("inf")}, "amount is inf"),
        ({"kind": "delay", "amount": 10**400}, "amount is 1000"),
        ({"kind": "drop", "amount": 5, "jitter": 5}, "no jitter"),
        ({"kind": "delay", "amount": 5, "jitter": []}, "jitter is"),
        ({"kind": "cut", "from": [3]}, r"from is \[3\]. It takes a list of node ids from 0 to 2"),
        ({"kind": "cut", "to": []}, r"to is \[\]"),
        ({"kind": "cut", "to": "1"}, "to is '1'"),
        ({"kind": "cut", "to": [True]}, r"to is \[True\]"),
        ({"kind": "cut", "to": [{}]}, "to is"),
        ({"kind": "cut", "for_ms": 0}, "for_ms is 0"),
        ({"kind": "cut", "for_ms": "soon"}, "for_ms is 'soon'"),
        ({"kind": "cut", "seed": -1}, "seed is -1"),
        ({"kind": "cut", "seed": 1.5}, "seed is 1.5"),
        ({"kind": "cut", "seconds": 5}, "'seconds' is not part of a fault"),
        ({"kind": ["cut"]}, "kind is"),
        ({"kind": "skew", "amount": 5, "to": [1]}, "a skew has no `to`"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_what_it_takes(request_: dict[str, Any], words: str) -> None:
    with pytest.raises(FaultError, match=words):
        Fault.parse({"op": "fault", **request_}, NODES)


def test_the_number_of_rules_is_bounded() -> None:
    faults = faults_of(0, *({"kind": "cut"} for _ in range(MAX_RULES)))
    with pytest.raises(FaultError, match="Heal first"):
        faults.add(Fault.parse({"kind": "cut"}, NODES), 0)


def test_the_panel_starts_lists_and_heals() -> None:
    panel, faults, _ = panel_of()
    first = panel.handle({"op": "fault", "kind": "cut", "from": [0], "to": [1], "for_ms": 40}, 0)
    assert first == {
        "ok": True,
        "applied": True,
        "fault": {"id": 1, "kind": "cut", "from": [0], "to": [1], "amount": 0.0, "jitter": 0.0, "left_ms": 40},
    }
    panel.handle({"op": "fault", "kind": "drop", "amount": 10}, 0)
    elsewhere = panel.handle({"op": "fault", "kind": "cut", "from": [1], "to": [2]}, 0)
    assert elsewhere == {"ok": True, "applied": False, "fault": None}
    listed = panel.handle({"op": "faults"}, 15 * MS)
    assert [(fault["id"], fault["left_ms"]) for fault in listed["faults"]] == [(1, 25), (2, None)]
    assert [fault["id"] for fault in panel.handle({"op": "heal", "id": 2}, 15 * MS)["healed"]] == [2]
    assert [fault["id"] for fault in panel.handle({"op": "heal"}, 15 * MS)["healed"]] == [1]
    assert panel.handle({"op": "heal"}, 15 * MS) == {"ok": True, "healed": []}
    assert faults.plan(1, 15 * MS) == [0]


def test_the_panel_answers_nonsense_with_an_error() -> None:
    panel, _, _ = panel_of()
    assert panel.handle({"op": "fault", "kind": "melt"}, 0)["ok"] is False
    assert panel.handle({"op": "heal", "id": "all"}, 0)["ok"] is False


def test_faults_are_refused_where_the_cluster_does_not_allow_them() -> None:
    panel, faults, _ = panel_of(allowed=False)
    reply = panel.handle({"op": "fault", "kind": "cut"}, 0)
    assert reply == {"ok": False, "error": "this cluster takes no faults. Start it with `votesync up --faults`."}
    assert not faults.active
    assert panel.handle({"op": "faults"}, 0) == {"ok": True, "faults": []}


def test_the_panel_mends_the_clock_when_a_skew_ends_and_tells_what_ended_once() -> None:
    panel, _, skews = panel_of()
    panel.handle({"op": "fault", "kind": "skew", "amount": 100, "for_ms": 10}, 0)
    assert panel.poll(9 * MS) == []
    assert [fault["kind"] for fault in panel.poll(10 * MS)] == ["skew"]
    assert panel.poll(11 * MS) == []
    assert skews == [100 * MS, 0]


def test_what_ended_is_told_even_if_a_message_noticed_it_first() -> None:
    panel, faults, _ = panel_of()
    panel.handle({"op": "fault", "kind": "cut", "for_ms": 10}, 0)
    assert faults.plan(1, 10 * MS) == [0]
    assert [fault["kind"] for fault in panel.poll(10 * MS)] == ["cut"]
