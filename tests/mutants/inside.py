"""What runs within a patched copy, in a process of its own with bounded memory: its tests, or seeds of the simulator."""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from pathlib import Path
from types import FrameType

MEMORY = 2 << 30
SEED_SECONDS = 30


class Hang(Exception):
    """A seed took far too much of the processor's time."""


def seeds(first: int, count: int, seconds: float) -> int:
    """Run seeds until one fails or the time is over; the last line says what came of it."""
    from tests.simulation.checkers import Violation
    from tests.simulation.plan import Plan
    from tests.simulation.world import World

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise Hang(f"a seed ran for {SEED_SECONDS} s of the processor's time")

    signal.signal(signal.SIGPROF, on_alarm)
    end = time.monotonic() + seconds
    done = 0
    for seed in range(first, first + count):
        if time.monotonic() >= end:
            break
        done += 1
        signal.setitimer(signal.ITIMER_PROF, SEED_SECONDS)
        try:
            World(Plan.draw(seed)).run()
        except Violation as violation:
            return _say(done, seed, violation.checker, str(violation))
        except Exception as error:  # noqa: BLE001 - whatever a defect makes of the run, it was noticed
            return _say(done, seed, type(error).__name__, str(error))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return _say(done, None, "", "")


def _say(done: int, seed: int | None, checker: str, text: str) -> int:
    print(json.dumps({"seeds": done, "seed": seed, "checker": checker, "text": text[:300]}))
    return 0 if seed is None else 1


def main(arguments: list[str]) -> int:
    """`tests PATH…` or `seeds FIRST COUNT SECONDS`."""
    import node_runtime

    here = Path.cwd()
    assert Path(node_runtime.__file__ or "").is_relative_to(here), "the patched copy is not the one that runs"
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if arguments[0] == "seeds":
        return seeds(int(arguments[1]), int(arguments[2]), float(arguments[3]))
    import pytest

    return int(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *arguments[1:]]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
