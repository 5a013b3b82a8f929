"""`agreement`: every node's decided rounds are the same, and the file is their rendering (DESIGN section 7, promise 4).

Journals are read as they lie there, read-only, without their lock, after the file: what the file held is decided, so
a majority of journals holds it by then. Memory: 25 bytes a round and node.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from node_runtime.codec import rendered
from node_runtime.errors import JournalError
from node_runtime.journal_frames import SEGMENT_HEADER, Owner, owner_of
from node_runtime.journal_scan import Scan, segment_name, segment_numbers
from node_runtime.messages import DIGEST_SIZE, Round
from node_runtime.storage import OsStorage
from votesync_cli.verify.findings import Findings, Judged, names, text_of
from votesync_cli.verify.reader import End, Fault, Run
from votesync_cli.verify.verdict import Place, plural

JOURNAL_DIR = "journal"
_CHUNK = 1024 * 1024


class _ReadOnly(OsStorage):
    """The real disk, but nothing on it can be changed."""

    def open(self, path: str, *, create: bool = False, exclusive: bool = False) -> int:
        """Open for reading."""
        assert not create
        assert not exclusive
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


class NodeJournal:
    """One node's journal: digest and end of each round, and whether the file holds its bytes there."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.node = -1
        self.digests = bytearray()
        self.ends = array("Q")
        self.fits = bytearray()
        self.decided = 0
        self.synced = 0
        self._unlike: dict[int, tuple[int, bytes]] = {}  # the first round that the file differs from

    def __len__(self) -> int:
        return len(self.fits)

    def read(self, directory: str) -> None:
        """Read all of it.

        Raises: JournalError, OSError.
        """
        storage = _ReadOnly()
        owner = _owner(storage, directory)
        self.node = owner.node
        scan = Scan(storage, directory, owner, None, self.take, self.cut)
        scan.replay()
        self.decided, self.synced = min(scan.decided, len(self)), min(scan.synced, len(self))

    def take(self, round_: Round) -> None:
        """The next round. The file may end inside it."""
        data = rendered(round_)
        found = os.pread(self._file, len(data), round_.offset) if data else b""
        fits = data.startswith(found) if len(found) < len(data) else data == found
        if not fits and not self._unlike:
            same = next((place for place, (a, b) in enumerate(zip(data, found, strict=False)) if a != b), len(found))
            line = data[data.rfind(b"\n", 0, same) + 1 :].split(b"\n", 1)[0]
            self._unlike[round_.index] = (round_.offset + same, line)
        self.digests += round_.digest
        self.ends.append(round_.end)
        self.fits.append(fits)

    def cut(self, after: int) -> None:
        """The rounds behind `after` were replaced."""
        del self.digests[after * DIGEST_SIZE :]
        del self.ends[after:]
        del self.fits[after:]
        self._unlike = {index: where for index, where in self._unlike.items() if index <= after}

    def digest(self, index: int) -> bytes:
        """Of round `index`, empty where it has none."""
        return bytes(self.digests[(index - 1) * DIGEST_SIZE : index * DIGEST_SIZE])

    def end(self, index: int) -> int:
        """Where round `index` ends in the file; 0 for round 0."""
        return self.ends[index - 1] if index else 0

    def unlike(self, index: int) -> tuple[int, bytes]:
        """(offset, the line as it should be) where the file first differs in round `index`, as far as that is known."""
        return self._unlike.get(index, (self.end(index - 1), b""))


def _owner(storage: OsStorage, directory: str) -> Owner:
    for number in segment_numbers(storage, directory):
        handle = storage.open(f"{directory}/{segment_name(number)}")
        try:
            owner = owner_of(storage.pread(handle, SEGMENT_HEADER, 0))
        finally:
            storage.close(handle)
        if owner is not None:
            return owner
    raise JournalError(f"{directory} holds no segment that can be read.")


class JournalJudge:
    """Compares the journals of all nodes (their data directories) with one another and with the file."""

    def __init__(self, file: Path, directories: Sequence[Path]) -> None:
        self._path = file
        self._directories = directories
        self._findings = Findings()

    def feed(self, run: Run) -> None:
        """The file is read again, beside the journals."""

    def fault(self, fault: Fault) -> None:
        """`framing` judges it."""

    def finish(self, end: End) -> tuple[Judged]:
        """Read the journals and judge."""
        unread: list[str] = []
        with self._path.open("rb", buffering=0) as stream:
            journals = self._read(stream.fileno(), unread)
            size = os.fstat(stream.fileno()).st_size
        if not journals:
            return (Judged("agreement", "", self._findings, f"journals that can be read ({names(unread, 1)})"),)
        top = max(journals, key=lambda journal: journal.decided)
        self._compare_nodes(journals, top)
        self._compare_file(journals, top, end.size, complete=not unread)
        synced = max(journals, key=lambda journal: journal.end(journal.synced))
        if size < synced.end(synced.synced):
            what = f"the file has {size:,} bytes, node {synced.node} knows of {synced.end(synced.synced):,} on the disk"
            self._findings.add(what)
        detail = f"{plural(len(journals), 'journal')}, decided up to round {top.decided:,} (byte {top.end(top.decided):,})"
        needs = f"the journals of all nodes ({names(unread, 1)})" if unread else ""
        return (Judged("agreement", detail, self._findings, needs),)

    def _read(self, file: int, unread: list[str]) -> list[NodeJournal]:
        journals: list[NodeJournal] = []
        for directory in self._directories:
            journal = NodeJournal(file)
            try:
                journal.read(str(directory / JOURNAL_DIR))
            except (JournalError, OSError) as error:
                unread.append(str(error))
                continue
            journals.append(journal)
        return journals

    def _compare_nodes(self, journals: Sequence[NodeJournal], top: NodeJournal) -> None:
        for journal in journals:
            common = journal.decided * DIGEST_SIZE
            if journal.digests[:common] != top.digests[:common]:
                index = next(i for i in range(1, journal.decided + 1) if journal.digest(i) != top.digest(i))
                self._findings.add(f"nodes {top.node} and {journal.node} have decided round {index} with different contents")

    def _compare_file(self, journals: Sequence[NodeJournal], top: NodeJournal, size: int, *, complete: bool) -> None:
        wrong = top.fits.find(0, 0, top.decided) + 1
        if wrong:
            self._differs(top, wrong)
            return
        index, longest = top.decided, max(journals, key=len)
        while index < len(longest) and longest.end(index) < size:  # behind the hint: decided if a majority holds it (rule 23)
            index += 1
            if _holders(journals, index) <= len(self._directories) // 2:
                if complete:
                    self._differs(longest, index)
                return
        if size > longest.end(index):
            offset = longest.end(index)
            what = f"the file has {size:,} bytes; the last round that a journal holds ends at byte {offset:,}"
            self._findings.add(what, self._line_at(offset))

    def _differs(self, journal: NodeJournal, index: int) -> None:
        offset, expected = journal.unlike(index)
        place = self._line_at(offset)
        what = f"line {place.line} is not what was decided: it differs from round {index} in the journal of node {journal.node}"
        self._findings.add(what, place, Place(place.line, text_of(expected), f"journal of node {journal.node}"))

    def _line_at(self, offset: int) -> Place:
        """The line that holds the byte at `offset`, found by counting."""
        line, start, at = 1, 0, 0
        with self._path.open("rb") as stream:
            while at < offset and (data := stream.read(min(_CHUNK, offset - at))):
                line += data.count(b"\n")
                newline = data.rfind(b"\n")
                start = at + newline + 1 if newline >= 0 else start
                at += len(data)
            stream.seek(start)
            return Place(line, text_of(stream.read(512).split(b"\n", 1)[0]))


def _holders(journals: Sequence[NodeJournal], index: int) -> int:
    """How many nodes hold the same round `index` as one another and as the file."""
    counts = Counter(each.digest(index) for each in journals if len(each) >= index and each.fits[index - 1])
    return max(counts.values(), default=0)


def journal_dirs(place: Path) -> list[Path]:
    """The data directories under `place` (or `place` itself) that hold a journal.

    Raises: OSError.
    """
    if (place / JOURNAL_DIR).is_dir():
        return [place]
    return sorted(child for child in place.iterdir() if (child / JOURNAL_DIR).is_dir())
