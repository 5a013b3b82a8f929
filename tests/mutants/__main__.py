"""`python -m tests.mutants [NAME…]`: switch off one rule after the other and see whether anything notices."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import PatchError
from tests.mutants.runner import Broken, Limits, Verdict, check_baseline, judge

NAME, RULE = max(len(mutant.name) for mutant in MUTANTS), max(len(mutant.rule) for mutant in MUTANTS)


def row(verdict: Verdict) -> str:
    """One line of the table."""
    mutant = verdict.mutant
    assert mutant is not None
    by = [verdict.test] if verdict.test else []
    if verdict.checker:
        by.append(f"{verdict.checker} at seed {verdict.seed}, the {verdict.seeds}. tried")
    elif verdict.seeds:
        by.append(f"nothing in {verdict.seeds} seeds")
    return f"{mutant.name:{NAME}}  {mutant.rule:{RULE}}  {'; '.join(by) if verdict.caught else '-- SURVIVED: ' + '; '.join(by)}"


def main(arguments: list[str]) -> int:
    """0: everything was noticed. 1: something survived. 2: a patch does not fit, or the code fails without any."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--list", action="store_true", help="say which there are")
    parser.add_argument("--both", action="store_true", help="run the simulator even where a test has noticed")
    parser.add_argument("--no-tests", action="store_true", help="run the simulator alone")
    parser.add_argument("--seeds", type=int, default=400, help="seeds of the simulator for each (default 400)")
    parser.add_argument("--seconds", type=float, default=90, help="time in the simulator for each (default 90)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        parser.error(f"there is no mutant {', '.join(sorted(unknown))}; --list names them")
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant.name in options.names]
    if options.list:
        print("\n".join(f"{mutant.name:{NAME}}  {mutant.rule:{RULE}}  {mutant.file}" for mutant in chosen))
        return 0
    limits = Limits(options.seeds, options.seconds, options.both, not options.no_tests)
    try:
        check_baseline(chosen, limits)
        with ThreadPoolExecutor(options.jobs) as pool:
            verdicts = list(shown(pool.map(lambda mutant: judge(mutant, limits), chosen)))
    except (PatchError, Broken) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return conclude(verdicts)


def shown(verdicts: Iterable[Verdict]) -> Iterable[Verdict]:
    """Print each as it comes."""
    for verdict in verdicts:
        print(row(verdict), flush=True)
        yield verdict


def conclude(verdicts: list[Verdict]) -> int:
    """The sum, and the exit code."""
    survivors = [verdict.mutant.name for verdict in verdicts if verdict.mutant and not verdict.caught]
    by_test = sum(bool(verdict.test) for verdict in verdicts)
    by_seed = sum(bool(verdict.checker) for verdict in verdicts)
    print(f"{len(verdicts)} mutants: {by_test} noticed by tests, {by_seed} by the simulator, {len(survivors)} survived", end="")
    print(f": {', '.join(survivors)}" if survivors else "")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
