"""The shared file: decided bytes at their agreed place and nothing else, and the marks of who may use it.

Every write is a `pwrite` at an agreed offset (rule 39); the file is never truncated, renamed or removed (rule 40), and
nothing is written where it would leave a hole (rule 41).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from node_runtime.errors import DiskError, SharedFileError
from node_runtime.storage import Storage, create_durably, disk_error, disk_errors, make_dir, write_all

OUTPUT_NAME = "output.txt"
MARK_DIR = ".votesync"
_STEP = 64
_READ = 1024 * 1024


class Repair(NamedTuple):
    """What a repair did: bytes [start, end) are right now, about `changed` of them were not before.

    `short` is None, or the size of the file where it turned out to be shorter than where the repair should go on; the
    repair must then begin again from there at the latest (rule 41).
    """

    start: int
    end: int
    changed: int
    short: int | None = None


class SharedFile:
    """The open `output.txt`."""

    def __init__(self, storage: Storage, shared_dir: str) -> None:
        self._storage = storage
        self._directory = shared_dir
        self.path = f"{shared_dir}/{OUTPUT_NAME}"
        self._handle = -1
        self._syncing = -1
        self._swap = threading.Lock()  # guards which handle is in use and which is being synced; never held over I/O
        self._identity = (-1, -1)
        self._failed: DiskError | None = None

    @classmethod
    def open(cls, storage: Storage, shared_dir: str) -> SharedFile:
        """Open the file, make it where it is not there.

        Raises: DiskError.
        """
        file = cls(storage, shared_dir)
        with disk_errors(file.path):
            make_dir(storage, shared_dir)
            file._reopen()
        return file

    def _reopen(self) -> int:
        """Open what is at the path now; its size."""
        self._switch(self._storage.open(self.path, create=True))
        self._storage.fsync_dir(self._directory)  # also where it exists: its maker may have died before this
        info = self._storage.info(self._handle)
        self._identity = info.identity
        return info.size

    def _switch(self, handle: int) -> None:
        """Use another handle; the old one is closed here, or by `sync` if it is at work on it in its thread."""
        with self._swap:
            old, self._handle = self._handle, handle
            unused = old >= 0 and old != self._syncing
        if unused:
            self._storage.close(old)

    def _size(self) -> int:
        """The size of the file at the path; opens it again where somebody removed or replaced it."""
        found = self._storage.info_at(self.path)
        if found is None or found.identity != self._identity:
            return self._reopen()
        return found.size

    def size(self) -> int:
        """The size in bytes.

        Raises: DiskError.
        """
        self._check_usable()
        try:
            return self._size()
        except OSError as error:
            raise self._fail(error) from error

    def write(self, start: int, data: bytes) -> int | None:
        """Write `data` at `start`; None when it is written, else the size of a file that is shorter (rule 41).

        Raises: DiskError.
        """
        self._check_usable()
        try:
            size = self._size()
            if size < start:
                return size
            if self._storage.pwrite(self._handle, data, start) != len(data):
                write_all(self._storage, self._handle, data, start)
        except OSError as error:
            raise self._fail(error) from error
        return None

    def repair(self, start: int, chunks: Iterable[bytes], *, rewrite: bool = False) -> Repair:
        """Compare the file from `start` with the bytes that belong there and write those that differ (rules 40, 44).

        `rewrite`: write the equal ones too. After a failed fsync, here or on another node, the kernel may show bytes
        that never reached the disk (rule 45). Raises: DiskError.
        """
        self._check_usable()
        position, changed = start, 0
        try:
            for chunk in chunks:
                size = self._size()
                if size < position:
                    return Repair(start, position, changed, size)
                changed += self._set(position, chunk, rewrite)
                position += len(chunk)
        except OSError as error:
            raise self._fail(error) from error
        return Repair(start, position, changed)

    def _set(self, position: int, wanted: bytes, rewrite: bool) -> int:
        """Make the file hold `wanted` at `position`; how many bytes of it were not there."""
        found = self._storage.pread(self._handle, len(wanted), position)
        if found == wanted and not rewrite:
            return 0
        parts = list(_differences(found, wanted))
        for low, high in [(0, len(wanted))] if rewrite else parts:
            write_all(self._storage, self._handle, wanted[low:high], position + low)
        return sum(high - low for low, high in parts)

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start` on.

        Raises: DiskError.
        """
        self._check_usable()
        try:
            self._size()
            return self._storage.pread(self._handle, size, start)
        except OSError as error:
            raise self._fail(error) from error

    def sync(self) -> None:
        """Return when the file's bytes are on the disk; may run in a thread of its own, one at a time.

        Raises: DiskError; the file is unusable then (rule 24).
        """
        self._check_usable()
        with self._swap:
            handle = self._syncing = self._handle
        try:
            self._storage.fdatasync(handle)
        except OSError as error:
            raise self._fail(error) from error
        finally:
            with self._swap:
                self._syncing = -1
                replaced = handle != self._handle
            if replaced:
                self._storage.close(handle)

    def close(self) -> None:
        """Give the handle back."""
        self._switch(-1)

    def _fail(self, error: OSError) -> DiskError:
        self._failed = disk_error(self.path, error)
        return self._failed

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise self._failed


def _differences(found: bytes, wanted: bytes) -> Iterator[tuple[int, int]]:
    """The parts [low, high) of `wanted` that `found` does not have; parts that are close to each other are one."""
    low = high = -1
    for at in range(0, len(found), _STEP):
        old, new = found[at : at + _STEP], wanted[at : min(at + _STEP, len(found))]
        if old == new:
            continue
        places = [at + place for place, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]]
        if low >= 0 and places[0] - high > _STEP:
            yield low, high
            low = -1
        low, high = low if low >= 0 else places[0], places[-1] + 1
    if len(found) < len(wanted):
        if low >= 0 and len(found) - high > _STEP:
            yield low, high
            low = -1
        low, high = low if low >= 0 else len(found), len(wanted)
    if low >= 0:
        yield low, high


class PrefixCheck:
    """Compares the file as it is at start with this node's own rounds, fed in the order of replay.

    A difference is proof of somebody else's file only below what was decided and fsynced; above that it may be a
    write that a crash has torn, which the next leader repairs.
    """

    def __init__(self, file: SharedFile) -> None:
        self._file = file
        self.size = file.size()
        self.end = 0
        self.mismatch_at: int | None = None
        self._buffer = b""
        self._from = 0

    def feed(self, offset: int, data: bytes) -> None:
        """These bytes belong at `offset`.

        Raises: DiskError.
        """
        self.end = offset + len(data)
        if self.mismatch_at is not None or offset >= self.size:
            return
        found = self._bytes(offset, min(len(data), self.size - offset))
        if not data.startswith(found):
            same = next(at for at, pair in enumerate(zip(found, data, strict=False)) if pair[0] != pair[1])
            self.mismatch_at = offset + same

    def cut(self, offset: int) -> None:
        """What was fed at or behind `offset` has been replaced."""
        self.end = min(self.end, offset)
        if self.mismatch_at is not None and self.mismatch_at >= offset:
            self.mismatch_at = None

    def _bytes(self, offset: int, length: int) -> bytes:
        at = offset - self._from
        if at < 0 or at + length > len(self._buffer):
            self._buffer = self._file.read(offset, max(length, _READ))
            self._from, at = offset, 0
        return self._buffer[at : at + length]


def claim(storage: Storage, shared_dir: str, cluster: str, node: int, fresh: bool, identity: bytes) -> None:
    """Leave this node's mark, the name of its journal, beside the shared file; refuse what is not this cluster's.

    `fresh` and `identity` are the journal's. Raises: SharedFileError where this node's mark names another journal (rule
    28), or where a fresh cluster finds an output.txt that nobody of it wrote; DiskError.
    """
    directory = f"{shared_dir}/{MARK_DIR}/{cluster}"
    name = f"node_{node}"
    path = f"{shared_dir}/{OUTPUT_NAME}"
    mark = identity.hex().encode() + b"\n"
    with disk_errors(directory):
        make_dir(storage, directory)
        marks = [entry for entry in storage.listdir(directory) if entry.startswith("node_") and "." not in entry]
        if name in marks:
            if _content(storage, f"{directory}/{name}") != mark:
                raise SharedFileError(
                    f"the journal of node {node} that {path} was written with is gone, so it is not the same voter any more"
                    " (rule 28). Put the journal back, or run `votesync up --fresh`, which moves the file to"
                    " output-<UTC time>.txt and starts anew."
                )
            return
        output = storage.info_at(path)
        if fresh and not marks and output is not None and output.size:
            raise SharedFileError(
                f"{path} holds {output.size} bytes that this cluster did not write. Run `votesync up --fresh`, which moves it"
                " to output-<UTC time>.txt, or move it yourself."
            )
        storage.close(create_durably(storage, directory, name, mark))


def _content(storage: Storage, path: str) -> bytes:
    handle = storage.open(path)
    try:
        return storage.pread(handle, _STEP, 0)
    finally:
        storage.close(handle)
