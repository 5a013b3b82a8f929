"""The arithmetic of a report, on values that can be worked out by hand, and against the slow way."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from votesync_cli.report import numbers
from votesync_cli.report.numbers import Bucket, Grid, evenness, grid, histogram, inversions, quantile, spread


@pytest.mark.parametrize(
    ("share", "value"), [(0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100), (0.01, 1), (0.001, 1)]
)  # fmt: skip
def test_a_quantile_is_the_least_value_that_so_many_do_not_exceed(share: float, value: int) -> None:
    assert quantile(range(1, 101), share) == value


def test_few_values_have_quantiles_too_and_none_has_none() -> None:
    assert quantile([7], 0.99) == 7
    assert quantile([1, 9], 0.5) == 1
    assert quantile([], 0.5) is None
    assert spread([3, 1, 2]) == (3, 2, 3, 3)
    assert spread([]) is None


@given(st.lists(st.integers(0, 10**9), min_size=1), st.floats(0.001, 1))
def test_a_quantile_splits_the_values_as_it_says(values: list[int], share: float) -> None:
    found = quantile(sorted(values), share)
    assert found is not None
    assert sum(value <= found for value in values) >= math.ceil(share * len(values) - 1e-6)
    assert sum(value < found for value in values) < share * len(values) + 1e-6


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**12))
def test_time_is_cut_into_few_round_parts_that_cover_it(start: int, span: int) -> None:
    cut = grid(start, start + span)
    assert 1 <= cut.parts <= numbers.PARTS
    assert str(cut.width).rstrip("0") in {"1", "2", "5"}
    assert cut.at(start) == 0
    assert cut.begin(cut.at(start + span)) <= start + span < cut.begin(cut.parts)


def test_values_go_into_the_part_of_their_time() -> None:
    cut = Grid(100, 10, 3)
    assert numbers.sums(cut, [(100, 1), (109, 2), (110, 4), (129, 8), (500, 16)]) == [3, 4, 24]
    assert numbers.spreads(cut, [(101, 5), (102, 9), (125, 1)]) == [(2, 5, 9, 9), None, (1, 1, 1, 1)]


def test_the_classes_of_a_histogram_follow_one_another_and_hold_everything() -> None:
    assert histogram([]) == []
    assert histogram([1000]) == [Bucket(1000, 1334, 1)]
    found = histogram([0, 1, 1, 999, 1000])
    assert (found[0].least, found[-1].below) == (0, 1334)
    assert [bucket.many for bucket in found if bucket.many] == [1, 2, 1, 1]


@given(st.lists(st.integers(0, 10**8), min_size=1))
def test_no_value_is_left_out_of_a_histogram(values: list[int]) -> None:
    found = histogram(sorted(values))
    assert sum(bucket.many for bucket in found) == len(values)
    assert all(a.below == b.least for a, b in pairwise(found))
    assert len(found) <= 70


@given(st.lists(st.integers(0, 20)))
def test_pairs_in_falling_order_are_counted_as_the_slow_way_counts_them(values: list[int]) -> None:
    slow = sum(values[i] > later for i in range(len(values)) for later in values[i + 1 :])
    assert inversions(values) == slow


def test_evenness_is_one_for_equals_and_least_where_one_has_everything() -> None:
    assert evenness([5, 5, 5, 5]) == 1
    assert evenness([8, 0, 0, 0]) == pytest.approx(0.25)
    assert evenness([0, 0]) == 1
    assert evenness([]) is None
