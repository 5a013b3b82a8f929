"""Makes a failing plan small: fewer kinds of faults, nodes, clients, messages, less time, while it still fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.simulation.plan import SECOND, Plan
from tests.simulation.runner import Result, run_plan

LAST_LINES = 40
TRIES = 4  # a smaller plan is another run; so a few seeds are tried for each


def shrink(failed: Result, seconds: float = 60.0, run: Callable[[Plan], Result] = run_plan) -> Result:
    """The smallest plan that was found to break the same promise within `seconds`, as it ended."""
    deadline = time.monotonic() + seconds
    best = failed
    again = True
    while again:
        again = False
        for smaller in _smaller(best.plan):
            found = _first_failing(smaller, failed.broken, deadline, run)
            if time.monotonic() > deadline:
                return found or best
            if found is not None:
                best, again = found, True
                break
    return best


def _first_failing(plan: Plan, broken: str | None, deadline: float, run: Callable[[Plan], Result]) -> Result | None:
    for attempt in range(TRIES):
        result = run(replace(plan, seed=plan.seed + attempt * 1_000_003))
        if result.broken == broken:
            return result
        if time.monotonic() > deadline:
            break
    return None


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans that are one step simpler, the largest steps first."""
    kinds = sorted(plan.kinds)
    if len(kinds) > 3:
        half = len(kinds) // 2
        yield replace(plan, kinds=frozenset(kinds[:half]))
        yield replace(plan, kinds=frozenset(kinds[half:]))
    for kind in kinds:
        yield replace(plan, kinds=plan.kinds - {kind})
    yield from (replace(plan, nodes=nodes) for nodes in (1, 2, 3, 5) if nodes < plan.nodes)
    yield from (replace(plan, clients=clients) for clients in (1, 2) if clients < plan.clients)
    yield from (replace(plan, messages=messages) for messages in (1, 2, 5, 20) if messages < plan.messages)
    yield from (replace(plan, fault_until=end * SECOND) for end in (1, 2, 4, 8) if end * SECOND < plan.fault_until)
    plain: dict[str, Any] = {"window": 1, "rounds_in_flight": 1, "round_messages": 64, "round_window_ms": 1, "think_ms": 0}
    for name, value in plain.items():
        if getattr(plan, name) != value:
            yield replace(plan, **{name: value})

def explain(result: Result, seconds: float) -> list[str]:
    """What a maintainer needs: what broke, the command that replays it, and the same for a smaller plan."""
    lines = [
        f"seed {result.plan.seed}: {result.text}",
        f"  replay: make sim SEED={result.plan.seed}   (trace hash {result.trace_hash})",
        f"  plan:   python -m tests.simulation --plan '{result.plan.to_json()}'",
    ]
    small = shrink(result, seconds) if seconds else result
    if small is not result:
        lines += [f"shrunk: {small.text}", f"  replay: python -m tests.simulation --plan '{small.plan.to_json()}'"]
    last = small.trace[-LAST_LINES:]
    return [*lines, f"the last {len(last)} lines of its trace (time, node, event):", *(f"  {line}" for line in last)]
