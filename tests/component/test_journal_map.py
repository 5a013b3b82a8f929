"""The map of the journal against a plain list of all frames."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from node_runtime.journal_map import Place, RoundMap


class Stored(NamedTuple):
    number: int
    first: int
    last: int
    place: Place


@pytest.mark.parametrize("seed", range(10))
def test_the_map_agrees_with_a_plain_list(seed: int) -> None:
    """A find starts at most 64 KiB before the live frame, and a replaced round is never live."""
    rng = random.Random(seed)
    known = RoundMap()
    frames: list[Stored] = []
    live: dict[int, Stored] = {}
    offset = last = 0
    for number in range(1, 120):
        after = max(0, last - rng.randrange(1, 40)) if rng.random() < 0.2 else last
        size = rng.choice((1000, 20_000, 70_000))
        if after < last:
            known.cut(number, after)
        frame = Stored(number, after + 1, after + rng.randint(1, 4), Place(1, offset))
        last = frame.last
        known.add(frame.first, frame.last, 1, offset, size)
        frames.append(frame)
        live = {index: held for index, held in live.items() if index <= after}
        live.update(dict.fromkeys(range(frame.first, frame.last + 1), frame))
        offset += size
        assert known.last == last
        for index, held in live.items():
            place = known.find(index)
            assert place <= held.place
            between = [other for other in frames if place <= other.place < held.place and other.number in live_numbers(live)]
            assert not between or held.place.offset - between[0].place.offset < 64 * 1024 + 70_000
            assert index <= known.live_to(held.number)
        for other in frames:
            for index in range(other.first, other.last + 1):
                assert (index <= known.live_to(other.number)) is (live.get(index) is other)
    assert len(known) <= len(live)


def live_numbers(live: dict[int, Stored]) -> set[int]:
    return {held.number for held in live.values()}


def test_many_frames_are_a_few_entries() -> None:
    known = RoundMap()
    for number in range(1, 100_001):
        known.add(number, number, 1, number * 500, 500)
    assert len(known) == -(-100_000 // -(-65536 // 500))
