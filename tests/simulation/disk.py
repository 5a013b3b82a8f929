"""A disk in memory that crashes and fails on demand; deterministic from an injected `random.Random`.

`SimDisk` is the medium; `SimDisk.mount()` gives one process's view of it, which is a `Storage`. Several processes may
mount the same disk, as the nodes do with the shared directory. The page cache is common to all of them, as on one
machine. A crash is as unkind as POSIX allows: of what was not synced any subset of 512-byte sectors may be lost, and
names that no `fsync_dir` covered may be lost one by one.
"""

from __future__ import annotations

import errno
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from node_runtime.storage import Buffer, FileInfo

SECTOR = 512

NameChange = Callable[[dict[str, "File"]], None]


@dataclass(eq=False)
class File:
    """An inode: what processes see, what is on the medium, and which sectors differ."""

    number: int
    seen: bytearray = field(default_factory=bytearray)
    stored: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    links: int = 1
    locked_by: SimStorage | None = None

    def touch(self, start: int, end: int) -> None:
        """Sectors of [start, end) are no longer as stored."""
        self.dirty.update(range(start // SECTOR, -(-end // SECTOR)))

    def sync(self) -> None:
        """The dirty sectors and the size reach the medium; a sector that is clean is not written again."""
        del self.stored[len(self.seen) :]
        self.stored.extend(bytes(len(self.seen) - len(self.stored)))
        for sector in self.dirty:
            part = slice(sector * SECTOR, (sector + 1) * SECTOR)
            self.stored[part] = self.seen[part]
        self.dirty.clear()

    def crash(self, rng: random.Random) -> None:
        """Any subset of the dirty sectors reached the medium; a new size did or did not."""
        grown = self.dirty and any(rng.random() < 0.5 for _ in self.dirty)
        size = len(self.seen) if rng.random() < 0.5 else len(self.stored)
        for sector in sorted(self.dirty):
            if not grown or rng.random() < 0.5:
                continue
            start, part = sector * SECTOR, self.seen[sector * SECTOR : (sector + 1) * SECTOR]
            if len(self.stored) < start + len(part):
                self.stored.extend(bytes(start + len(part) - len(self.stored)))
            self.stored[start : start + len(part)] = part
            size = max(size, min(start + len(part), len(self.seen)))
        del self.stored[size:]
        self.stored.extend(bytes(size - len(self.stored)))
        self.seen[:] = self.stored
        self.dirty.clear()


@dataclass
class Fault:
    """From the `after`-th coming call of `kind` on (1: the next), on paths that contain `path`, `times` calls fail.

    `error` is an errno; 0 makes a `pwrite` short instead.
    """

    kind: str
    error: int
    after: int = 1
    times: int = 1
    path: str = ""


class SimDisk:
    """The medium and its page cache."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.names: dict[str, File] = {}
        self.faults: list[Fault] = []
        self.calls: deque[tuple[str, str]] = deque(maxlen=10_000)
        self.largest_read = 0
        self._stored_names: dict[str, File] = {}
        self._pending: list[tuple[str, NameChange]] = []
        self._directories = {"/"}
        self._numbers = 0
        self._mounts: list[SimStorage] = []

    def mount(self) -> SimStorage:
        """A new process's view."""
        storage = SimStorage(self)
        self._mounts.append(storage)
        return storage

    def crash(self) -> None:
        """The machine loses power: every process is gone, and what was not synced is lost in part."""
        for storage in list(self._mounts):
            storage.kill()
        for _, change in self._pending:
            if self.rng.random() < 0.5:
                change(self._stored_names)
        self._pending.clear()
        self.names = dict(self._stored_names)
        for file in sorted(set(self.names.values()), key=lambda file: file.number):
            file.crash(self.rng)
            file.links = sum(1 for other in self.names.values() if other is file)

    def fail(self, kind: str, error: int, *, after: int = 1, times: int = 1, path: str = "") -> None:
        """Arrange for a fault (see `Fault`)."""
        self.faults.append(Fault(kind, error, after, times, path))

    def flip(self, path: str, offset: int, bit: int = 0) -> None:
        """Rot: one bit of the medium changes."""
        file = self.names[path]
        for data in (file.seen, file.stored):
            if offset < len(data):
                data[offset] ^= 1 << bit

    def content(self, path: str) -> bytes:
        """What processes see in the file."""
        return bytes(self.names[path].seen)

    def put(self, path: str, data: bytes) -> None:
        """Somebody else writes a whole file, durably."""
        file = self.new_file()
        file.seen[:] = data
        file.touch(0, len(data))
        file.sync()
        self.add_directory(os.path.dirname(path))
        self.change(os.path.dirname(path), lambda names: names.__setitem__(path, file))
        self.sync_names(os.path.dirname(path))

    def new_file(self) -> File:
        """An inode without a name."""
        self._numbers += 1
        return File(self._numbers)

    def change(self, directory: str, change: NameChange) -> None:
        """A name changes for all who look; on the medium only after `sync_names`."""
        change(self.names)
        self._pending.append((directory, change))

    def sync_names(self, directory: str) -> None:
        """The names of one directory reach the medium."""
        for where, change in self._pending:
            if where == directory:
                change(self._stored_names)
        self._pending = [item for item in self._pending if item[0] != directory]

    def strike(self, kind: str, path: str) -> bool:
        """Count a call, raise its fault; whether a write is to be short."""
        self.calls.append((kind, path))
        for fault in self.faults:
            if fault.kind != kind or fault.path not in path:
                continue
            fault.after -= 1
            if fault.after <= 0 < fault.times:
                fault.times -= 1
                if fault.error:
                    raise OSError(fault.error, os.strerror(fault.error), path)
                return True
        return False

    def has_directory(self, path: str) -> bool:
        """Whether the directory is there; directories are durable at once, so that only files are at stake."""
        return path in self._directories

    def add_directory(self, path: str) -> None:
        """Make a directory and its parents."""
        while path not in self._directories:
            self._directories.add(path)
            path = os.path.dirname(path)

    def forget(self, storage: SimStorage) -> None:
        """A process is gone."""
        if storage in self._mounts:
            self._mounts.remove(storage)


class SimStorage:
    """One process's open files on a `SimDisk`."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk
        self._open: dict[int, tuple[File, str]] = {}
        self._next = 3

    def kill(self) -> None:
        """kill -9: the handles and locks go, what was written stays in the page cache."""
        for handle in list(self._open):
            self.close(handle)
        self._disk.forget(self)

    @property
    def handles(self) -> int:
        """How many handles are open."""
        return len(self._open)

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        """See `Storage`."""
        self._disk.strike("open", path)
        file = self._disk.names.get(path)
        if file is None:
            if not create or not self._disk.has_directory(os.path.dirname(path)):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            made = file = self._disk.new_file()
            self._disk.change(os.path.dirname(path), lambda names: names.__setitem__(path, made))
        elif exclusive:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self._next += 1
        self._open[self._next] = (file, path)
        return self._next

    def close(self, handle: int) -> None:
        """See `Storage`."""
        file, _ = self._open.pop(handle)
        if file.locked_by is self:
            file.locked_by = None

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """See `Storage`."""
        file, path = self._open[handle]
        self._disk.strike("pread", path)
        self._disk.largest_read = max(self._disk.largest_read, size)
        return bytes(file.seen[offset : offset + size])

    def pwrite(self, handle: int, data: Buffer, offset: int) -> int:
        """See `Storage`."""
        file, path = self._open[handle]
        if self._disk.strike("pwrite", path):
            data = bytes(data)[: max(1, len(data) // 2)]
        if len(file.seen) < offset:
            file.seen.extend(bytes(offset - len(file.seen)))
        file.touch(offset, offset + len(data))
        file.seen[offset : offset + len(data)] = data
        return len(data)

    def fdatasync(self, handle: int) -> None:
        """See `Storage`; a failed one leaves the page cache clean though the medium lacks the bytes, as Linux does."""
        file, path = self._open[handle]
        try:
            self._disk.strike("fdatasync", path)
        except OSError:
            file.dirty.clear()
            raise
        file.sync()

    def info(self, handle: int) -> FileInfo:
        """See `Storage`."""
        file, _ = self._open[handle]
        return FileInfo(len(file.seen), (1, file.number), file.links)

    def info_at(self, path: str) -> FileInfo | None:
        """See `Storage`."""
        self._disk.strike("info_at", path)
        file = self._disk.names.get(path)
        if file is None:
            return FileInfo(0, (1, 0), 2) if self._disk.has_directory(path) else None
        return FileInfo(len(file.seen), (1, file.number), file.links)

    def truncate(self, handle: int, size: int) -> None:
        """See `Storage`."""
        file, path = self._open[handle]
        self._disk.strike("truncate", path)
        file.touch(min(size, len(file.seen)), max(size, len(file.seen)))
        del file.seen[size:]
        file.seen.extend(bytes(size - len(file.seen)))

    def allocate(self, handle: int, size: int) -> None:
        """See `Storage`."""
        file, path = self._open[handle]
        self._disk.strike("allocate", path)
        if size <= 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        if len(file.seen) < size:
            file.touch(len(file.seen), size)
            file.seen.extend(bytes(size - len(file.seen)))

    def rename(self, old: str, new: str) -> None:
        """See `Storage`; old and new name change together or not at all."""
        self._disk.strike("rename", old)
        file = self._disk.names.get(old)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)
        replaced = self._disk.names.get(new)
        if replaced is not None:
            replaced.links -= 1

        def change(names: dict[str, File]) -> None:
            if names.get(old) is file:
                del names[old]
            names[new] = file

        self._disk.change(os.path.dirname(new), change)

    def unlink(self, path: str) -> None:
        """See `Storage`."""
        self._disk.strike("unlink", path)
        file = self._disk.names.get(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        file.links -= 1

        def change(names: dict[str, File]) -> None:
            names.pop(path, None)

        self._disk.change(os.path.dirname(path), change)

    def listdir(self, path: str) -> list[str]:
        """See `Storage`."""
        self._disk.strike("listdir", path)
        if not self._disk.has_directory(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return sorted(os.path.basename(name) for name in self._disk.names if os.path.dirname(name) == path)

    def mkdir(self, path: str) -> None:
        """See `Storage`."""
        self._disk.strike("mkdir", path)
        self._disk.add_directory(path)

    def fsync_dir(self, path: str) -> None:
        """See `Storage`."""
        self._disk.strike("fsync_dir", path)
        self._disk.sync_names(path)

    def lock(self, handle: int) -> bool:
        """See `Storage`."""
        file, _ = self._open[handle]
        if file.locked_by not in (None, self):
            return False
        file.locked_by = self
        return True

    def nonce(self) -> bytes:
        """From the disk's own random source."""
        return self._disk.rng.randbytes(16)
