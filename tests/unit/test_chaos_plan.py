"""The schedule of a chaos run: a pure function of its seed, within its time, with every kind and target in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_runtime.faults import Fault
from votesync_cli.chaos_plan import KINDS, LINK_KINDS, Step, draw, moments, requests, victims
from votesync_cli.chaos_results import ChaosResult, Deed, Facts, Moment, doubts_of, steadied, time_line

FACTS = Facts(acked=500, invoked=510, clients=5, under_load=9, leader_changes=2, turns_taken_over=3, restarts=1)
DEED = Deed(1, "kill leader", (2,), 10.0, 12.0, (10_000_000, 12_000_000))


def step(kind: str, target: str = "one", **more: object) -> Step:
    values = {"number": 1, "at": 1.0, "lasts": 2.0, "order": (3, 1, 4, 0, 2), "seed": 9, **more}
    return Step(kind=kind, target=target, **values)  # type: ignore[arg-type]  # each value has its field's own type


def test_the_same_seed_is_the_same_schedule_and_another_is_another() -> None:
    assert draw(7, 60, 5, 5, KINDS) == draw(7, 60, 5, 5, KINDS)
    assert draw(7, 60, 5, 5, KINDS) != draw(8, 60, 5, 5, KINDS)


def test_the_schedule_of_a_seed_never_changes() -> None:
    """A seed in a report has to mean the same next year; when this fails on purpose, say so in the release notes."""
    assert [(s.at, s.lasts, s.kind, s.target) for s in draw(1, 60, 5, 5, KINDS)][:3] == [
        (0.5, 3.05, "partition", "minority"),
        (0.73, 1.02, "delay", "one"),
        (1.6, 3.3, "skew", "minority"),
    ]


@given(st.integers(0, 2**32), st.floats(1, 300), st.integers(1, 9), st.integers(0, 9))
def test_every_schedule_keeps_to_its_time_and_to_what_nodes_take(seed: int, seconds: float, nodes: int, clients: int) -> None:
    steps = draw(seed, seconds, nodes, clients, KINDS)
    assert steps or seconds < 1.2
    assert [s.number for s in steps] == list(range(1, len(steps) + 1))
    for s in steps:
        assert 0 <= s.at <= s.at + s.lasts <= seconds + 0.02
        chosen = victims(s, {"leader": 0, "holder": nodes - 1}, clients if s.kind == "client" else nodes)
        assert len(set(chosen)) == len(chosen)
        if s.kind in LINK_KINDS:
            assert chosen
            for request in requests(s, chosen, range(nodes)):
                if request["from"] and request.get("to") != []:
                    assert Fault.parse(request, range(nodes)).for_ms == pytest.approx(s.lasts * 1000, abs=1)


def test_a_minute_has_every_kind_and_every_target_and_faults_overlap() -> None:
    steps = draw(3, 60, 5, 5, KINDS)
    assert {s.kind for s in steps} == set(KINDS)
    assert {s.target for s in steps} == {"one", "leader", "holder", "minority", "majority", "all"}
    assert sum(a.at < b.at < a.at + a.lasts for a in steps for b in steps) > len(steps) / 2


def test_only_the_kinds_that_are_asked_for() -> None:
    assert {s.kind for s in draw(3, 60, 5, 5, ("kill", "pause"))} == {"kill", "pause"}


@pytest.mark.parametrize(
    ("target", "nodes"),
    [("one", (3,)), ("leader", (2,)), ("holder", ()), ("minority", (1, 3)), ("majority", (1, 3, 4)), ("all", (0, 1, 2, 3, 4))],
)
def test_who_a_target_is(target: str, nodes: tuple[int, ...]) -> None:
    assert victims(step("kill", target), {"leader": 2}, 5) == nodes


def test_what_the_nodes_are_asked() -> None:
    five = range(5)
    cut = requests(step("partition"), (3, 1), five)
    assert [(r["kind"], r["from"], r["to"], r["for_ms"]) for r in cut] == [
        ("cut", [3, 1], [0, 2, 4], 2000),
        ("cut", [0, 2, 4], [3, 1], 2000),
    ]
    assert [(r["from"], r["to"]) for r in requests(step("cut", way="in"), (3,), five)] == [([0, 1, 2, 4], [3])]
    assert requests(step("partition", "all"), five, five)[0]["to"] == [0, 1, 2, 3, 4]
    assert requests(step("skew", amount=-200.0), (3,), five)[0]["amount"] == -200.0
    delays = requests(step("delay", amount=30.0, jitter=3.0), (3,), five)
    assert [r["jitter"] for r in delays] == [3.0, 3.0]


def test_an_end_comes_before_a_beginning_at_the_same_moment() -> None:
    first, second = step("kill", at=0.0, lasts=2.0), step("pause", number=2, at=2.0, lasts=1.0)
    assert [(at, begins, s.number) for at, begins, s in moments([second, first])] == [
        (0.0, True, 1), (2.0, False, 1), (2.0, True, 2), (3.0, False, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("deeds", "facts", "unchecked", "says"),
    [
        ((), FACTS, (), "no fault could be made"),
        ((DEED,), FACTS, ("majority",), "no evidence for majority"),
        ((DEED,), Facts(500, 510, 5, 0, 0, 0, 0), (), "hit nothing"),
        ((DEED,), Facts(49, 60, 5, 1, 0, 0, 0), (), "only 49 messages"),
    ],
)
def test_what_makes_a_run_prove_nothing(deeds: tuple[Deed, ...], facts: Facts, unchecked: tuple[str, ...], says: str) -> None:
    (doubt,) = doubts_of(deeds, facts, unchecked)
    assert says in doubt


def test_a_good_run_leaves_no_doubt() -> None:
    assert doubts_of((DEED,), FACTS, ()) == ()


@pytest.mark.parametrize(
    ("wrong", "doubts", "verdict", "code"),
    [((), (), "PASS", 0), (("lost",), ("few",), "FAIL", 1), ((), ("few",), "INCONCLUSIVE", 3)],
)
def test_the_verdict(wrong: tuple[str, ...], doubts: tuple[str, ...], verdict: str, code: int) -> None:
    line = ("0.000 s chaos",) if wrong else ()
    result = ChaosResult(5, 60.0, (DEED,), FACTS, wrong, doubts, ("the report",), line, Path("r"))
    assert result.exit_code == code
    assert result.to_text().splitlines()[-1].startswith(f"{verdict}: seed 5")
    assert list(result.to_json())[-1]["verdict"] == verdict
    assert ("time line" in result.to_text()) == bool(wrong)


def test_the_time_line_shows_what_was_near_and_counts_what_it_leaves_out() -> None:
    moments_ = [Moment(float(at), "node 1", f"event {at}") for at in reversed(range(200))]
    near = time_line(moments_, [100.0], margin=2.0)
    assert [line.split("event ")[1] for line in near] == ["98", "99", "100", "101", "102"]
    whole = time_line(moments_, [], most=10)
    assert len(whole) == 11
    assert "(190 more)" in whole[5]
    assert time_line([], []) == ()


def test_the_skews_of_a_node_are_taken_off_its_times_again() -> None:
    def fault(ts: float, amount: float, left: int | None) -> dict[str, object]:
        return {"ts": ts, "event": "fault", "fault": "skew", "detail": {"kind": "skew", "amount": amount, "left_ms": left}}

    log = [
        {"ts": 100.0, "event": "start"},
        fault(3701.0, 3_600_000.0, 5000),  # at 101, until 106
        {"ts": 3702.0, "event": "vote"},
        fault(3703.0 - 2.0, -2000.0, 1000),  # at 103, until 104
        {"ts": 3703.5 - 2.0, "event": "heal", "fault": "drop"},
        {"ts": 3704.0, "event": "heal", "fault": "skew"},
        {"ts": 106.0, "event": "heal", "fault": "skew"},
        fault(207.0, 100_000.0, None),
        {"ts": 108.0, "event": "start"},
    ]
    assert [event["ts"] for event in steadied(log)] == [100.0, 101.0, 102.0, 103.0, 103.5, 104.0, 106.0, 107.0, 108.0]
