"""`python -m tests.simulation`: replay a seed or a plan, run a range of seeds, or as many as fit into a time."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.plan import Plan
from tests.simulation.recorded import record
from tests.simulation.runner import Batch, run_many, run_plan
from tests.simulation.shrink import explain
from tests.simulation.totals import Totals

SAY_EVERY_S = 60.0


def main(arguments: list[str]) -> int:
    """0: all promises kept; 1: one was broken."""
    asked = _parser().parse_args(arguments)
    if asked.record:
        record()
        return 0
    if asked.seed is not None or asked.plan is not None:
        return _one(Plan.from_json(asked.plan) if asked.plan else Plan.draw(asked.seed), asked)
    first, _, last = (asked.seeds or ("0:" if asked.seconds else "0:2000")).partition(":")
    started = time.monotonic()
    batch = run_many(int(first), int(last) if last else None, asked.jobs, asked.seconds, Progress().tell)
    for line in batch.totals.lines():
        print(line)
    print(f"{len(batch.failed)} seeds broke a promise; {time.monotonic() - started:.0f} s on {asked.jobs} processes")
    if batch.failed:
        print("\n".join(explain(batch.failed[0], asked.shrink)))
    return 1 if batch.failed else 0


def _one(plan: Plan, asked: argparse.Namespace) -> int:
    result = run_plan(plan)
    if asked.trace:
        print("\n".join(result.trace))
    if result.broken is not None:
        print("\n".join(explain(result, asked.shrink)))
        return 1
    for line in result.totals.lines():
        print(line)
    print(f"seed {plan.seed}: all promises kept, trace hash {result.trace_hash}")
    return 0


class Progress:
    """Says at once what fails, and now and then how far it is."""

    def __init__(self) -> None:
        self._totals = Totals()
        self._next = time.monotonic() + SAY_EVERY_S

    def tell(self, batch: Batch) -> None:
        """A few more seeds are done."""
        for result in batch.failed:
            print(f"seed {result.plan.seed}: {result.text}", flush=True)
        self._totals.add(batch.totals)
        if time.monotonic() >= self._next:
            self._next += SAY_EVERY_S
            print(f"{self._totals.seeds:,} seeds, {self._totals.events:,} events so far", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay one seed")
    parser.add_argument("--plan", help="replay a plan, as JSON")
    parser.add_argument("--seeds", metavar="A:B", help="run the seeds A to B-1 (default 0:2000; `A:` with --for)")
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="run as long as this")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--shrink", type=float, default=60.0, metavar="SECONDS", help="how long to shrink a failure (0: not)")
    parser.add_argument("--record", action="store_true", help="write down the trace hashes that the tests compare with")
    parser.add_argument("--trace", action="store_true", help="print the end of the trace of the one seed")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
