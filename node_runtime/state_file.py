"""The node's term and vote on disk: one small file with two equal slots, so that one damaged slot loses nothing.

The slots are written and synced one after the other (rule 1); a crash between them leaves the newer and the older
state, and the newer one counts. A file without one good slot stops the node (rule 28).
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from node_runtime.errors import JournalError
from node_runtime.state import HardState
from node_runtime.storage import Storage, create_durably, disk_errors, write_all

STATE_NAME = "state"
SLOT_BYTES = 4096  # a sector of its own for each slot on every disk in use
STATE_VERSION = 1

_MAGIC = b"VSST"
_SLOT = struct.Struct("<4sHH8s16sQQi?")  # magic, version, node, tag, identity, sequence, term, vote (-1: none), recovering
_CRC = struct.Struct("<I")


class _Slot(NamedTuple):
    sequence: int
    identity: bytes
    state: HardState


class StateFile:
    """The open state file; `state` is what is durable in it, `identity` names this journal and no other."""

    def __init__(self, storage: Storage, path: str, tag: bytes, node: int, handle: int, slot: _Slot) -> None:
        self._storage = storage
        self._path = path
        self._tag = tag
        self._node = node
        self._handle = handle
        self._sequence = slot.sequence
        self.identity = slot.identity
        self.state = slot.state

    @classmethod
    def create(cls, storage: Storage, data_dir: str, tag: bytes, node: int) -> StateFile:
        """Make the file of a node that has never voted.

        Raises: DiskError.
        """
        path = f"{data_dir}/{STATE_NAME}"
        slot = _Slot(1, storage.nonce(), HardState())
        with disk_errors(path):
            handle = create_durably(storage, data_dir, STATE_NAME, _encode(slot, tag, node) * 2)
        return cls(storage, path, tag, node, handle, slot)

    @classmethod
    def load(cls, storage: Storage, data_dir: str, tag: bytes, node: int) -> StateFile | None:
        """Read the file, None where there is none; writes both slots again, so a damaged or unsure one is mended.

        Raises: JournalError where it is damaged, or another cluster's or node's (rules 27, 28); DiskError.
        """
        path = f"{data_dir}/{STATE_NAME}"
        with disk_errors(path):
            found = storage.info_at(path)
            if found is None or found.size == 0:
                return None
            handle = storage.open(path)
            halves = [storage.pread(handle, SLOT_BYTES, place) for place in (0, SLOT_BYTES)]
        try:
            slots = [slot for slot in (_decode(half, path, tag, node) for half in halves) if slot is not None]
            if not slots:
                raise JournalError(
                    f"{path} is damaged in both copies, so this node no longer knows its vote. Put the file back from a copy"
                    " made while the node was down, or give the cluster a fresh start with `votesync up --fresh`."
                )
            file = cls(storage, path, tag, node, handle, max(slots))
            file.save(file.state)
            with disk_errors(path):
                storage.fsync_dir(data_dir)  # whoever made the file may have died before its name was durable
        except BaseException:
            storage.close(handle)
            raise
        return file

    def save(self, state: HardState) -> None:
        """Make `state` durable in both slots.

        Raises: DiskError.
        """
        assert state.term >= self.state.term, f"the term would fall from {self.state.term} to {state.term} (rule 5)"
        self._sequence += 1
        slot = _encode(_Slot(self._sequence, self.identity, state), self._tag, self._node)
        with disk_errors(self._path):
            for place in (0, SLOT_BYTES):
                write_all(self._storage, self._handle, slot, place)
                self._storage.fdatasync(self._handle)
        self.state = state

    def close(self) -> None:
        """Give the handle back."""
        self._storage.close(self._handle)


def _encode(slot: _Slot, tag: bytes, node: int) -> bytes:
    vote = -1 if slot.state.voted_for is None else slot.state.voted_for
    head = _SLOT.pack(
        _MAGIC, STATE_VERSION, node, tag, slot.identity, slot.sequence, slot.state.term, vote, slot.state.recovering
    )
    return (head + _CRC.pack(zlib.crc32(head))).ljust(SLOT_BYTES, b"\0")


def _decode(half: bytes, path: str, tag: bytes, node: int) -> _Slot | None:
    """The slot, None where it is damaged.

    Raises: JournalError where it is sound but not this node's.
    """
    if len(half) < _SLOT.size + _CRC.size:
        return None
    head = half[: _SLOT.size]
    magic, version, of_node, of_tag, identity, sequence, term, vote, recovering = _SLOT.unpack(head)
    if magic != _MAGIC or _CRC.unpack_from(half, _SLOT.size)[0] != zlib.crc32(head):
        return None
    if version != STATE_VERSION:
        raise JournalError(f"{path} has format {version}, this node reads {STATE_VERSION}. Use the version that wrote it.")
    check_owner(path, (of_tag, of_node), (tag, node))
    return _Slot(sequence, identity, HardState(term, None if vote < 0 else vote, recovering))


def check_owner(path: str, found: tuple[bytes, int], own: tuple[bytes, int]) -> None:
    """Compare (cluster tag, node) of a file with this node's.

    Raises: JournalError (rule 27).
    """
    if found[0] != own[0]:
        raise JournalError(f"{path} belongs to another cluster. Give this node its own DATA_DIR, or its CLUSTER the old name.")
    if found[1] != own[1]:
        raise JournalError(f"{path} belongs to node {found[1]}, this is node {own[1]}. Give each node its own DATA_DIR.")
