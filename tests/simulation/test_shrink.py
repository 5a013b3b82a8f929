"""A failing seed is explained: what broke, the command that replays it, a smaller plan that breaks the same, its trace."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from node_runtime.errors import DiskError
from tests.simulation.checkers import Checker, Violation
from tests.simulation.disk import SimDisk
from tests.simulation.node_disk import OUTPUT, STAGES, Doom, Killed, NodeDisk
from tests.simulation.plan import KINDS, Plan
from tests.simulation.runner import Result, run_many, run_plan
from tests.simulation.shrink import explain, shrink
from tests.simulation.world import World


class NoDeaths(Checker):
    """A promise that nobody makes, so that there is something to find."""

    def on_trace(self, world: Any, node: Any, event: dict[str, Any]) -> None:
        if event["event"] == "start" and node.starts > 1:
            raise Violation(self, f"node {node.id} had died")


def run_strictly(plan: Plan) -> Result:
    return run_plan(plan, lambda plan: World(plan, extra=[NoDeaths()]))


def failing() -> Result:
    results = map(run_strictly, filter(lambda plan: len(plan.kinds) > 6, map(Plan.draw, range(200))))
    return next(result for result in results if result.broken)


def test_a_failing_plan_becomes_small_and_fails_for_the_same_reason() -> None:
    found = failing()
    small = shrink(found, 120.0, run_strictly)
    assert small.broken == found.broken == "NoDeaths"
    assert len(small.plan.kinds) == 1
    assert small.plan.kinds < found.plan.kinds
    assert (small.plan.nodes, small.plan.clients, small.plan.messages) == (1, 1, 1)
    assert run_strictly(small.plan).trace_hash == small.trace_hash, "it replays"


def test_a_failure_is_explained() -> None:
    found = failing()
    lines = explain(found, 0)
    assert lines[0].startswith(f"seed {found.plan.seed}: NoDeaths: node ")
    assert f"make sim SEED={found.plan.seed}" in lines[1]
    plan = lines[2].partition("--plan '")[2].removesuffix("'")
    assert Plan.from_json(plan) == found.plan
    assert json.loads(plan)["kinds"] == sorted(found.plan.kinds)
    assert any('"start"' in line for line in lines[4:])


def test_a_node_that_stops_for_good_breaks_a_promise() -> None:
    class Stops(Checker):
        def on_trace(self, world: Any, node: Any, event: dict[str, Any]) -> None:
            raise ZeroDivisionError("nothing that a node could live with")

    result = run_plan(Plan.calm(1), lambda plan: World(plan, extra=[Stops()]))
    assert result.broken == "ZeroDivisionError"
    assert "a node stopped" in result.text


def test_seeds_in_two_processes_and_in_one_are_the_same_runs() -> None:
    here, there = run_many(40, 64, 1), run_many(40, 64, 2)
    assert here.totals == there.totals
    assert here.totals.seeds == 24


def test_plans_draw_every_kind_and_each_seed_its_own() -> None:
    plans = [Plan.draw(seed) for seed in range(300)]
    assert frozenset().union(*(plan.kinds for plan in plans)) == set(KINDS)
    assert any(not plan.kinds for plan in plans)
    assert len({plan.to_json() for plan in plans}) == 300


class Deaf:
    """A watcher that only counts."""

    def __init__(self) -> None:
        self.deaths: list[tuple[str, str]] = []

    def writes(self, node: int, start: int, data: bytes) -> None:
        assert data or start == 0

    def died(self, node: int, kind: str, stage: str) -> None:
        self.deaths.append((kind, stage))

    def forbidden(self, node: int, call: str) -> None:
        raise AssertionError(call)

    def slow(self, node: int) -> None:
        raise DiskError("this disk is never asked")


@pytest.mark.parametrize("stage", STAGES)
def test_a_process_dies_before_in_the_middle_or_after_a_write_and_does_nothing_more(stage: str) -> None:
    shared, watcher = SimDisk(random.Random(1)), Deaf()
    shared.add_directory("/shared")
    storage = NodeDisk(0, SimDisk(random.Random(2)), shared, watcher, Doom("pwrite", 1, stage))
    handle = storage.open(OUTPUT, create=True)
    storage.pwrite(handle, b"a" * 100, 0)
    with pytest.raises(Killed):
        storage.pwrite(handle, b"b" * 9000, 100)
    written = {"before": 0, "middle": 4096 - 100, "after": 9000}[stage]
    assert shared.content(OUTPUT) == b"a" * 100 + b"b" * written
    assert watcher.deaths == [("pwrite", stage)]
    with pytest.raises(Killed):
        storage.close(handle)
