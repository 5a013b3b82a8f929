"""The shared file on real files and on the simulated disk: every byte at its place, no holes, nobody else's data."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node_runtime.codec import rendered
from node_runtime.errors import DiskError, SharedFileError
from node_runtime.shared_file import PrefixCheck, Repair, SharedFile, claim
from node_runtime.storage import OsStorage
from tests.component.disk_bench import Bench, OsBench, SimBench, make_rounds


@pytest.fixture(params=["os", "sim"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return OsBench(str(tmp_path / "n")) if request.param == "os" else SimBench(1)


def output(bench: Bench) -> str:
    return f"{bench.root}/output.txt"


def test_the_file_is_made_empty_and_readable_by_all(tmp_path: Path) -> None:
    bench = OsBench(str(tmp_path / "shared"))
    file = SharedFile.open(bench.mount(), bench.root)
    assert file.size() == 0
    assert (tmp_path / "shared" / "output.txt").stat().st_mode & 0o777 == 0o644
    file.close()


def test_rule_40_opening_leaves_what_is_there(bench: Bench) -> None:
    bench.put(output(bench), b"old bytes")
    file = SharedFile.open(bench.mount(), bench.root)
    assert file.size() == 9
    assert bench.get(output(bench)) == b"old bytes"


def test_rule_39_writes_go_to_their_offset(bench: Bench) -> None:
    one = SharedFile.open(bench.mount(), bench.root)
    two = SharedFile.open(bench.mount(), bench.root)
    assert one.write(0, b"aaaa") is None
    assert two.write(4, b"bbbb") is None
    assert one.write(0, b"aaaa") is None
    assert bench.get(output(bench)) == b"aaaabbbb"


def test_rule_41_no_holes(bench: Bench) -> None:
    file = SharedFile.open(bench.mount(), bench.root)
    file.write(0, b"12345")
    assert file.write(6, b"x") == 5
    assert bench.get(output(bench)) == b"12345"
    assert file.write(5, b"x") is None


def test_a_removed_file_is_opened_again(bench: Bench) -> None:
    file = SharedFile.open(bench.mount(), bench.root)
    file.write(0, b"12345")
    bench.remove(output(bench))
    assert file.write(5, b"67") == 0
    assert bench.get(output(bench)) == b""
    assert file.repair(0, [b"12345", b"67"]) == Repair(0, 7, 7)
    assert bench.get(output(bench)) == b"1234567"


def test_a_replaced_file_is_opened_again(bench: Bench) -> None:
    storage = bench.mount()
    file = SharedFile.open(storage, bench.root)
    file.write(0, b"12345")
    bench.put(f"{bench.root}/other", b"1234567")
    storage.rename(f"{bench.root}/other", output(bench))
    assert file.size() == 7
    assert file.write(7, b"8") is None
    assert bench.get(output(bench)) == b"12345678"


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@pytest.mark.parametrize("size", [7, 4096, 10_000, 1 << 20])
def test_rule_44_a_repair_writes_what_differs_and_only_that(bench: Bench, size: int) -> None:
    truth = b"".join(rendered(round_) for round_ in make_rounds(300))
    wrong = bytearray(truth[: len(truth) - 5000])
    wrong[9000] ^= 1
    wrong[9003] ^= 1
    wrong[12000:12100] = bytes(100)
    bench.put(output(bench), bytes(wrong))
    file = SharedFile.open(bench.mount(), bench.root)
    repair = file.repair(100, chunks(truth[100:], size))
    assert (repair.start, repair.end, repair.short) == (100, len(truth), None)
    assert 5000 + 102 <= repair.changed <= 5000 + 104 + 64
    assert bench.get(output(bench)) == truth
    assert file.repair(0, chunks(truth, size)) == Repair(0, len(truth), 0)


def test_rule_40_a_repair_leaves_what_is_behind_its_end(bench: Bench) -> None:
    bench.put(output(bench), b"abXdef more that this node does not know")
    file = SharedFile.open(bench.mount(), bench.root)
    assert file.repair(0, [b"abc", b"def"]) == Repair(0, 6, 1)
    assert bench.get(output(bench)) == b"abcdef more that this node does not know"


def test_rule_41_a_repair_never_leaves_a_hole(bench: Bench) -> None:
    bench.put(output(bench), b"abc")
    file = SharedFile.open(bench.mount(), bench.root)
    assert file.repair(5, [b"fgh"]) == Repair(5, 5, 0, short=3)
    assert bench.get(output(bench)) == b"abc"


def test_a_prefix_is_a_prefix(bench: Bench) -> None:
    rounds = make_rounds(50)
    truth = b"".join(map(rendered, rounds))
    for length in (0, 1, rounds[9].end, rounds[9].end + 17, len(truth)):
        bench.put(output(bench), truth[:length])
        check = PrefixCheck(SharedFile.open(bench.mount(), bench.root))
        for round_ in rounds:
            check.feed(round_.offset, rendered(round_))
        assert check.mismatch_at is None
        assert (check.size, check.end) == (length, len(truth))


def test_a_file_that_goes_on_behind_the_log_is_no_mismatch(bench: Bench) -> None:
    rounds = make_rounds(5)
    bench.put(output(bench), b"".join(map(rendered, rounds)) + b"more")
    check = PrefixCheck(SharedFile.open(bench.mount(), bench.root))
    for round_ in rounds:
        check.feed(round_.offset, rendered(round_))
    assert check.mismatch_at is None
    assert check.size > check.end


def test_the_first_mismatch_is_told_and_a_cut_forgets_it(bench: Bench) -> None:
    rounds = make_rounds(50)
    truth = bytearray(b"".join(map(rendered, rounds)))
    place = rounds[20].offset + 3
    truth[place] ^= 1
    truth[place + 500] ^= 1
    bench.put(output(bench), bytes(truth))
    check = PrefixCheck(SharedFile.open(bench.mount(), bench.root))
    for round_ in rounds:
        check.feed(round_.offset, rendered(round_))
    assert check.mismatch_at == place
    check.cut(rounds[21].offset)
    assert check.mismatch_at == place
    check.cut(rounds[20].offset)
    assert check.mismatch_at is None
    check.feed(rounds[20].offset, bytes(truth[rounds[20].offset : rounds[20].end]))
    assert check.mismatch_at is None


def take(bench: Bench, node: int, identity: bytes, *, fresh: bool, cluster: str = "c1") -> None:
    claim(bench.mount(), bench.root, cluster, node, fresh, identity)


def test_rule_28_a_node_without_its_journal_is_refused(bench: Bench) -> None:
    SharedFile.open(bench.mount(), bench.root)
    take(bench, 1, b"a" * 16, fresh=True)
    take(bench, 1, b"a" * 16, fresh=True)
    take(bench, 1, b"a" * 16, fresh=False)
    with pytest.raises(SharedFileError, match="journal of node 1"):
        take(bench, 1, b"b" * 16, fresh=True)
    with pytest.raises(SharedFileError, match="votesync up --fresh"):
        take(bench, 1, b"b" * 16, fresh=False)


def test_somebody_elses_file_is_refused_and_left_alone(bench: Bench) -> None:
    bench.put(output(bench), b"dear diary")
    for _ in range(2):
        with pytest.raises(SharedFileError, match=r"output\.txt holds 10 bytes.*votesync up --fresh.*yourself"):
            take(bench, 0, b"a" * 16, fresh=True)
    take(bench, 0, b"a" * 16, fresh=False)
    assert bench.get(output(bench)) == b"dear diary"


def test_another_clusters_marks_do_not_count(bench: Bench) -> None:
    SharedFile.open(bench.mount(), bench.root)
    take(bench, 0, b"a" * 16, fresh=True, cluster="other")
    bench.put(output(bench), b"written by the other cluster")
    with pytest.raises(SharedFileError, match="did not write"):
        take(bench, 0, b"b" * 16, fresh=True)


def test_the_last_of_five_may_come_when_the_others_have_written(bench: Bench) -> None:
    file = SharedFile.open(bench.mount(), bench.root)
    for node in range(4):
        take(bench, node, bytes((node,)) * 16, fresh=True)
    file.write(0, b"first round")
    take(bench, 4, b"e" * 16, fresh=True)


class SlowSync(OsStorage):
    """A storage whose fdatasync waits until it is let go, and that counts its handles."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.synced: list[int] = []
        self.closed: list[int] = []

    def fdatasync(self, handle: int) -> None:
        self.entered.set()
        assert self.release.wait(30)
        assert handle not in self.closed
        self.synced.append(handle)

    def close(self, handle: int) -> None:
        self.closed.append(handle)
        os.close(handle)


@pytest.mark.parametrize("ends", [False, True])
def test_a_file_replaced_while_it_is_synced_is_closed_after_that(tmp_path: Path, ends: bool) -> None:
    storage = SlowSync()
    file = SharedFile.open(storage, str(tmp_path))
    file.write(0, b"abc")
    thread = threading.Thread(target=file.sync)
    thread.start()
    assert storage.entered.wait(30)
    if ends:
        file.close()
    else:
        (tmp_path / "output.txt").unlink()
        assert file.write(3, b"d") == 0
    assert storage.closed == []
    storage.release.set()
    thread.join(30)
    assert storage.closed == storage.synced
    assert len(storage.closed) == 1
    if not ends:
        assert file.write(0, b"abcd") is None


# --- a disk that fails ---


def test_rule_25_short_writes_are_finished() -> None:
    bench = SimBench(2)
    file = SharedFile.open(bench.mount(), bench.root)
    bench.disk.fail("pwrite", 0, times=100)
    assert file.write(0, b"x" * 1000) is None
    assert file.repair(0, [b"y" * 1000]) == Repair(0, 1000, 1000)
    assert bench.get(output(bench)) == b"y" * 1000


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_rule_24_a_failed_sync_is_never_tried_again(error: int) -> None:
    bench = SimBench(3)
    file = SharedFile.open(bench.mount(), bench.root)
    file.write(0, b"abc")
    bench.disk.fail("fdatasync", error)
    with pytest.raises(DiskError, match=r"output\.txt"):
        file.sync()
    calls = len(bench.disk.calls)
    with pytest.raises(DiskError):
        file.sync()
    with pytest.raises(DiskError):
        file.write(3, b"d")
    assert len(bench.disk.calls) == calls


def test_rule_45_a_rewriting_repair_brings_back_what_a_failed_fsync_lost() -> None:
    for rewrite in (False, True):
        bench = SimBench(4)
        storage = bench.disk.mount()
        file = SharedFile.open(storage, bench.root)
        file.write(0, b"durable ")
        file.sync()
        file.write(8, b"doubtful")
        bench.disk.fail("fdatasync", errno.EIO)
        with pytest.raises(DiskError):
            file.sync()
        storage.kill()
        file = SharedFile.open(bench.mount(), bench.root)
        assert file.repair(8, [b"doubtful"], rewrite=rewrite) == Repair(8, 16, 0)
        file.sync()
        bench.disk.crash()
        assert (bench.get(output(bench)) == b"durable doubtful") is rewrite


def test_rule_26_a_new_file_survives_a_crash() -> None:
    for seed in range(10):
        bench = SimBench(seed)
        SharedFile.open(bench.mount(), bench.root)
        bench.disk.crash()
        assert output(bench) in bench.disk.names


def test_a_claim_survives_a_crash() -> None:
    for seed in range(20):
        bench = SimBench(seed)
        SharedFile.open(bench.mount(), bench.root)
        take(bench, 2, b"a" * 16, fresh=True)
        bench.disk.crash()
        assert output(bench) in bench.disk.names
        with pytest.raises(SharedFileError):
            take(bench, 2, b"b" * 16, fresh=True)
