"""The few file operations that the journal and the shared file use, so that a simulated disk can stand in for a real one.

Handles are small integers. Every method may raise OSError; who calls turns it into a named error (rule 56).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from typing import NamedTuple, Protocol

from node_runtime.errors import DiskError

Buffer = bytes | bytearray | memoryview

_CHUNK = 1024 * 1024
_fdatasync = getattr(os, "fdatasync", os.fsync)


class FileInfo(NamedTuple):
    """Size in bytes, the file's identity (device and inode) and its number of names."""

    size: int
    identity: tuple[int, int]
    links: int


class Storage(Protocol):
    """What the node asks of a disk."""

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        """Open for reading and writing; never truncates, never appends (rules 39, 40)."""

    def close(self, handle: int) -> None:
        """Give the handle back, and the lock on it."""

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes; fewer at the end of the file."""

    def pwrite(self, handle: int, data: Buffer, offset: int) -> int:
        """Write and return how many bytes were taken, which may be fewer than given."""

    def fdatasync(self, handle: int) -> None:
        """Return when the file's bytes and size are on the disk."""

    def info(self, handle: int) -> FileInfo:
        """What is known of an open file."""

    def info_at(self, path: str) -> FileInfo | None:
        """What is known of the file at `path`, None where there is none."""

    def truncate(self, handle: int, size: int) -> None:
        """Set the size."""

    def allocate(self, handle: int, size: int) -> None:
        """Make the file at least `size` bytes long, zeros where it was shorter, and reserve the room."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, over any that has it."""

    def unlink(self, path: str) -> None:
        """Take a name away."""

    def listdir(self, path: str) -> list[str]:
        """The names in a directory, sorted."""

    def mkdir(self, path: str) -> None:
        """Make a directory and its parents; one that exists is fine."""

    def fsync_dir(self, path: str) -> None:
        """Return when the names in a directory are on the disk (rule 26)."""

    def lock(self, handle: int) -> bool:
        """Take the exclusive lock of a file without waiting; False when another process has it."""

    def nonce(self) -> bytes:
        """16 bytes that no other journal has."""


class OsStorage:
    """The real disk: `os` functions and nothing else."""

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        """Open for reading and writing, mode 0644 where it is made."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0) | (os.O_EXCL if exclusive else 0)
        return os.open(path, flags, 0o644)

    close = staticmethod(os.close)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    truncate = staticmethod(os.ftruncate)
    rename = staticmethod(os.replace)
    unlink = staticmethod(os.unlink)

    def fdatasync(self, handle: int) -> None:
        """fdatasync; fsync where there is none (macOS)."""
        _fdatasync(handle)

    def info(self, handle: int) -> FileInfo:
        """fstat."""
        return _info(os.fstat(handle))

    def info_at(self, path: str) -> FileInfo | None:
        """stat."""
        try:
            return _info(os.stat(path))
        except FileNotFoundError:
            return None

    def allocate(self, handle: int, size: int) -> None:
        """posix_fallocate: ENOSPC comes here and not in the middle of a frame."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size)
        elif os.fstat(handle).st_size < size:
            os.ftruncate(handle, size)

    def listdir(self, path: str) -> list[str]:
        """Sorted, so that nothing depends on the directory's own order."""
        return sorted(os.listdir(path))

    def mkdir(self, path: str) -> None:
        """mkdir -p."""
        os.makedirs(path, exist_ok=True)

    def fsync_dir(self, path: str) -> None:
        """Open the directory, fsync, close."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def lock(self, handle: int) -> bool:
        """flock: the kernel gives it back when the process dies."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def nonce(self) -> bytes:
        """From the kernel."""
        return os.urandom(16)


@contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turn an OSError of the block into a DiskError that names the file (rules 24, 25)."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error) from error


def disk_error(path: str, error: OSError) -> DiskError:
    """One sentence on what the disk said, one on what to do."""
    if error.errno in (ENOSPC, EDQUOT):
        hint = "Free some space and start the node again."
    else:
        hint = "Check the disk and its permissions, then start the node again."
    return DiskError(f"{error.filename or path}: {error.strerror or error} (errno {error.errno}). {hint}")


def write_all(storage: Storage, handle: int, data: Buffer, offset: int) -> None:
    """Write all of `data`, over short writes too (rule 25).

    Raises: OSError.
    """
    done = storage.pwrite(handle, data, offset)
    if done == len(data):
        return
    view = memoryview(data)
    while done < len(view):
        taken = storage.pwrite(handle, view[done:], offset + done)
        if taken <= 0:
            raise OSError(ENOSPC, "the disk takes no more bytes")
        done += taken


def write_zeros(storage: Storage, handle: int, start: int, end: int) -> None:
    """Overwrite bytes [start, end) with zeros.

    Raises: OSError.
    """
    for offset in range(start, end, _CHUNK):
        write_all(storage, handle, bytes(min(_CHUNK, end - offset)), offset)


def make_dir(storage: Storage, path: str) -> None:
    """Make a directory, and its parents, so that a power failure does not take it away again (rule 26).

    Raises: OSError.
    """
    if storage.info_at(path) is not None:
        return
    parent = os.path.dirname(path.rstrip("/")) or "."
    make_dir(storage, parent)
    storage.mkdir(path)
    storage.fsync_dir(parent)


def create_durably(storage: Storage, directory: str, name: str, data: bytes, size: int = 0) -> int:
    """Make the file `name` with `data` (and room for `size` bytes) so that it exists whole or not at all (rule 26).

    Returns: the open handle. Raises: OSError.
    """
    temporary = f"{directory}/{name}.tmp"
    handle = storage.open(temporary, create=True)
    try:
        storage.truncate(handle, 0)
        if size > len(data):
            storage.allocate(handle, size)
        write_all(storage, handle, data, 0)
        storage.fdatasync(handle)
        storage.rename(temporary, f"{directory}/{name}")
        storage.fsync_dir(directory)
    except BaseException:
        storage.close(handle)
        raise
    return handle


def _info(stat: os.stat_result) -> FileInfo:
    return FileInfo(stat.st_size, (stat.st_dev, stat.st_ino), stat.st_nlink)
