"""A process that dies in the middle of a call, starts again, and only then loses power: nothing promised may hang on a name.

Found by the simulator: a restart takes for granted what it sees, but a name that no fsync covered is not there for good.
"""

from __future__ import annotations

import errno
import random

import pytest

from node_runtime.errors import DiskError
from node_runtime.journal import HardState, Journal
from node_runtime.messages import Round
from node_runtime.shared_file import SharedFile
from tests.component.disk_bench import SimBench, make_rounds, open_journal
from tests.simulation.disk import SimDisk


def dies_at(bench: SimBench, kind: str, after: int, path: str = "") -> None:
    """The next process does not survive its `after`-th call of this kind; the machine goes on."""
    bench.disk.fail(kind, errno.EIO, after=after, path=path)


def append_all(journal: Journal, rounds: list[Round]) -> None:
    """One frame a round."""
    for round_ in rounds:
        journal.append(round_.index - 1, (round_,), 0, 0)


@pytest.mark.parametrize("seed", range(12))
def test_rule_26_a_segment_whose_name_was_not_synced_is_synced_by_the_next_start(seed: int) -> None:
    bench = SimBench(seed)
    rounds = make_rounds(60, text="z" * 1500)
    storage = bench.disk.mount()
    journal, _ = open_journal(storage, bench.root)
    journal.save_state(HardState(9, 1))
    dies_at(bench, "fsync_dir", 1, "/journal")
    with pytest.raises(DiskError):
        append_all(journal, rounds)
    storage.kill()
    assert "00000002.log" in bench.names(f"{bench.root}/journal")
    storage = bench.disk.mount()
    journal, replayed = open_journal(storage, bench.root)
    last = len(replayed.rounds)
    journal.append(last, rounds[last : last + 3], 0, 0)
    bench.disk.crash()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == rounds[: last + 3]
    assert not journal.recovering


@pytest.mark.parametrize("seed", range(12))
def test_rule_26_a_vote_does_not_hang_on_the_unsynced_name_of_the_state_file(seed: int) -> None:
    bench = SimBench(seed)
    for after in (2, 1):  # the first process dies at its second one, for the state file; the next one at its first
        storage = bench.disk.mount()
        dies_at(bench, "fsync_dir", after, bench.root)
        with pytest.raises(DiskError):
            open_journal(storage, bench.root)
        storage.kill()
    assert "state" in bench.names(bench.root)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(4, 2))
    bench.disk.crash()
    journal, _ = open_journal(bench.mount(), bench.root)
    assert journal.state == HardState(4, 2)


@pytest.mark.parametrize("kind", ["open", "pwrite", "fdatasync", "rename", "fsync_dir", "allocate"])
@pytest.mark.parametrize("after", range(1, 12))
def test_rule_21_a_recovery_that_dies_after_moving_the_first_segment_is_taken_up_again(kind: str, after: int) -> None:
    bench = SimBench(after)
    storage = bench.disk.mount()
    journal, _ = open_journal(storage, bench.root)
    journal.save_state(HardState(9, 1))
    append_all(journal, make_rounds(5))
    storage.kill()
    bench.disk.flip(f"{bench.root}/journal/00000001.log", 5)  # its header: no segment is sound
    dies_at(bench, kind, after)
    storage = bench.disk.mount()
    try:
        open_journal(storage, bench.root)
    except DiskError:
        storage.kill()
    else:
        storage.kill()
    bench.disk.faults.clear()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert journal.recovering
    assert replayed.rounds == []
    assert journal.state == HardState(9, 1, True)


@pytest.mark.parametrize("seed", range(12))
def test_rule_26_the_name_of_the_shared_file_is_synced_by_whoever_opens_it(seed: int) -> None:
    disk = SimDisk(random.Random(seed))
    first = disk.mount()
    disk.add_directory("/shared")
    disk.fail("fsync_dir", errno.EIO)
    with pytest.raises(DiskError):
        SharedFile.open(first, "/shared")
    first.kill()
    file = SharedFile.open(disk.mount(), "/shared")
    assert file.write(0, b"decided") is None
    file.sync()
    disk.crash()
    assert disk.content("/shared/output.txt") == b"decided"
