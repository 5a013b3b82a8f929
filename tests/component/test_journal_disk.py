"""The journal on a disk that crashes, is full, or fails: what was promised is there, what was not is never half there."""

from __future__ import annotations

import errno
import random
from contextlib import suppress

import pytest

from node_runtime.errors import DiskError, JournalError
from node_runtime.journal import HardState, Journal
from node_runtime.messages import Round
from tests.component.disk_bench import SEGMENT, TAG, SimBench, make_rounds, open_journal
from tests.simulation.disk import SimDisk


def used(disk: SimDisk, kind: str) -> list[str]:
    return [path for called, path in disk.calls if called == kind]


class Session:
    """One life after the other of a node that appends, cuts and votes at random, and what it has promised so far."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = SimBench(seed)
        self.states = [HardState()]  # the last is promised, or (when one more was tried) one of the last two
        self.logs: list[list[Round]] = [[]]

    def start(self) -> Journal:
        """Open; the journal must know what was promised, and may know what was just being written."""
        journal, replayed = open_journal(self.bench.mount(), self.bench.root)
        assert not journal.recovering
        assert replayed.rounds in self.logs
        assert journal.state in self.states
        self.logs, self.states = [replayed.rounds], [journal.state]
        return journal

    def live(self) -> None:
        """Work until the disk fails."""
        journal = self.start()
        self.bench.disk.fail(self.rng.choice(("pwrite", "fdatasync", "rename")), errno.EIO, after=self.rng.randint(1, 60))
        with suppress(DiskError):
            for _ in range(40):
                self.work(journal)
        self.bench.disk.faults.clear()
        self.bench.disk.crash()

    def work(self, journal: Journal) -> None:
        """One vote or one append."""
        rng, log, state = self.rng, self.logs[-1], self.states[-1]
        if rng.random() < 0.1:
            self.states.append(HardState(state.term + 1, rng.randrange(3)))
            journal.save_state(self.states[-1])
            del self.states[0]
            return
        keep = len(log) if rng.random() < 0.8 else rng.randint(0, len(log))
        tail = make_rounds(rng.randint(1, 4), after=log[keep - 1] if keep else None, term=state.term, text="q" * 900)
        self.logs.append(log[:keep] + tail)
        journal.append(keep, tail, keep, 0)
        del self.logs[0]


@pytest.mark.parametrize("seed", range(60))
def test_a_crash_loses_nothing_that_was_promised(seed: int) -> None:
    """Power fails at a random call, again and again; each time the node must know all that it had promised."""
    session = Session(seed)
    for _ in range(6):
        session.live()
    session.start()


def open_state(bench: SimBench) -> HardState:
    journal, _ = open_journal(bench.mount(), bench.root)
    found = journal.state
    journal.close()
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_crash_while_the_journal_is_made_leaves_a_fresh_one(seed: int) -> None:
    for after in range(1, 30):
        bench = SimBench(seed)
        kind = random.Random(seed * 100 + after).choice(("open", "pwrite", "fdatasync", "rename", "fsync_dir", "allocate"))
        bench.disk.fail(kind, errno.EIO, after=after)
        try:
            open_journal(bench.mount(), bench.root)[0].close()
        except DiskError:
            bench.disk.crash()
        bench.disk.faults.clear()
        journal, replayed = open_journal(bench.mount(), bench.root)
        assert journal.fresh
        assert replayed.rounds == []
        journal.close()


@pytest.mark.parametrize("kind", ["open", "pwrite", "fdatasync", "rename", "fsync_dir", "allocate"])
@pytest.mark.parametrize("after", range(1, 14))
def test_a_crash_in_the_middle_of_recovery_still_recovers(kind: str, after: int) -> None:
    """Rule 21: `recovering` is durable before anything is cut, so a second crash cannot hide the rot."""
    bench = SimBench(after)
    rounds = make_rounds(60, text="z" * 1500)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(9, 1))
    for round_ in rounds:
        journal.append(round_.index - 1, (round_,), 0, 0)
    journal.close()
    bench.disk.crash()
    bench.disk.flip(f"{bench.root}/journal/00000001.log", 5000)
    bench.disk.fail(kind, errno.EIO, after=after)
    try:
        open_journal(bench.mount(), bench.root)[0].close()
    except DiskError:
        bench.disk.crash()
    bench.disk.faults.clear()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert journal.recovering
    assert replayed.rounds == rounds[:1] or replayed.rounds == rounds[:2]
    assert journal.state == HardState(9, 1, True)


@pytest.mark.parametrize("kind", ["pwrite", "fdatasync"])
def test_rule_24_an_error_is_never_tried_again(kind: str) -> None:
    bench = SimBench(3)
    rounds = make_rounds(4)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.append(0, rounds[:1], 0, 0)
    bench.disk.fail(kind, errno.EIO, path="00000001.log")
    with pytest.raises(DiskError, match=r"00000001\.log.*errno 5"):
        journal.append(1, rounds[1:2], 0, 0)
    calls = len(bench.disk.calls)
    for _ in range(3):
        with pytest.raises(DiskError):
            journal.append(1, rounds[1:2], 0, 0)
        with pytest.raises(DiskError):
            journal.save_state(HardState(1))
        with pytest.raises(DiskError):
            journal.read(1, 100)
    assert len(bench.disk.calls) == calls


def test_rule_24_a_restart_writes_the_unsure_tail_again() -> None:
    """After a failed fsync the page cache shows bytes that the disk does not have, and says that they are clean."""
    bench = SimBench(4)
    rounds = make_rounds(3)
    storage = bench.disk.mount()
    journal, _ = open_journal(storage, bench.root)
    journal.save_state(HardState(1))
    journal.append(0, rounds[:2], 0, 0)
    bench.disk.fail("fdatasync", errno.EIO, path="00000001.log")
    with pytest.raises(DiskError):
        journal.append(2, rounds[2:], 0, 0)
    storage.kill()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == rounds
    bench.disk.crash()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == rounds
    assert not journal.recovering


def test_rule_24_a_restart_writes_the_unsure_vote_again() -> None:
    bench = SimBench(5)
    storage = bench.disk.mount()
    journal, _ = open_journal(storage, bench.root)
    bench.disk.fail("fdatasync", errno.EIO, path="state")
    with pytest.raises(DiskError):
        journal.save_state(HardState(4, 2))
    storage.kill()
    assert open_state(bench) == HardState(4, 2)
    bench.disk.crash()
    assert open_state(bench) == HardState(4, 2)


@pytest.mark.parametrize("kind", ["pwrite", "allocate"])
def test_rule_25_a_full_disk_stops_with_a_hint_and_a_restart_goes_on(kind: str) -> None:
    bench = SimBench(6)
    storage = bench.disk.mount()
    rounds = make_rounds(200, text="w" * 900)
    journal, _ = open_journal(storage, bench.root)
    journal.save_state(HardState(1))
    bench.disk.fail(kind, errno.ENOSPC, after=1 if kind == "allocate" else 17)
    stored = 0

    def store() -> None:
        nonlocal stored
        for round_ in rounds:
            journal.append(round_.index - 1, (round_,), 0, 0)
            stored += 1

    with pytest.raises(DiskError, match="Free some space and start the node again"):
        store()
    storage.kill()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == rounds[:stored]
    assert not journal.recovering
    journal.append(stored, rounds[stored:], 0, 0)
    journal.close()
    assert open_journal(bench.mount(), bench.root)[1].rounds == rounds


@pytest.mark.parametrize("seed", range(8))
def test_rule_25_short_writes_are_finished(seed: int) -> None:
    bench = SimBench(seed)
    rounds = make_rounds(30)
    journal, _ = open_journal(bench.mount(), bench.root)
    bench.disk.fail("pwrite", 0, times=10_000)
    journal.save_state(HardState(2, 1))
    for round_ in rounds:
        journal.append(round_.index - 1, (round_,), 0, 0)
    bench.disk.crash()
    bench.disk.faults.clear()
    journal, replayed = open_journal(bench.mount(), bench.root)
    assert replayed.rounds == rounds
    assert journal.state == HardState(2, 1)
    assert not journal.recovering


def test_rule_26_a_new_segment_is_named_durably_before_it_is_used() -> None:
    bench = SimBench(8)
    journal, _ = open_journal(bench.mount(), bench.root)
    journal.save_state(HardState(1))
    bench.disk.calls.clear()
    rounds = make_rounds(50, text="v" * 3000)
    for round_ in rounds:
        journal.append(round_.index - 1, (round_,), 0, 0)
    calls = list(bench.disk.calls)
    first_use = next(at for at, (kind, path) in enumerate(calls) if kind == "pwrite" and path.endswith("00000002.log.tmp"))
    order = [kind for kind, path in calls[first_use:] if path.endswith(("00000002.log.tmp", "/journal"))]
    assert order[:5] == ["pwrite", "fdatasync", "rename", "fsync_dir", "pwrite"]
    bench.disk.crash()
    assert open_journal(bench.mount(), bench.root)[1].rounds == rounds


def test_one_write_and_one_fdatasync_an_append() -> None:
    bench = SimBench(9)
    journal, _ = open_journal(bench.mount(), bench.root)
    rounds = make_rounds(3)
    bench.disk.calls.clear()
    journal.append(0, rounds, 0, 0)
    assert [(kind, path.rpartition("/")[2]) for kind, path in bench.disk.calls] == [
        ("pwrite", "00000001.log.tmp"),  # the name that the handle was opened by
        ("fdatasync", "00000001.log.tmp"),
        ("pwrite", "promised.tmp"),
    ]


def test_rule_01_the_second_copy_of_the_vote_is_begun_when_the_first_is_safe() -> None:
    bench = SimBench(13)
    journal, _ = open_journal(bench.mount(), bench.root)
    bench.disk.calls.clear()
    journal.save_state(HardState(1, 0))
    assert [kind for kind, _ in bench.disk.calls] == ["pwrite", "fdatasync"] * 2


def test_a_refused_open_gives_every_handle_and_the_lock_back() -> None:
    bench = SimBench(10)
    open_journal(bench.mount(), bench.root)[0].close()
    storage = bench.disk.mount()
    with pytest.raises(JournalError):
        open_journal(storage, bench.root, node=5)
    bench.disk.fail("fdatasync", errno.EIO)
    with pytest.raises(DiskError):
        open_journal(storage, bench.root)
    assert storage.handles == 0
    open_journal(bench.mount(), bench.root)[0].close()


def test_kill_keeps_what_was_written_and_frees_the_lock() -> None:
    bench = SimBench(11)
    storage = bench.disk.mount()
    journal, _ = open_journal(storage, bench.root)
    journal.save_state(HardState(1))
    journal.append(0, make_rounds(5), 0, 0)
    storage.kill()
    assert open_journal(bench.mount(), bench.root)[0].last_index == 5


def test_replay_keeps_memory_flat() -> None:
    """The index has an entry per 64 KiB of journal and replay holds no rounds."""
    bench = SimBench(12)
    journal, _ = open_journal(bench.mount(), bench.root, segment=4 * SEGMENT)
    journal.save_state(HardState(1))
    for round_ in make_rounds(1500, text="u" * 400):
        journal.append(round_.index - 1, (round_,), 0, 0)
    stored = sum(len(bench.get(f"{bench.root}/journal/{name}").rstrip(b"\0")) for name in bench.names(f"{bench.root}/journal"))
    entries = stored // (64 * 1024) + len(bench.names(f"{bench.root}/journal")) + 1
    assert len(journal._map) <= entries
    journal.close()
    seen: list[int] = []
    journal = Journal.open(
        bench.mount(), bench.root, TAG, 0, SEGMENT, on_round=lambda round_: seen.append(round_.index), on_cut=seen.remove
    )
    assert len(seen) == 1500
    assert len(journal._map) <= entries
