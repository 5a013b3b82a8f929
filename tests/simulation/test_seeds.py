"""Thousands of seeds, split over two processes; every promise is kept in each of them."""

from __future__ import annotations

import pytest

from tests.simulation.node_disk import CALLS
from tests.simulation.plan import KINDS
from tests.simulation.runner import Batch, run_many
from tests.simulation.shapes import SHAPES
from tests.simulation.shrink import explain

SEEDS = 2_000
JOBS = 2


@pytest.fixture(scope="module")
def batch() -> Batch:
    """The runs, made once."""
    return run_many(0, SEEDS, JOBS)


def test_every_seed_keeps_every_promise(batch: Batch, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("", *batch.totals.lines(), sep="\n  ")
    if batch.failed:
        pytest.fail(f"{len(batch.failed)} seeds broke a promise.\n" + "\n".join(explain(batch.failed[0], 60)), pytrace=False)
    assert batch.totals.seeds == SEEDS
    assert batch.totals.acked == batch.totals.submitted, "every client was answered in the end"


def test_the_seeds_meet_every_fault(batch: Batch) -> None:
    totals = batch.totals
    assert set(totals.faults) == set(KINDS)
    assert set(totals.shapes) == set(SHAPES)
    assert set(totals.deaths) == set(CALLS), "a process died in every call to its disk"
    assert set(totals.sizes) == set(range(1, 10))
    assert {"leader", "voted", "timeout", "repair", "no_quorum"} <= set(totals.happened)
