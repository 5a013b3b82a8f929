"""The simulated disk keeps what was synced, and is unkind to the rest."""

from __future__ import annotations

import errno
import random

import pytest

from node_runtime.storage import OsStorage, Storage, create_durably, write_all
from tests.simulation.disk import SECTOR, SimDisk, SimStorage


def disk_with_file(seed: int, data: bytes) -> tuple[SimDisk, SimStorage, int]:
    disk = SimDisk(random.Random(seed))
    storage = disk.mount()
    storage.mkdir("/d")
    return disk, storage, create_durably(storage, "/d", "f", data)


def test_both_storages_are_storages() -> None:
    storages: list[Storage] = [OsStorage(), SimDisk(random.Random(0)).mount()]
    for storage in storages:
        assert len(storage.nonce()) == 16


def test_synced_bytes_survive_every_crash() -> None:
    for seed in range(30):
        disk, storage, handle = disk_with_file(seed, b"a" * 3000)
        storage.pwrite(handle, b"b" * 2000, 500)
        storage.fdatasync(handle)
        disk.crash()
        assert disk.content("/d/f") == b"a" * 500 + b"b" * 2000 + b"a" * 500


def test_unsynced_bytes_are_lost_in_any_subset_of_sectors() -> None:
    outcomes = set()
    for seed in range(200):
        disk, storage, handle = disk_with_file(seed, b"a" * 4 * SECTOR)
        storage.pwrite(handle, b"b" * 3 * SECTOR, SECTOR)
        disk.crash()
        data = disk.content("/d/f")
        sectors = [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]
        assert sectors[0] == b"a" * SECTOR
        assert all(sector in (b"a" * SECTOR, b"b" * SECTOR) for sector in sectors)
        outcomes.add(bytes(sector[0] for sector in sectors[1:]))
    assert len(outcomes) == 8


def test_unsynced_growth_may_vanish_or_leave_zeros() -> None:
    sizes, holes = set(), 0
    for seed in range(100):
        disk, storage, handle = disk_with_file(seed, b"")
        storage.pwrite(handle, b"b" * 3 * SECTOR, 0)
        disk.crash()
        data = disk.content("/d/f")
        sizes.add(len(data))
        holes += b"\0b" in data
    assert {0, 3 * SECTOR} <= sizes
    assert holes


def test_a_name_without_fsync_dir_may_vanish_and_a_rename_is_whole() -> None:
    seen = set()
    for seed in range(60):
        disk, storage, handle = disk_with_file(seed, b"old")
        fresh = storage.open("/d/t", create=True)
        write_all(storage, fresh, b"new", 0)
        storage.fdatasync(fresh)
        storage.rename("/d/t", "/d/f")
        assert storage.info(handle).links == 0
        disk.crash()
        seen.add(disk.content("/d/f"))
    assert seen == {b"old", b"new"}


def test_kill_keeps_the_page_cache_and_frees_locks() -> None:
    disk, storage, handle = disk_with_file(1, b"old")
    assert storage.lock(handle)
    other = disk.mount()
    theirs = other.open("/d/f")
    assert not other.lock(theirs)
    storage.pwrite(handle, b"new", 0)
    storage.kill()
    assert other.lock(theirs)
    assert other.pread(theirs, 3, 0) == b"new"


def test_faults_come_when_and_where_they_are_wanted() -> None:
    disk, storage, handle = disk_with_file(1, b"")
    disk.fail("pwrite", errno.ENOSPC, after=2, path="/d/f")
    disk.fail("pwrite", 0, after=4)
    storage.pwrite(handle, b"abcd", 0)
    with pytest.raises(OSError, match="No space"):
        storage.pwrite(handle, b"efgh", 4)
    assert storage.pwrite(handle, b"efgh", 4) == 4
    assert storage.pwrite(handle, b"ijkl", 8) in (2, 4)


def test_a_failed_fdatasync_leaves_clean_pages_that_are_not_stored() -> None:
    disk, storage, handle = disk_with_file(1, b"old")
    storage.pwrite(handle, b"new", 0)
    disk.fail("fdatasync", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        storage.fdatasync(handle)
    storage.fdatasync(handle)
    assert disk.content("/d/f") == b"new"
    disk.crash()
    assert disk.content("/d/f") == b"old"


def test_a_seed_replays_a_crash() -> None:
    def run(seed: int) -> bytes:
        disk, storage, handle = disk_with_file(seed, b"a" * 8 * SECTOR)
        storage.pwrite(handle, b"b" * 8 * SECTOR, 0)
        disk.crash()
        return disk.content("/d/f")

    assert [run(seed) for seed in range(10)] == [run(seed) for seed in range(10)]
