"""A node's journal: its term and vote, and an append-only log of rounds that is durable when `append` returns.

The log is a row of segments of fixed size. One append is one frame: one write, one fdatasync. Reading it back is
`journal_scan.py`; the bytes are `journal_frames.py`. Any error of the disk ends the use of the journal (rule 24).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from node_runtime.codec import pack_rounds, unpack_rounds
from node_runtime.errors import DiskError, JournalError
from node_runtime.journal_frames import (
    FRAME_HEAD,
    PROMISED_BYTES,
    SEGMENT_HEADER,
    FrameReader,
    Owner,
    decode_promised,
    encode_frame,
    encode_promised,
    encode_segment_header,
)
from node_runtime.journal_scan import End, Scan, Tail, segment_name, segment_numbers
from node_runtime.messages import Round
from node_runtime.state import HardState
from node_runtime.state_file import StateFile
from node_runtime.storage import Storage, create_durably, disk_error, disk_errors, make_dir, write_all

__all__ = ["HardState", "Journal"]

JOURNAL_DIR = "journal"
PROMISED_NAME = "promised"
LOCK_NAME = "lock"
_BLOCK = 4096
_COPY = 1024 * 1024


class Journal:
    """The open journal of one node.

    `last_index` is the last round, `decided_hint` and `synced_hint` what was known when it was written (rule 23);
    `fresh`: nothing was ever promised here; `recovering`: rounds that may have been voted for are lost (rule 21).
    """

    def __init__(self, storage: Storage, data_dir: str, owner: Owner, segment_bytes: int, lock: int, state: StateFile) -> None:
        self._storage = storage
        self._data_dir = data_dir
        self._directory = f"{data_dir}/{JOURNAL_DIR}"
        self._owner = owner
        self._seed = owner.seed
        self._segment_bytes = -(-segment_bytes // _BLOCK) * _BLOCK
        self._lock = lock
        self._state = state
        self._failed: DiskError | None = None
        self._segment = 0
        self._handle = -1
        self._promised = -1
        self._end = self._size = 0
        self._number = 0

    @classmethod
    def open(
        cls,
        storage: Storage,
        data_dir: str,
        tag: bytes,
        node: int,
        segment_bytes: int,
        *,
        on_round: Callable[[Round], None],
        on_cut: Callable[[int], None],
    ) -> Journal:
        """Lock the directory, read the state, replay the rounds; make all of it where nothing is there.

        `on_round` gets each stored round in order, `on_cut(after)` comes before rounds that replace those behind
        `after`. Memory stays constant. Raises: JournalError (rules 22, 27, 28); DiskError.
        """
        owner = Owner(tag, node)
        with ExitStack() as undo, disk_errors(data_dir):
            lock = _take_lock(storage, data_dir)
            undo.callback(storage.close, lock)
            state = _open_state(storage, data_dir, owner)
            undo.callback(state.close)
            journal = cls(storage, data_dir, owner, segment_bytes, lock, state)
            undo.callback(journal._close_segment)
            journal._recover(on_round, on_cut)
            undo.pop_all()
        return journal

    @property
    def state(self) -> HardState:
        """Term, vote and whether the node is recovering, as they are on the disk."""
        return self._state.state

    @property
    def recovering(self) -> bool:
        """Whether rounds were lost that must be fetched from the others before this node may vote (rule 21)."""
        return self._state.state.recovering

    @property
    def identity(self) -> bytes:
        """16 bytes that name this journal and no other."""
        return self._state.identity

    @property
    def last_index(self) -> int:
        """The last durable round, 0 where there is none."""
        return self._map.last

    @property
    def fresh(self) -> bool:
        """Whether this node has never stored a round, never voted and never seen a term."""
        return self._number == 0 and self.state == HardState()

    def save_state(self, state: HardState) -> None:
        """Make term and vote durable (rule 1); terms never fall (rule 5).

        Raises: DiskError.
        """
        self._check_usable()
        try:
            self._state.save(state)
        except DiskError as error:
            self._failed = error
            raise

    def append(self, after: int, rounds: Sequence[Round], decided: int, synced: int) -> None:
        """Store `rounds` behind the round `after`, in place of any that stood there; durable on return.

        `decided` and `synced` (how far the shared file is known to be fsynced) are hints for the next start.
        Raises: JournalError for a gap (rule 22); DiskError (rules 24, 25).
        """
        self._check_usable()
        last = self._map.last
        if after > last:
            raise JournalError(f"round {after + 1} would leave a gap behind round {last} (rule 22). Report this as a bug.")
        assert not rounds or (rounds[0].index == after + 1 and rounds[-1].index == after + len(rounds))
        number = self._number + 1
        ends_at = after + len(rounds)
        frame = encode_frame(
            self._seed, number, decided if decided < ends_at else ends_at, synced, after, len(rounds), pack_rounds(rounds)
        )
        size = len(frame)
        storage = self._storage
        try:
            if size > self._size - self._end:
                self._start_segment(size)
            start = self._end
            write_all(storage, self._handle, frame, start)
            storage.fdatasync(self._handle)
            write_all(storage, self._promised, encode_promised(self._seed, number), 0)
        except OSError as error:
            self._failed = disk_error(f"{self._directory}/{segment_name(self._segment)}", error)
            raise self._failed from error
        if after < last:
            self._map.cut(number, after)
        if rounds:
            self._map.add(after + 1, ends_at, self._segment, start, size)
        self._end = start + size
        self._number = number

    def read(self, first: int, max_bytes: int) -> list[Round]:
        """The live rounds from `first` on: at least one if it exists, then as many as `max_bytes` of encoding hold.

        Raises: JournalError where the stored bytes are no longer what was written; DiskError.
        """
        self._check_usable()
        if not 1 <= first <= self._map.last:
            return []
        found: list[Round] = []
        with disk_errors(self._directory):
            segment, offset = self._map.find(first)
            while segment <= self._segment and self._read_segment(segment, offset, first, max_bytes, found):
                segment, offset = segment + 1, SEGMENT_HEADER
        if not found:
            raise JournalError(
                f"round {first} cannot be read back from {self._directory} (rule 21). Start the node again: it will find the"
                " damage and fetch the rounds from the others."
            )
        return found

    def close(self) -> None:
        """Give everything back, the lock last."""
        self._close_segment()
        self._state.close()
        self._storage.close(self._lock)

    def _read_segment(self, segment: int, offset: int, first: int, max_bytes: int, found: list[Round]) -> bool:
        """Add live rounds of one segment to `found`; whether the next segment is wanted too."""
        storage = self._storage
        current = segment == self._segment
        handle = self._handle if current else storage.open(f"{self._directory}/{segment_name(segment)}")
        taken = sum(len(round_.encoded) for round_ in found)
        try:
            size = self._end if current else storage.info(handle).size
            for frame in FrameReader(storage, handle, size, self._seed).frames(offset):
                wanted = first + len(found)
                live_to = min(frame.after + frame.held, self._map.live_to(frame.number))
                if not frame.after < wanted <= live_to:
                    continue
                for round_ in unpack_rounds(frame.payload, frame.held)[wanted - frame.after - 1 : live_to - frame.after]:
                    taken += len(round_.encoded)
                    if found and taken > max_bytes:
                        return False
                    found.append(round_)
            return first + len(found) <= self._map.last
        finally:
            if not current:
                storage.close(handle)

    def _recover(self, on_round: Callable[[Round], None], on_cut: Callable[[int], None]) -> None:
        storage = self._storage
        promised = self._open_promised()
        scan = Scan(storage, self._directory, self._owner, promised, on_round, on_cut)
        end = scan.replay()
        tail = scan.verdict(end)
        if scan.term > self.state.term:
            raise JournalError(
                f"{self._data_dir}/state says term {self.state.term}, but the journal holds a round of term {scan.term}: the"
                " state file is an older copy. Put back the newer one, or start afresh with `votesync up --fresh`."
            )
        if tail is Tail.ROT:
            self._state.save(HardState(self.state.term, self.state.voted_for, True))
        if tail is not Tail.CLEAN:
            scan.cut(end)
        self._map = scan.map
        self._number = end.number
        self.decided_hint, self.synced_hint = scan.decided, scan.synced
        self._continue_segment(end)
        storage.fsync_dir(self._directory)  # a process that died between rename and fsync left a name that is not durable
        write_all(storage, self._promised, encode_promised(self._seed, end.number), 0)
        storage.fdatasync(self._promised)

    def _open_promised(self) -> int | None:
        """Open the watermark; its frame number, None where it is unknown."""
        path = f"{self._data_dir}/{PROMISED_NAME}"
        new = not _holds_segments(self._storage, self._directory)
        if self._storage.info_at(path) is None:
            self._promised = create_durably(
                self._storage, self._data_dir, PROMISED_NAME, encode_promised(self._seed, 0) if new else b""
            )
        else:
            self._promised = self._storage.open(path)
        return decode_promised(self._seed, self._storage.pread(self._promised, PROMISED_BYTES, 0))

    def _continue_segment(self, end: End) -> None:
        """Go on behind `end`; writes again what is not known to be synced (rule 24)."""
        storage = self._storage
        if end.segment == 0:
            self._start_segment(0)
            return
        self._segment, self._end = end.segment, end.offset
        self._handle = storage.open(f"{self._directory}/{segment_name(end.segment)}")
        self._size = storage.info(self._handle).size
        if self._size < self._segment_bytes:
            storage.allocate(self._handle, self._segment_bytes)
            self._size = self._segment_bytes
        for at in range(end.first_unsure, end.offset, _COPY):
            write_all(storage, self._handle, storage.pread(self._handle, min(_COPY, end.offset - at), at), at)
        storage.fdatasync(self._handle)

    def _start_segment(self, room: int) -> None:
        """Go on in a new segment that holds a frame of `room` bytes at least (rule 26)."""
        number = self._segment + 1
        size = max(self._segment_bytes, -(-(SEGMENT_HEADER + max(room, FRAME_HEAD)) // _BLOCK) * _BLOCK)
        header = encode_segment_header(self._owner, number, self._number + 1)
        handle = create_durably(self._storage, self._directory, segment_name(number), header, size)
        if self._handle >= 0:
            self._storage.close(self._handle)
        self._handle, self._segment, self._end, self._size = handle, number, SEGMENT_HEADER, size

    def _close_segment(self) -> None:
        for handle in (self._handle, self._promised):
            if handle >= 0:
                self._storage.close(handle)
        self._handle = self._promised = -1

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise self._failed


def _take_lock(storage: Storage, data_dir: str) -> int:
    make_dir(storage, data_dir)
    lock = storage.open(f"{data_dir}/{LOCK_NAME}", create=True)
    if not storage.lock(lock):
        storage.close(lock)
        raise JournalError(f"{data_dir} is in use by another node process (rule 27). Stop that one, or set another DATA_DIR.")
    return lock


def _holds_segments(storage: Storage, directory: str) -> bool:
    """Whether segments are here, or were until a recovery that was interrupted moved them aside."""
    return bool(segment_numbers(storage, directory)) or any(".broken" in name for name in storage.listdir(directory))


def _open_state(storage: Storage, data_dir: str, owner: Owner) -> StateFile:
    """The state file, made where neither it nor a journal is there.

    Raises: JournalError where one of the two is missing (rule 28).
    """
    directory = f"{data_dir}/{JOURNAL_DIR}"
    there = storage.info_at(directory) is not None and _holds_segments(storage, directory)
    state = StateFile.load(storage, data_dir, owner.tag, owner.node)
    if state is None:
        if there:
            raise JournalError(
                f"{data_dir}/state is missing though {directory} is there, so this node no longer knows its vote (rule 28)."
                " Put the file back, or give the cluster a fresh start with `votesync up --fresh`."
            )
        make_dir(storage, directory)
        return StateFile.create(storage, data_dir, owner.tag, owner.node)
    if not there and state.state != HardState():
        state.close()
        raise JournalError(
            f"{directory} is missing or empty though {data_dir}/state has term {state.state.term}: the rounds this node voted"
            " for are gone (rule 28). Put the directory back, or give the cluster a fresh start with `votesync up --fresh`."
        )
    make_dir(storage, directory)
    return state
