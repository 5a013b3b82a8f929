"""The journal's bytes: the header of a segment, the frames in it, and the watermark (docs/PROTOCOL.md).

Integers are little-endian. Frames start on 8-byte steps. A frame's checksum starts from the cluster and the node, so
that a frame of another journal is no frame here. Lengths are checked against what is left of the segment before memory
is taken (rule 19).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from node_runtime.errors import JournalError
from node_runtime.state_file import check_owner
from node_runtime.storage import Storage

JOURNAL_VERSION = 1
SEGMENT_HEADER = 64
FRAME_MAGIC = b"\xf5VJ\x00"  # 0xf5 and 0x00 never stand in a message's text

_SEGMENT_MAGIC = b"VSJL"
_SEGMENT = struct.Struct("<4sHH8sQQ")  # magic, version, node, tag, segment number, number of its first frame
_CRC = struct.Struct("<I")
_HEAD = struct.Struct("<4sI")  # magic, checksum over everything after it
_BODY = struct.Struct("<IQQQQI")  # payload bytes, frame number, decided, synced, after, held
_PROMISED = struct.Struct("<4sIQ")  # magic, checksum, frame number
_PROMISED_MAGIC = b"VSWM"
_CHUNK = 64 * 1024
_ZERO_CHUNK = 1024 * 1024
FRAME_HEAD = _HEAD.size + _BODY.size
PROMISED_BYTES = _PROMISED.size
MAX_PAYLOAD = 1 << 30


class Owner(NamedTuple):
    """Whose journal it is."""

    tag: bytes
    node: int

    @property
    def seed(self) -> int:
        """What the checksums start from."""
        return zlib.crc32(self.tag + struct.pack("<H", self.node))


class Frame(NamedTuple):
    """One stored frame: bytes [start, end) of its segment; its `held` rounds follow the round `after`."""

    start: int
    end: int
    number: int
    decided: int
    synced: int
    after: int
    held: int
    payload: bytes


def encode_segment_header(owner: Owner, number: int, first: int) -> bytes:
    """The first bytes of segment `number`, whose first frame has the number `first`."""
    head = _SEGMENT.pack(_SEGMENT_MAGIC, JOURNAL_VERSION, owner.node, owner.tag, number, first)
    return (head + _CRC.pack(zlib.crc32(head))).ljust(SEGMENT_HEADER, b"\0")


def first_frame(header: bytes, path: str, owner: Owner, number: int) -> int | None:
    """The number of the first frame of a segment, None where its header is damaged or another segment's.

    Raises: JournalError where it is sound but another cluster's, node's or version's (rule 27).
    """
    if len(header) < SEGMENT_HEADER:
        return None
    head = header[: _SEGMENT.size]
    magic, version, node, tag, found, first = _SEGMENT.unpack(head)
    if magic != _SEGMENT_MAGIC or _CRC.unpack_from(header, _SEGMENT.size)[0] != zlib.crc32(head):
        return None
    if version != JOURNAL_VERSION:
        raise JournalError(f"{path} has format {version}, this node reads {JOURNAL_VERSION}. Use the version that wrote it.")
    check_owner(path, (tag, node), owner)
    return int(first) if found == number else None


def owner_of(header: bytes) -> Owner | None:
    """Whose segment this is, by its own header; None where that is damaged. For readers who do not know it (`verify`)."""
    if len(header) < SEGMENT_HEADER or _CRC.unpack_from(header, _SEGMENT.size)[0] != zlib.crc32(header[: _SEGMENT.size]):
        return None
    magic, _, node, tag, _, _ = _SEGMENT.unpack_from(header)
    return Owner(tag, node) if magic == _SEGMENT_MAGIC else None


def encode_frame(seed: int, number: int, decided: int, synced: int, after: int, held: int, payload: bytes) -> bytes:
    """One frame, padded to a step of 8 bytes."""
    body = _BODY.pack(len(payload), number, decided, synced, after, held)
    checksum = zlib.crc32(payload, zlib.crc32(body, seed))
    return b"".join((_HEAD.pack(FRAME_MAGIC, checksum), body, payload, bytes(-len(payload) % 8)))


def encode_promised(seed: int, number: int) -> bytes:
    """The watermark: the last frame that is promised, i.e. whose fdatasync returned."""
    return _PROMISED.pack(_PROMISED_MAGIC, zlib.crc32(number.to_bytes(8, "little"), seed), number)


def decode_promised(seed: int, data: bytes) -> int | None:
    """The watermark, None where it cannot be read."""
    if len(data) < _PROMISED.size:
        return None
    magic, checksum, number = _PROMISED.unpack_from(data)
    if magic != _PROMISED_MAGIC or checksum != zlib.crc32(number.to_bytes(8, "little"), seed):
        return None
    return int(number)


class FrameReader:
    """Reads the frames of one segment with few and bounded reads."""

    def __init__(self, storage: Storage, handle: int, size: int, seed: int) -> None:
        self._storage = storage
        self._handle = handle
        self._size = size
        self._seed = seed
        self._buffer = b""
        self._from = 0

    def _bytes(self, offset: int, length: int) -> bytes:
        at = offset - self._from
        if at < 0 or at + length > len(self._buffer):
            self._buffer = self._storage.pread(self._handle, max(length, _CHUNK), offset)
            self._from, at = offset, 0
        return self._buffer[at : at + length]

    def frame_at(self, offset: int) -> Frame | None:
        """The frame that starts at `offset`, None where no sound one does."""
        if offset + FRAME_HEAD > self._size:
            return None
        head = self._bytes(offset, FRAME_HEAD)
        if len(head) < FRAME_HEAD or not head.startswith(FRAME_MAGIC):
            return None
        checksum = _HEAD.unpack_from(head)[1]
        length, number, decided, synced, after, held = _BODY.unpack_from(head, _HEAD.size)
        if length > min(self._size - offset - FRAME_HEAD, MAX_PAYLOAD):
            return None
        payload = self._bytes(offset + FRAME_HEAD, length)
        if zlib.crc32(payload, zlib.crc32(head[_HEAD.size :], self._seed)) != checksum:
            return None
        end = offset + FRAME_HEAD + length + -length % 8
        return Frame(offset, end, number, decided, synced, after, held, payload)

    def frames(self, offset: int) -> Iterator[Frame]:
        """Sound frames one behind the other, from `offset` to the first place where there is none."""
        while (frame := self.frame_at(offset)) is not None:
            yield frame
            offset = frame.end

    def has_frame(self, offset: int, least: int) -> bool:
        """Whether a sound frame numbered `least` or higher starts anywhere at or behind `offset`."""
        window = offset
        while window < self._size:
            chunk = self._storage.pread(self._handle, _ZERO_CHUNK + len(FRAME_MAGIC), window)
            at = chunk.find(FRAME_MAGIC)
            while at >= 0:
                if (window + at) % 8 == 0:
                    frame = self.frame_at(window + at)
                    if frame is not None and frame.number >= least:
                        return True
                at = chunk.find(FRAME_MAGIC, at + 1)
            window += _ZERO_CHUNK
        return False

    def last_used(self, offset: int) -> int:
        """Where the bytes at or behind `offset` end that are not zero; `offset` itself where all are zero."""
        end = offset
        for window in range(offset, self._size, _ZERO_CHUNK):
            kept = self._storage.pread(self._handle, _ZERO_CHUNK, window).rstrip(b"\0")
            if kept:
                end = window + len(kept)
        return end
