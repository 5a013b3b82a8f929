"""Replay of a journal: every sound frame in order, then a verdict on what follows the last one.

Nothing sound and nothing promised behind it: a torn write, which may be cut (rule 20). A promised frame that is broken
or gone, a sound frame behind a broken one, or no word on what was promised: rot, and the node must fetch the rounds
again from the others (rule 21).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from node_runtime.codec import unpack_rounds
from node_runtime.errors import JournalError, PeerProtocolError
from node_runtime.journal_frames import SEGMENT_HEADER, Frame, FrameReader, Owner, first_frame
from node_runtime.journal_map import RoundMap
from node_runtime.messages import Round
from node_runtime.storage import Storage, create_durably, write_all, write_zeros

_NAME = re.compile(r"(\d{8})\.log\Z")
_COPY = 1024 * 1024


class Tail(Enum):
    """What stands behind the last sound frame."""

    CLEAN = "clean"
    TORN = "torn"
    ROT = "rot"


class End(NamedTuple):
    """Where the sound part ends: frame `number`, at `offset` of `segment` (0: no segment is sound)."""

    number: int
    segment: int
    offset: int
    first_unsure: int  # offset in `segment` from which frames are not known to be synced


def segment_name(number: int) -> str:
    """`00000001.log`."""
    return f"{number:08d}.log"


def segment_numbers(storage: Storage, directory: str) -> list[int]:
    """The segments in a directory, ascending.

    Raises: OSError.
    """
    return sorted(int(match[1]) for match in map(_NAME.match, storage.listdir(directory)) if match)


class Scan:
    """One pass over the segments; feeds the live rounds on and fills a `RoundMap`."""

    def __init__(
        self,
        storage: Storage,
        directory: str,
        owner: Owner,
        promised: int | None,
        on_round: Callable[[Round], None],
        on_cut: Callable[[int], None],
    ) -> None:
        self._storage = storage
        self._directory = directory
        self._owner = owner
        self._promised = promised
        self._on_round = on_round
        self._on_cut = on_cut
        self._number = 0
        self._unsure: int | None = None
        self.map = RoundMap()
        self.decided = 0
        self.synced = 0
        self.term = 0
        self.segments = segment_numbers(storage, directory)

    def path(self, number: int) -> str:
        """The path of a segment."""
        return f"{self._directory}/{segment_name(number)}"

    def replay(self) -> End:
        """Feed every sound frame.

        Raises: JournalError for a gap in sound frames (rule 22) or a foreign segment (rule 27); OSError.
        """
        end = End(0, 0, 0, 0)
        for wanted, number in enumerate(self.segments, 1):
            if number != wanted or self._first(number) != self._number + 1:
                break
            handle = self._storage.open(self.path(number))
            try:
                end = self._replay_segment(number, handle)
            finally:
                self._storage.close(handle)
        self.decided = min(self.decided, self.map.last)  # rule 23
        return end

    def _replay_segment(self, number: int, handle: int) -> End:
        reader = FrameReader(self._storage, handle, self._storage.info(handle).size, self._owner.seed)
        offset = SEGMENT_HEADER
        self._unsure = None
        for frame in reader.frames(offset):
            if frame.number != self._number + 1:
                break
            self._take(frame, number)
            offset = frame.end
        return End(self._number, number, offset, offset if self._unsure is None else self._unsure)

    def _take(self, frame: Frame, segment: int) -> None:
        where = f"frame {frame.number} in {self.path(segment)}"
        if frame.after > self.map.last:
            raise JournalError(
                f"{where} follows round {frame.after}, but the last round before it is {self.map.last} (rule 22). "
                "Keep the directory for a bug report and give the cluster a fresh start with `votesync up --fresh`."
            )
        try:
            rounds = unpack_rounds(frame.payload, frame.held)
        except PeerProtocolError as error:
            raise JournalError(f"{where} is sound but cannot be read: {error}. Use the version that wrote it.") from error
        if frame.after < self.map.last:
            self.map.cut(frame.number, frame.after)
            self._on_cut(frame.after)
        for round_ in rounds:
            self._on_round(round_)
        if rounds:
            self.map.add(rounds[0].index, rounds[-1].index, segment, frame.start, frame.end - frame.start)
            self.term = rounds[-1].term
        self._number = frame.number
        self.decided = max(self.decided, frame.decided)
        self.synced = max(self.synced, frame.synced)
        if self._unsure is None and (self._promised is None or frame.number > self._promised):
            self._unsure = frame.start

    def _first(self, number: int) -> int | None:
        """The number of a segment's first frame, None where its header is damaged."""
        handle = self._storage.open(self.path(number))
        try:
            header = self._storage.pread(handle, SEGMENT_HEADER, 0)
        finally:
            self._storage.close(handle)
        return first_frame(header, self.path(number), self._owner, number)

    def verdict(self, end: End) -> Tail:
        """What stands behind `end`.

        Raises: OSError.
        """
        later = [number for number in self.segments if number > end.segment]
        leftover = bool(later)
        if end.segment and self._look(end.segment, lambda reader: reader.last_used(end.offset) > end.offset):
            leftover = True
        if self._promised is None or self._promised > end.number or (leftover and self._sound_behind(end, later)):
            return Tail.ROT
        return Tail.TORN if leftover else Tail.CLEAN

    def _sound_behind(self, end: End, later: list[int]) -> bool:
        least = end.number + 1
        if end.segment and self._look(end.segment, lambda reader: reader.has_frame(end.offset, least)):
            return True
        for number in later:
            first = self._first(number)
            if first is not None and first > least:
                return True
            if self._look(number, lambda reader: reader.has_frame(0, least)):
                return True
        return False

    def _look(self, number: int, question: Callable[[FrameReader], bool]) -> bool:
        handle = self._storage.open(self.path(number))
        try:
            return question(FrameReader(self._storage, handle, self._storage.info(handle).size, self._owner.seed))
        finally:
            self._storage.close(handle)

    def cut(self, end: End) -> None:
        """Keep what stands behind `end` in `.broken` files and take it out of the journal; safe to repeat after a crash.

        Raises: OSError.
        """
        for number in reversed([number for number in self.segments if number > end.segment]):
            self._storage.rename(self.path(number), self._broken_name(segment_name(number)))
            self._storage.fsync_dir(self._directory)
        self.segments = [number for number in self.segments if number <= end.segment]
        if end.segment:
            self._cut_within(end)

    def _cut_within(self, end: End) -> None:
        storage = self._storage
        handle = storage.open(self.path(end.segment))
        try:
            size = storage.info(handle).size
            used = FrameReader(storage, handle, size, self._owner.seed).last_used(end.offset)
            if used > end.offset:
                name = self._broken_name(f"{segment_name(end.segment)}.{end.offset}").rpartition("/")[2]
                copy = create_durably(storage, self._directory, name, b"")
                try:
                    for at in range(end.offset, used, _COPY):
                        write_all(storage, copy, storage.pread(handle, min(_COPY, used - at), at), at - end.offset)
                    storage.fdatasync(copy)
                finally:
                    storage.close(copy)
            write_zeros(storage, handle, end.offset, used)
            storage.fdatasync(handle)
        finally:
            storage.close(handle)

    def _broken_name(self, name: str) -> str:
        """A free name for the remains of `name`."""
        taken = set(self._storage.listdir(self._directory))
        free, count = f"{name}.broken", 1
        while free in taken:
            count += 1
            free = f"{name}.broken{count}"
        return f"{self._directory}/{free}"
