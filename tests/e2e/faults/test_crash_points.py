"""A node dies at a write, a sync, a rename of a run of twenty rounds, or its disk fails there: nothing acknowledged is lost.

The numbers are those of such a run, start included; where a run makes fewer calls (a follower that lags takes several rounds at
once) it is made longer until the point is reached. strace counts each thread by itself.
"""

from __future__ import annotations

import signal

import pytest

from tests.e2e.faults.conftest import ALL, Tally, points
from tests.e2e.faults.trio import VICTIM, Trio, until

RUN = {"write": 70, "pwrite64": 49, "fdatasync": 28}
START = {"fsync": 6, "ftruncate": 4, "rename": 4, "fallocate": 1}  # of a node that has nothing yet
AGAIN = {"fsync": 3}  # of one that has
BATCHES = 6


def go(trio: Trio) -> bool:
    """Wait until the victim works or is dead, then send twenty messages, and again until it is dead; whether it is."""
    until(lambda: trio.code(VICTIM) is not None or trio.is_well(VICTIM), "it works or has ended")
    trio.send()
    for _ in range(BATCHES):
        if trio.code(VICTIM) is not None:
            return True
        trio.send()
    return False


def rest(trio: Trio) -> None:
    """Let the victim end, whatever it is at."""
    if trio.code(VICTIM) is None:
        trio.end(VICTIM)
    else:
        trio.forget(VICTIM)


def killed(trio: Trio, call: str, number: int) -> bool:
    """Run the victim until it is killed at this call; False where it never makes so many."""
    trio.start(VICTIM, "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")
    is_dead = go(trio)
    assert trio.code(VICTIM) in (None, -signal.SIGKILL), trio.errors(VICTIM).read_text()
    rest(trio)
    return is_dead


def failed(trio: Trio, call: str, number: int, error: str) -> bool:
    """Run the victim until its disk fails at this call; it has to end with code 4 and one line that says why."""
    said = trio.errors(VICTIM).stat().st_size if trio.errors(VICTIM).exists() else 0
    trio.start(VICTIM, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}")
    is_dead = go(trio)
    if not is_dead:
        assert "(INJECTED)" not in trio.calls.read_text(), f"{call} {number} failed with {error}, and the node goes on"
    else:
        text = trio.errors(VICTIM).read_text()[said:]
        assert trio.code(VICTIM) == 4, text
        assert "votesync node: " in text
        assert "by a bug" not in text
    rest(trio)
    return is_dead


def finish(trio: Trio) -> None:
    """The victim comes back, and all three are held against each other."""
    trio.start(VICTIM)
    trio.agree()
    trio.judge()


@pytest.mark.parametrize(("call", "number"), points(RUN | AGAIN, 3))
def test_a_follower_is_killed_at_this_call(followed: Trio, tally: Tally, call: str, number: int) -> None:
    tally.note("follower killed", killed(followed, call, number))


@pytest.mark.parametrize(("call", "number"), points(RUN | START, 3))
def test_a_leader_is_killed_at_this_call_and_another_goes_on(led: Trio, tally: Tally, call: str, number: int) -> None:
    led.start(1)
    led.start(2)
    tally.note("leader killed", killed(led, call, number))
    finish(led)


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(("call", "number"), points({"pwrite64": 49, "fdatasync": 28} | AGAIN, 3))
def test_rules_24_25_a_followers_disk_fails_at_this_call(
    followed: Trio, tally: Tally, call: str, number: int, error: str
) -> None:
    tally.note("follower's disk failed", failed(followed, call, number, error))


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"] if ALL else ["ENOSPC"])
@pytest.mark.parametrize(
    ("call", "number"), points({"pwrite64": 49, "fdatasync": 28, "fsync": 6, "rename": 4, "fallocate": 1}, 2)
)
def test_rules_24_25_a_leaders_disk_fails_at_this_call(led: Trio, tally: Tally, call: str, number: int, error: str) -> None:
    led.start(1)
    led.start(2)
    tally.note("leader's disk failed", failed(led, call, number, error))
    finish(led)


def test_nearly_all_of_these_points_were_reached(tally: Tally) -> None:
    if not tally.points:
        pytest.skip("the tests above did not run")
    print(tally.lines())
    for name, reached in tally.points.items():
        assert sum(reached) >= 0.8 * len(reached), f"{name}: {tally.lines()}"
