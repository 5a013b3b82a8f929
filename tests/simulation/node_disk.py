"""One process's view of its disk and of the shared one, with its death in the middle of any call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from node_runtime.messages import NodeId
from node_runtime.storage import Buffer, FileInfo
from tests.simulation.disk import SimDisk, SimStorage

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = "/shared"
OUTPUT = "/shared/output.txt"
CALLS = (
    "allocate", "close", "fdatasync", "fsync_dir", "info", "info_at", "listdir", "lock", "mkdir", "nonce", "open", "pread",
    "pwrite", "rename", "truncate",
)  # fmt: skip
PAGE = 4096
STAGES = ("before", "middle", "after")
Result = TypeVar("Result")


class Killed(BaseException):
    """The process died in the middle of a call to its disk; no handler of errors may catch it."""


@dataclass
class Doom:
    """The process dies in a coming call: of `kind` ("any": whichever), after `calls` others, before or after its effect."""

    kind: str
    calls: int
    stage: str

    def strikes(self, kind: str) -> bool:
        """Count one call; whether it is the one."""
        if self.kind not in (kind, "any"):
            return False
        self.calls -= 1
        return self.calls < 0


def _part(offset: int, size: int) -> int:
    """How much of a write is done when a process is killed in its middle: the kernel stops between pages only."""
    return max(0, (offset + size // 2) // PAGE * PAGE - offset)


class Watcher(Protocol):
    """Who is told what the process does to the shared file, and how it died."""

    def writes(self, node: NodeId, start: int, data: bytes) -> None:
        """These bytes are about to be written into the output file."""

    def died(self, node: NodeId, kind: str, stage: str) -> None:
        """The process died in this call."""

    def forbidden(self, node: NodeId, call: str) -> None:
        """A call on the output file that no node may ever make (rule 40)."""

    def slow(self, node: NodeId) -> None:
        """The process waits for its own disk."""


class NodeDisk:
    """A `Storage`: what is under `/shared` goes to the shared disk, all else to the node's own."""

    def __init__(self, node: NodeId, own: SimDisk, shared: SimDisk, watcher: Watcher, doom: Doom | None = None) -> None:
        self._node = node
        self._own = own.mount()
        self._shared = shared.mount()
        self._watcher = watcher
        self._files: dict[int, tuple[SimStorage, int, str]] = {}
        self._next = 0
        self._dead = False
        self.doom = doom

    def kill(self) -> None:
        """The process is gone; what it wrote stays in the page cache."""
        self._dead = True
        self._own.kill()
        self._shared.kill()

    # --- calls on handles ---

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        """See `Storage`, as all below."""
        stage = self._stage("open")
        storage = self._on(path)
        self._next += 1
        self._files[self._next] = (storage, storage.open(path, create=create, exclusive=exclusive), path)
        return self._done("open", stage, self._next)

    def close(self, handle: int) -> None:
        """Close."""
        stage = self._stage("close")
        storage, inner, _ = self._files.pop(handle)
        storage.close(inner)
        self._done("close", stage, None)

    def pread(self, handle: int, size: int, offset: int) -> bytes:
        """Read."""
        stage = self._stage("pread")
        storage, inner, _ = self._files[handle]
        return self._done("pread", stage, storage.pread(inner, size, offset))

    def pwrite(self, handle: int, data: Buffer, offset: int) -> int:
        """Write; a process that dies in the middle of it has written a part."""
        stage = self._stage("pwrite")
        storage, inner, path = self._files[handle]
        if stage == "middle":
            data = bytes(data)[: _part(offset, len(data))]
        if path == OUTPUT:
            self._watcher.writes(self._node, offset, bytes(data))
        return self._done("pwrite", stage, storage.pwrite(inner, data, offset))

    def fdatasync(self, handle: int) -> None:
        """Sync; slow now and then."""
        stage = self._stage("fdatasync")
        storage, inner, _ = self._files[handle]
        if storage is self._own:
            self._watcher.slow(self._node)
        storage.fdatasync(inner)
        self._done("fdatasync", stage, None)

    def info(self, handle: int) -> FileInfo:
        """What is known of an open file."""
        stage = self._stage("info")
        storage, inner, _ = self._files[handle]
        return self._done("info", stage, storage.info(inner))

    def truncate(self, handle: int, size: int) -> None:
        """Set the size."""
        self._never("truncate", self._files[handle][2])
        self._of_handle("truncate", handle, size)

    def allocate(self, handle: int, size: int) -> None:
        """Reserve room."""
        self._never("allocate", self._files[handle][2])
        self._of_handle("allocate", handle, size)

    def lock(self, handle: int) -> bool:
        """Lock."""
        return bool(self._of_handle("lock", handle))

    # --- calls on paths ---

    def info_at(self, path: str) -> FileInfo | None:
        """What is known of a path."""
        stage = self._stage("info_at")
        return self._done("info_at", stage, self._on(path).info_at(path))

    def rename(self, old: str, new: str) -> None:
        """Rename."""
        self._never("rename", old)
        self._never("rename", new)
        self._of_path("rename", old, new)

    def unlink(self, path: str) -> None:
        """Unlink."""
        self._never("unlink", path)
        self._of_path("unlink", path)

    def listdir(self, path: str) -> list[str]:
        """List."""
        stage = self._stage("listdir")
        return self._done("listdir", stage, self._on(path).listdir(path))

    def mkdir(self, path: str) -> None:
        """Make a directory."""
        self._of_path("mkdir", path)

    def fsync_dir(self, path: str) -> None:
        """Sync names."""
        self._of_path("fsync_dir", path)

    def nonce(self) -> bytes:
        """Sixteen bytes."""
        stage = self._stage("nonce")
        return self._done("nonce", stage, self._own.nonce())

    # --- death ---

    def _stage(self, kind: str) -> str:
        """The empty word, or the part of this call after which the process is dead."""
        if self._dead:
            raise Killed
        doom = self.doom
        if doom is None or not doom.strikes(kind):
            return ""
        if doom.stage == "before":
            self._die(kind, "before")
        return doom.stage

    def _done(self, kind: str, stage: str, result: Result) -> Result:
        if stage:
            self._die(kind, stage)
        return result

    def _die(self, kind: str, stage: str) -> None:
        self._dead = True
        self._watcher.died(self._node, kind, stage)
        raise Killed

    def _never(self, call: str, path: str) -> None:
        if path == OUTPUT:
            self._watcher.forbidden(self._node, call)

    def _on(self, path: str) -> SimStorage:
        return self._shared if path.startswith(SHARED) else self._own

    def _of_path(self, kind: str, path: str, *rest: Any) -> Any:
        method: Callable[..., Any] = getattr(self._on(path), kind)
        stage = self._stage(kind)
        return self._done(kind, stage, method(path, *rest))

    def _of_handle(self, kind: str, handle: int, *rest: Any) -> Any:
        storage, inner, _ = self._files[handle]
        method: Callable[..., Any] = getattr(storage, kind)
        stage = self._stage(kind)
        return self._done(kind, stage, method(inner, *rest))
