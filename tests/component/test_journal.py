"""The journal on real files and on the simulated disk: what is stored comes back, and only that."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from node_runtime.codec import pack_rounds
from node_runtime.errors import JournalError
from node_runtime.journal import HardState
from node_runtime.journal_frames import Owner, encode_frame
from node_runtime.messages import Round
from tests.component.disk_bench import SEGMENT, TAG, Bench, OsBench, SimBench, fill, make_rounds, open_journal


@pytest.fixture(params=["os", "sim"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return OsBench(str(tmp_path / "n")) if request.param == "os" else SimBench(1)


def test_a_new_journal_is_fresh_until_something_is_promised(bench: Bench) -> None:
    for _ in range(2):
        journal, replayed = open_journal(bench.mount(), bench.root)
        assert journal.fresh
        assert not journal.recovering
        assert (journal.state, journal.last_index, replayed.rounds) == (HardState(), 0, [])
        journal.close()
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(1, 0))
    assert not journal.fresh
    journal.close()
    journal, _ = open_journal(bench.mount(), bench.root)
    assert not journal.fresh
    journal.close()


def test_rounds_and_hints_come_back(bench: Bench) -> None:
    rounds = make_rounds(20)
    fill(bench.mount(), bench.root, rounds)
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == rounds
    assert (journal.last_index, journal.decided_hint, journal.synced_hint) == (20, 20, rounds[-1].offset)
    assert journal.state == HardState(9, 1)
    journal.close()


def test_rule_01_term_and_vote_survive(bench: Bench) -> None:
    journal, _ = open_journal(bench.mount(), bench.root)
    for state in (HardState(3, None), HardState(3, 2), HardState(7, None, True)):
        journal.save_state(state)
        journal.close()
        journal, _ = open_journal(bench.mount(), bench.root)
        assert journal.state == state
    journal.close()


def test_rule_05_a_term_never_falls(bench: Bench) -> None:
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(3, 1))
    with pytest.raises(AssertionError, match="rule 5"):
        journal.save_state(HardState(2, 1))


def test_rule_22_no_gaps(bench: Bench) -> None:
    rounds = make_rounds(3)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.append(0, rounds[:1], 0, 0)
    with pytest.raises(JournalError, match="rule 22"):
        journal.append(2, rounds[2:], 0, 0)


def test_rule_23_the_decided_hint_is_never_above_the_last_round(bench: Bench) -> None:
    rounds = make_rounds(5)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(1))
    journal.append(0, rounds[:3], 99, 0)
    journal.append(3, rounds[3:], 0, 0)
    end = journal._end
    journal.close()
    journal, _ = open_journal(bench.mount(), bench.root)
    assert journal.decided_hint == 3
    journal.close()
    plant(bench, encode_frame(Owner(TAG, 0).seed, 3, 77, 0, 5, 0, b""), end)
    journal, _ = open_journal(bench.mount(), bench.root)
    assert journal.decided_hint == 5
    journal.close()


def plant(bench: Bench, frame: bytes, place: int) -> None:
    """Put a sound frame into the first segment that the journal itself would never write."""
    path = f"{bench.root}/journal/00000001.log"
    data = bench.get(path)
    bench.put(path, data[:place] + frame + data[place + len(frame) :])


def test_superseding_frames_replace_what_stood_there(bench: Bench) -> None:
    first = make_rounds(10)
    second = make_rounds(3, after=first[5], term=2)
    third = make_rounds(6, after=second[0], term=3)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(3))
    journal.append(0, first, 0, 0)
    journal.append(6, second, 0, 0)
    journal.append(7, third[:2], 0, 0)
    journal.append(9, third[2:], 0, 0)
    live = first[:6] + second[:1] + third
    for start in range(1, 14):
        assert journal.read(start, 1 << 20) == live[start - 1 :]
        assert journal.read(start, 1) == live[start - 1 : start]
    journal.close()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.cuts == [6, 7]
    assert replayed.rounds == live
    assert journal.read(1, 1 << 20) == live
    journal.close()


def test_reads_over_superseded_rounds_in_many_segments(bench: Bench) -> None:
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(50))
    live = make_rounds(5, text="x" * 3000)
    journal.append(0, live, 0, 0)
    for term in range(3, 40):
        keep = len(live) - term % 3
        live = live[:keep] + make_rounds(5, after=live[keep - 1], term=term, text="x" * 3000)
        journal.append(keep, live[keep:], 0, 0)
    assert len(bench.names(f"{bench.root}/journal")) > 10
    for _ in range(2):
        got: list[Round] = []
        while len(got) < len(live):
            part = journal.read(len(got) + 1, 40_000)
            assert part
            assert sum(len(round_.encoded) for round_ in part) <= 40_000
            got += part
        assert got == live
        journal.close()
        journal, _ = open_journal(bench.mount(), bench.root)
    assert journal.read(0, 100) == []
    assert journal.read(len(live) + 1, 100) == []
    journal.close()


def test_a_frame_larger_than_a_segment_gets_a_larger_one(bench: Bench) -> None:
    small = make_rounds(3)
    large = make_rounds(3, after=small[-1], messages=300, text="y" * 400)
    after = make_rounds(3, after=large[-1])
    assert len(large[0].encoded) > SEGMENT
    fill(bench.mount(), bench.root, small + large + after)
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == small + large + after
    assert journal.read(5, 1) == large[1:2]
    journal.close()


def test_rule_27_a_second_user_is_refused(bench: Bench) -> None:
    journal, _ = open_journal(bench.mount(), bench.root)
    with pytest.raises(JournalError, match="in use"):
        open_journal(bench.mount(), bench.root)
    journal.close()
    open_journal(bench.mount(), bench.root)[0].close()


def test_rule_27_another_cluster_or_node_is_refused(bench: Bench) -> None:
    fill(bench.mount(), bench.root, make_rounds(2))
    with pytest.raises(JournalError, match="another cluster"):
        open_journal(bench.mount(), bench.root, tag=b"cluster2")
    with pytest.raises(JournalError, match="belongs to node 0, this is node 3"):
        open_journal(bench.mount(), bench.root, node=3)
    open_journal(bench.mount(), bench.root)[0].close()


def test_rule_27_a_foreign_segment_is_refused(bench: Bench) -> None:
    fill(bench.mount(), bench.root, make_rounds(2))
    other = SimBench(2)
    journal, _ = open_journal(other.mount(), other.root, tag=b"cluster2")
    journal.close()
    bench.put(f"{bench.root}/journal/00000001.log", other.get(f"{other.root}/journal/00000001.log"))
    with pytest.raises(JournalError, match="another cluster"):
        open_journal(bench.mount(), bench.root)


def test_rule_28_a_missing_part_stops_the_node(bench: Bench) -> None:
    fill(bench.mount(), bench.root, make_rounds(2))
    state, segment = f"{bench.root}/state", f"{bench.root}/journal/00000001.log"
    kept = bench.get(state)
    for gone in (b"", None):
        bench.remove(state)
        if gone is not None:
            bench.put(state, gone)
        with pytest.raises(JournalError, match="state is missing"):
            open_journal(bench.mount(), bench.root)
        bench.put(state, kept)
    bench.remove(segment)
    with pytest.raises(JournalError, match="missing or empty"):
        open_journal(bench.mount(), bench.root)


def test_rule_28_one_slot_of_the_state_heals_two_damaged_stop(bench: Bench) -> None:
    fill(bench.mount(), bench.root, make_rounds(2))
    path = f"{bench.root}/state"
    good = bench.get(path)
    for place in (0, 20, 60, 4096, 4130):
        bench.put(path, good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :])
        journal, _ = open_journal(bench.mount(), bench.root)
        assert journal.state == HardState(9, 1)
        journal.close()
        assert bench.get(path)[:4096] == bench.get(path)[4096:]
    bench.put(path, b"\xff" * 8192)
    with pytest.raises(JournalError, match="damaged in both"):
        open_journal(bench.mount(), bench.root)


def test_an_older_state_file_is_noticed(bench: Bench) -> None:
    journal, _ = open_journal(bench.mount(), bench.root)
    old = bench.get(f"{bench.root}/state")
    journal.save_state(HardState(2, 1))
    journal.append(0, make_rounds(1, term=2), 0, 0)
    journal.close()
    bench.put(f"{bench.root}/state", old)
    with pytest.raises(JournalError, match="older copy"):
        open_journal(bench.mount(), bench.root)


def test_a_sound_frame_that_leaves_a_gap_stops_replay(bench: Bench) -> None:
    """Rule 22: such a frame can only come from a bug, so it is planted by hand."""
    rounds = make_rounds(4)
    end = fill(bench.mount(), bench.root, rounds[:2])[-1]
    plant(bench, encode_frame(Owner(TAG, 0).seed, 3, 0, 0, 3, 1, pack_rounds(rounds[3:])), end)
    with pytest.raises(JournalError, match="rule 22"):
        open_journal(bench.mount(), bench.root)


@pytest.mark.parametrize("seed", range(15))
def test_reads_find_every_live_round_after_cuts_of_any_depth(seed: int) -> None:
    """Shallow and deep cuts over many segments; a read from any round gives the live ones, before and after a restart."""
    rng = random.Random(seed)
    bench = SimBench(seed)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(100))
    live: list[Round] = []
    for term in range(1, 50):
        deep = rng.random() < 0.15
        keep = max(0, len(live) - (rng.randrange(60) if deep else rng.choice((0, 0, 0, 1, 2))))
        live = live[:keep] + make_rounds(rng.randint(1, 6), after=live[keep - 1] if keep else None, term=term, text="x" * 4000)
        journal.append(keep, live[keep:], 0, 0)
        first = rng.randint(1, len(live))
        assert journal.read(first, 20_000) == live[first - 1 :][: max(1, 20_000 // len(live[0].encoded))]
    journal.close()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == live
    for first in range(1, len(live) + 1):
        assert journal.read(first, 1) == live[first - 1 : first]
    assert journal.read(1, 1 << 30) == live
