"""The node's clock: monotonic whatever is done to it (rule 48)."""

from __future__ import annotations

import time

import pytest

from node_runtime.clock import MOST_STANDING, Clock, steady_ticks


def test_ticks_are_microseconds_of_the_monotonic_clock() -> None:
    before, ticks, after = time.monotonic(), Clock().ticks(), time.monotonic()
    assert before * 1e6 - 1 <= ticks <= after * 1e6 + 1


def test_a_skew_moves_both_clocks_and_zero_mends_them() -> None:
    clock = Clock()
    clock.skew(3_600_000_000)
    assert 3_599_000_000 < clock.ticks() - steady_ticks() < 3_601_000_000
    assert 3599 < clock.wall() - time.time() < 3601
    clock.skew(0)
    assert abs(clock.wall() - time.time()) < 1


def test_rule_48_ticks_never_run_backwards() -> None:
    clock = Clock()
    first = clock.ticks()
    clock.skew(-3_600_000_000)
    assert clock.ticks() == first
    clock.skew(1_000_000)
    ahead = clock.ticks()
    assert ahead > first
    clock.skew(0)
    assert clock.ticks() == ahead


@pytest.mark.parametrize("hours", [1, -1])
def test_rule_48_a_clock_that_is_mended_or_set_back_goes_on_soon(hours: int) -> None:
    now = [10_000_000_000]
    clock = Clock(lambda: now[0])
    clock.skew(hours * 3_600_000_000)
    before = clock.ticks()
    clock.skew(0 if hours > 0 else 2 * hours * 3_600_000_000)
    stood = clock.ticks()
    assert stood >= before
    now[0] += MOST_STANDING
    assert clock.ticks() - stood <= 1, "it stands for as long as it may"
    now[0] += 500_000
    assert 499_999 <= clock.ticks() - stood <= 500_001, "then it runs at its own speed"


def test_a_small_step_back_stands_for_just_as_long() -> None:
    now = [5_000_000]
    clock = Clock(lambda: now[0])
    start = clock.ticks()
    clock.skew(-200_000)
    now[0] += 200_000
    assert clock.ticks() == start
    now[0] += 1_000
    assert clock.ticks() == start + 1_000
