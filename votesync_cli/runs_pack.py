"""One archive of a run, and back: the same run gives the same bytes, and what comes out of an archive is only what goes in.

An archive is a tar in gzip: files below one directory with the run's name, in order, without owners, times or links.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from votesync_cli import runs
from votesync_cli.belongings import give
from votesync_cli.errors import EnvironmentFault, UsageError

MOST_FILES = 10_000
MOST_BYTES = 16 * 1024**3  # that an archive may hold; what claims more is no run
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,199}\Z")
_DEPTH = 5
_PIECE = 1024 * 1024
_unpacked: dict[Path, tuple[tempfile.TemporaryDirectory[str], Path]] = {}  # removed when the program ends


class Packed(NamedTuple):
    """An archive that was written; `left_out` are files whose names others could not take."""

    path: Path
    files: int
    size: int
    sha256: str
    left_out: tuple[str, ...]


def archive_name(run: runs.Run) -> str:
    """`votesync-<project>-<run>.tar.gz`."""
    project = re.sub(r"[^A-Za-z0-9_-]+", "-", run.project)[:60]
    return f"votesync-{project}-{run.name}.tar.gz"


def pack(run: runs.Run, target: Path, *, force: bool) -> Packed:
    """Write the archive, whole or not at all.

    Raises: UsageError where `target` exists, EnvironmentFault.
    """
    if target.is_dir() or (target.exists() and not force):
        raise UsageError(f"{target} exists already.", "Name another file with -o, or say --force to replace it.")
    draft = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with draft.open("xb") as out:
            files, left_out = _write(run, out)
        give(draft)
        with draft.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = draft.stat().st_size
        draft.replace(target)
    except OSError as error:
        raise EnvironmentFault(f"{target} cannot be written: {error.strerror}.", "Name another file with -o.") from None
    finally:
        draft.unlink(missing_ok=True)
    return Packed(target, files, size, digest, left_out)


def _write(run: runs.Run, out: BinaryIO) -> tuple[int, tuple[str, ...]]:
    files, left_out = 0, []
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, _ in runs.files_of(run.path):
            if name == runs.LOCK:
                continue
            if not _is_safe(f"{run.name}/{name}"):
                left_out.append(name)
                continue
            with open(run.path / name, "rb", opener=_no_links) as stream:
                entry = tarfile.TarInfo(f"{run.name}/{name}")
                entry.size = os.fstat(stream.fileno()).st_size
                entry.mode = 0o644
                tar.addfile(entry, stream)
            files += 1
    return files, tuple(left_out)


class _Careful(gzip.GzipFile):
    """A reader that asks for little at once, so that a header that claims to be huge does not fill the memory."""

    def read(self, size: int | None = -1) -> bytes:
        """At most a piece."""
        if size is None or not 0 <= size <= _PIECE:
            raise tarfile.ReadError("it holds too much")
        return super().read(size)

    def finish(self) -> None:
        """Read to the end, where the checksum stands; behind a tar there is nothing but a few zeros."""
        if any(self.read(_PIECE)) or self.read(1):
            raise tarfile.ReadError("something stands behind its end")


def unpacked(archive: Path) -> Path:
    """The run in an archive, in a directory that is gone when this program ends; the same one when asked again.

    Raises: UsageError where it holds no run, EnvironmentFault.
    """
    known = _unpacked.get(archive.resolve())
    if known is not None:
        return known[1]
    if not hasattr(tarfile, "data_filter"):
        raise EnvironmentFault("This Python cannot unpack archives safely.", "Use 3.11.4 or newer, or unpack it yourself.")
    place = tempfile.TemporaryDirectory(prefix="votesync-run-")
    try:
        run = Path(place.name) / _extract(archive, Path(place.name))
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        place.cleanup()
        hint = "Name what `votesync runs pack` wrote, a directory, or a run's name."
        raise UsageError(f"{archive} is no archive of a run ({error}).", hint) from None
    except OSError as error:
        place.cleanup()
        raise EnvironmentFault(f"{archive} cannot be unpacked: {error.strerror or error}.", "Set TMPDIR.") from None
    _unpacked[archive.resolve()] = (place, run)
    return run


def _extract(archive: Path, place: Path) -> str:
    """Write the files of the archive below `place`; the name of their one directory.

    Raises: tarfile.TarError where something in it does not come from `pack`, OSError.
    """
    roots: set[str] = set()
    with _Careful(archive, "rb") as squeezed:
        with tarfile.open(fileobj=squeezed, mode="r:") as tar:
            for entry in _checked(tar):
                tar.extract(entry, place, set_attrs=False, filter="data")
                roots.add(entry.name.partition("/")[0])
                if len(roots) > 1:
                    raise tarfile.TarError("it holds more than one directory")
        squeezed.finish()
    if not roots:
        raise tarfile.TarError("it is empty")
    return roots.pop()


def _checked(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    seen: set[str] = set()
    size = 0
    for entry in tar:
        if entry.isdir():
            continue  # they are made with the files in them
        size += entry.size
        if not entry.isreg() or entry.issparse() or not _is_safe(entry.name) or entry.name in seen:
            raise tarfile.TarError(f"{entry.name[:80]!r} does not belong into one")
        if len(seen) >= MOST_FILES or size > MOST_BYTES:
            raise tarfile.TarError("it holds too much")
        seen.add(entry.name)
        yield entry


def _is_safe(name: str) -> bool:
    """`<run>/<file>`, of plain letters, digits and marks: nothing absolute, hidden, or that leads upwards."""
    parts = name.split("/")
    return 2 <= len(parts) <= _DEPTH and all(_PART.match(part) and ".." not in part for part in parts)


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def forget(archive: Path) -> None:
    """Remove what was unpacked of this archive now."""
    known = _unpacked.pop(archive.resolve(), None)
    if known is not None:
        with contextlib.suppress(OSError):
            known[0].cleanup()
