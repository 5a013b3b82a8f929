"""`python -m benchmarks NAME`: run one benchmark and keep its result; `report` makes docs/PERFORMANCE.md of all of them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import compare, curves, single, store, tables
from benchmarks.procs import BenchmarkError
from benchmarks.report import report
from benchmarks.store import Result
from benchmarks.systems.base import Span

Run = Callable[[argparse.Namespace], Result]


def span(options: argparse.Namespace, seconds: float) -> Span:
    """How long each measurement takes: `seconds` unless told."""
    return Span(options.seconds or seconds, options.warm_up, options.size)


def curve(name: str) -> Run:
    """One of the cost curves."""
    return lambda o: curves.CURVES[name](o.dir, span(o, 4.0), o.repetitions or 3)


RUNS: Mapping[str, Run] = {
    "compare": lambda o: compare.compare(o.dir, span(o, 5.0), o.repetitions or 3, o.only or ()),
    **{name: curve(name) for name in curves.CURVES},
    "long-log": lambda o: curves.long_log(o.dir, o.messages),
    "verify": lambda o: single.verify(o.dir, o.blocks, o.repetitions or 3),
    "up": lambda o: single.up(o.dir, o.repetitions or 5),
    "failover": lambda o: single.failover(o.dir, o.repetitions or 20),
    "idle": lambda o: single.idle(o.dir, o.seconds or 15.0, o.repetitions or 3),
}


def parser() -> argparse.ArgumentParser:
    """The options; those that a benchmark has no use for are not looked at."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure votesync, and others beside it.")
    made.add_argument("name", choices=[*RUNS, "all", "report"], help="what to measure; `all` takes the better part of an hour")
    made.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()), help="where files go: on a disk, not in memory")
    made.add_argument("--seconds", type=float, help="of each measurement")
    made.add_argument("--warm-up", type=float, default=1.0, help="seconds before, which do not count (default: 1)")
    made.add_argument("--repetitions", type=int, help="how often each is measured (default: 3; up 5, failover 20)")
    made.add_argument("--size", type=int, default=16, help="bytes of a message's text (default: 16)")
    made.add_argument("--only", action="append", metavar="NAME", help="compare: only systems whose names begin so")
    made.add_argument("--messages", type=int, default=10_000_000, help="long-log: how long the log gets")
    made.add_argument("--blocks", type=int, default=2_000_000, help="verify: blocks of the file")
    made.add_argument("--no-save", action="store_true", help="print the tables only, keep no result")
    return made


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; 1 where a benchmark could not go on."""
    options = parser().parse_args(argv)
    try:
        for name in {"all": tuple(RUNS), "report": ()}.get(options.name, (options.name,)):
            result = RUNS[name](options)
            if not options.no_save:
                store.save(name, result)
            sys.stdout.write(f"\n{tables.render(name, result)}\n")
            sys.stdout.flush()
        if options.name in ("all", "report"):
            report()
    except BenchmarkError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
