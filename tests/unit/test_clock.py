"""The node's clock: monotonic whatever is done to it (rule 48)."""

from __future__ import annotations

import time

from node_runtime.clock import Clock, steady_ticks


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
