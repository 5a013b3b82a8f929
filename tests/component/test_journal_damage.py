"""Every kind of damage to a journal: torn writes are cut (rule 20), rot makes the node recover (rule 21)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from node_runtime.errors import JournalError
from node_runtime.journal import HardState
from node_runtime.journal_frames import Owner, encode_promised
from node_runtime.messages import Round
from tests.component.disk_bench import TAG, Bench, OsBench, SimBench, fill, make_rounds, open_journal

Damage = Callable[[bytes], bytes]


@pytest.fixture(params=["os", "sim"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return OsBench(str(tmp_path / "n")) if request.param == "os" else SimBench(1)


def segment(bench: Bench, number: int = 1) -> str:
    return f"{bench.root}/journal/{number:08d}.log"


def rewind_promise(bench: Bench, rounds: list[Round]) -> None:
    """Make the last frame one whose fdatasync never returned: the watermark is the one from before it."""
    bench.put(f"{bench.root}/promised", encode_promised(Owner(TAG, 0).seed, len(rounds) - 1))


def broken_files(bench: Bench) -> list[str]:
    return [name for name in bench.names(f"{bench.root}/journal") if ".broken" in name]


def check(bench: Bench, rounds: list[Round], kept: int, recovering: bool) -> None:
    """The journal holds exactly the first `kept` rounds, takes more, and stays as it is after that."""
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == rounds[:kept]
    assert journal.recovering is recovering
    assert (journal.state.term, journal.state.voted_for) == (9, 1)
    assert journal.decided_hint <= kept
    more = make_rounds(2, after=rounds[kept - 1] if kept else None, term=9)
    journal.append(kept, more[:1], 0, 0)
    journal.close()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == rounds[:kept] + more[:1]
    assert journal.recovering is recovering
    if recovering:
        journal.save_state(HardState(9, 1, False))
        journal.close()
        journal, replayed = open_journal(bench.mount(), bench.root)
        assert not journal.recovering
        assert replayed.rounds == rounds[:kept] + more[:1]
    journal.close()


def test_rule_20_a_torn_tail_is_cut_at_every_byte(bench: Bench) -> None:
    rounds = make_rounds(4)
    ends = fill(bench.mount(), bench.root, rounds)
    path = segment(bench)
    data = bench.get(path)
    rewind_promise(bench, rounds)
    promised = bench.get(f"{bench.root}/promised")
    used = len(data[: ends[3]].rstrip(b"\0"))
    for cut in range(ends[2], used):
        bench.put(path, data[:cut] + bytes(len(data) - cut))
        bench.put(f"{bench.root}/promised", promised)
        journal, replayed = open_journal(bench.mount(), bench.root)
        assert replayed.rounds == rounds[:3]
        assert not journal.recovering
        journal.close()
        assert bench.get(path) == data[: ends[2]] + bytes(len(data) - ends[2])
        names = broken_files(bench)
        assert len(names) == (1 if data[ends[2] : cut].strip(b"\0") else 0)
        for name in names:
            assert bench.get(f"{bench.root}/journal/{name}") == data[ends[2] : cut].rstrip(b"\0")
            bench.remove(f"{bench.root}/journal/{name}")


def test_rule_20_a_torn_tail_with_its_first_sector_missing_is_cut(bench: Bench) -> None:
    rounds = make_rounds(4, messages=40)
    ends = fill(bench.mount(), bench.root, rounds)
    data = bench.get(segment(bench))
    hole = ends[2] + 512
    bench.put(segment(bench), data[: ends[2]] + bytes(512) + data[hole:])
    rewind_promise(bench, rounds)
    check(bench, rounds, 3, recovering=False)
    assert len(broken_files(bench)) == 1


def test_rule_21_a_promised_tail_that_is_torn_is_rot(bench: Bench) -> None:
    rounds = make_rounds(4)
    ends = fill(bench.mount(), bench.root, rounds)
    data = bench.get(segment(bench))
    bench.put(segment(bench), data[: ends[3] - 30] + bytes(len(data) - ends[3] + 30))
    check(bench, rounds, 3, recovering=True)


def test_rule_21_a_flip_in_any_record_is_rot(bench: Bench) -> None:
    rounds = make_rounds(4)
    ends = [64, *fill(bench.mount(), bench.root, rounds)]
    path = segment(bench)
    data = bench.get(path)
    files = {name: bench.get(f"{bench.root}/{name}") for name in ("state", "promised")}
    for number, (start, end) in enumerate(pairwise(ends)):
        padding = -len(data[start:end].rstrip(b"\0")) % 8
        for place in range(start, end - padding, 37):
            for name, kept in files.items():
                bench.put(f"{bench.root}/{name}", kept)
            bench.put(path, data[:place] + bytes((data[place] ^ 16,)) + data[place + 1 :])
            journal, replayed = open_journal(bench.mount(), bench.root)
            assert replayed.rounds == rounds[:number]
            assert journal.recovering
            assert journal.decided_hint <= number
            journal.close()


def test_rule_21_rot_with_the_watermark_rewound_is_seen_by_the_frame_behind_it(bench: Bench) -> None:
    rounds = make_rounds(4)
    ends = fill(bench.mount(), bench.root, rounds)
    bench.put(f"{bench.root}/promised", encode_promised(Owner(TAG, 0).seed, 0))
    data = bench.get(segment(bench))
    bench.put(segment(bench), data[: ends[1] + 9] + b"?" + data[ends[1] + 10 :])
    check(bench, rounds, 2, recovering=True)


def truncate_in_frame(data: bytes) -> bytes:
    return data[:500]


def zero_sector(data: bytes) -> bytes:
    return data[:512] + bytes(512) + data[1024:]


def empty(_: bytes) -> bytes:
    return b""


def flip_header(data: bytes) -> bytes:
    return data[:9] + bytes((data[9] ^ 1,)) + data[10:]


@pytest.mark.parametrize("damage", [truncate_in_frame, zero_sector, empty, flip_header])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_rule_21_damage_to_any_segment_keeps_what_is_before_it(bench: Bench, damage: Damage, number: int) -> None:
    rounds = make_rounds(60, text="z" * 1500)
    fill(bench.mount(), bench.root, rounds)
    assert len(bench.names(f"{bench.root}/journal")) >= 3
    path = segment(bench, number)
    data = bench.get(path)
    bench.put(path, damage(data))
    journal, replayed = open_journal(bench.mount(), bench.root)
    kept = len(replayed.rounds)
    assert journal.recovering
    journal.close()
    assert kept < len(rounds)
    assert kept >= 15 * (number - 1)
    assert broken_files(bench)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.append(kept, rounds[kept:], 0, 0)
    assert journal.read(1, 1 << 30) == rounds
    journal.close()
    assert open_journal(bench.mount(), bench.root)[1].rounds == rounds


def test_rule_21_a_missing_middle_segment_is_rot(bench: Bench) -> None:
    rounds = make_rounds(60, text="z" * 1500)
    fill(bench.mount(), bench.root, rounds)
    bench.remove(segment(bench, 2))
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert journal.recovering
    assert replayed.rounds == rounds[: len(replayed.rounds)]
    assert 15 <= len(replayed.rounds) < 45
    assert "00000003.log.broken" in broken_files(bench)
    journal.close()


def test_rule_21_swapped_records_are_noticed(bench: Bench) -> None:
    rounds = make_rounds(5)
    ends = fill(bench.mount(), bench.root, rounds)
    data = bench.get(segment(bench))
    swapped = data[: ends[0]] + data[ends[1] : ends[2]] + data[ends[0] : ends[1]] + data[ends[2] :]
    assert swapped != data
    bench.put(segment(bench), swapped)
    check(bench, rounds, 1, recovering=True)


def test_rule_21_an_older_copy_put_back_is_noticed_by_the_watermark(bench: Bench) -> None:
    rounds = make_rounds(6)
    fill(bench.mount(), bench.root, rounds[:3])
    old = bench.get(segment(bench))
    fill(bench.mount(), bench.root, [])
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.append(3, rounds[3:], 0, 0)
    journal.close()
    bench.put(segment(bench), old)
    check(bench, rounds, 3, recovering=True)


def test_rule_21_without_a_watermark_nothing_is_taken_for_granted(bench: Bench) -> None:
    rounds = make_rounds(3)
    fill(bench.mount(), bench.root, rounds)
    bench.remove(f"{bench.root}/promised")
    check(bench, rounds, 3, recovering=True)


def test_an_empty_last_segment_with_a_broken_header_is_made_anew(bench: Bench) -> None:
    rounds = make_rounds(3)
    fill(bench.mount(), bench.root, rounds)
    bench.put(segment(bench, 2), b"rubbish")
    check(bench, rounds, 3, recovering=False)
    assert broken_files(bench) == ["00000002.log.broken"]


def test_rule_19_a_length_beyond_the_segment_takes_no_memory(bench: Bench) -> None:
    rounds = make_rounds(3)
    ends = fill(bench.mount(), bench.root, rounds)
    data = bytearray(bench.get(segment(bench)))
    data[ends[1] + 8 : ends[1] + 12] = b"\xff\xff\xff\x7f"
    bench.put(segment(bench), bytes(data))
    check(bench, rounds, 2, recovering=True)
    if isinstance(bench, SimBench):
        assert bench.disk.largest_read <= 2 * 1024 * 1024


def test_damage_while_running_stops_the_reader(bench: Bench) -> None:
    rounds = make_rounds(60, text="z" * 1500)
    fill(bench.mount(), bench.root, rounds)
    journal, _ = open_journal(bench.mount(), bench.root)
    data = bench.get(segment(bench, 1))
    bench.put(segment(bench, 1), data[:100] + b"!!" + data[102:])
    with pytest.raises(JournalError, match="cannot be read back"):
        journal.read(1, 1000)
    journal.close()
