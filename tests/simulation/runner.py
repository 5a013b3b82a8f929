"""Runs plans: one, a range of seeds in several processes, or as long as it is told; shrinks and prints what fails."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from tests.simulation.checkers import Violation
from tests.simulation.plan import Plan
from tests.simulation.totals import Totals
from tests.simulation.world import World

CHUNK = 10


@dataclass(frozen=True)
class Result:
    """How one run ended; `broken` names the checker or the exception, None where all promises were kept."""

    plan: Plan
    totals: Totals
    trace_hash: str
    broken: str | None = None
    text: str = ""
    trace: tuple[str, ...] = ()


def run_plan(plan: Plan, made: Callable[[Plan], World] = World) -> Result:
    """One run; an exception that stops a node for good breaks a promise too."""
    world = made(plan)
    try:
        world.run()
    except Violation as violation:
        return _broken(world, violation.checker, str(violation))
    except Exception as error:  # noqa: BLE001 - whatever it is, it would have stopped a node, and the seed must be told
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.filename.rpartition('/')[2]}:{where.lineno} in {where.name}"
        return _broken(world, type(error).__name__, f"a node stopped: {type(error).__name__}: {error} ({place})")
    return Result(plan, world.totals, world.trace_hash)


def _broken(world: World, name: str, text: str) -> Result:
    return Result(world.plan, world.totals, world.trace_hash, name, text, tuple(world.lines))


@dataclass(frozen=True)
class Batch:
    """The runs of a few seeds."""

    totals: Totals
    failed: tuple[Result, ...]


def run_seeds(seeds: Iterable[int]) -> Batch:
    """Run these seeds one after the other."""
    totals, failed = Totals(), []
    for seed in seeds:
        result = run_plan(Plan.draw(seed))
        totals.add(result.totals)
        if result.broken is not None:
            failed.append(result)
    return Batch(totals, tuple(failed))


def run_many(
    first: int, last: int | None, jobs: int, seconds: float | None = None, told: Callable[[Batch], None] | None = None
) -> Batch:
    """Run the seeds from `first` to before `last` (None: without end) in `jobs` processes, at most for `seconds`.

    `told` hears of each few seeds as soon as they are done.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    totals, failed = Totals(), list[Result]()
    chunks = _chunks(first, last, deadline)
    for batch in map(run_seeds, chunks) if jobs == 1 else _in_processes(chunks, jobs):
        totals.add(batch.totals)
        failed.extend(batch.failed)
        if told is not None:
            told(batch)
    return Batch(totals, tuple(sorted(failed, key=lambda result: result.plan.seed)))


def _chunks(first: int, last: int | None, deadline: float | None) -> Iterator[range]:
    while (last is None or first < last) and (deadline is None or time.monotonic() < deadline):
        end = first + CHUNK if last is None else min(first + CHUNK, last)
        yield range(first, end)
        first = end


def _in_processes(chunks: Iterator[range], jobs: int) -> Iterator[Batch]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        waiting = {pool.submit(run_seeds, chunk) for chunk in islice(chunks, 2 * jobs)}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(run_seeds, chunk) for chunk in islice(chunks, len(done))}
            yield from (future.result() for future in done)
