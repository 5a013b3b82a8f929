"""What the tests of journal and shared file share: rounds to store, and a directory on a real or a simulated disk."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node_runtime.codec import encode_round
from node_runtime.journal import HardState, Journal
from node_runtime.messages import GENESIS, Message, Policy, Round
from node_runtime.records import native_body, render_block
from node_runtime.storage import OsStorage, Storage
from tests.simulation.disk import SimDisk

TAG = b"cluster1"
SEGMENT = 64 * 1024


def make_rounds(count: int, *, after: Round | None = None, term: int = 1, messages: int = 2, text: str = "") -> list[Round]:
    """Rounds that follow one another and the round `after`."""
    rounds: list[Round] = []
    last = after
    for _ in range(count):
        index, parent, offset = (last.index + 1, last.digest, last.end) if last else (1, GENESIS, 0)
        body = f"{index}/{term}{text}"
        batch = [
            Message(index * 10 + k, k % 4, f"c{k}", index, render_block(k % 4, native_body(f"c{k}", index, body)))
            for k in range(messages)
        ]
        last = encode_round(index, term, parent, Policy.TURNS, offset, batch)
        rounds.append(last)
    return rounds


class Bench(Protocol):
    """A directory on some disk, and hands to damage what is in it."""

    root: str

    def mount(self) -> Storage:
        """The storage of a new process."""

    def get(self, path: str) -> bytes:
        """A file's bytes."""

    def put(self, path: str, data: bytes) -> None:
        """Put a whole file there."""

    def remove(self, path: str) -> None:
        """Take a file away."""

    def names(self, path: str) -> list[str]:
        """The names in a directory."""


class OsBench:
    """A real directory."""

    def __init__(self, root: str) -> None:
        self.root = root

    def mount(self) -> Storage:
        """See `Bench`."""
        return OsStorage()

    def get(self, path: str) -> bytes:
        """See `Bench`."""
        with open(path, "rb") as file:
            return file.read()

    def put(self, path: str, data: bytes) -> None:
        """See `Bench`."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def remove(self, path: str) -> None:
        """See `Bench`."""
        os.unlink(path)

    def names(self, path: str) -> list[str]:
        """See `Bench`."""
        return sorted(os.listdir(path))


class SimBench:
    """A directory of a simulated disk."""

    def __init__(self, seed: int) -> None:
        self.root = "/n"
        self.disk = SimDisk(random.Random(seed))

    def mount(self) -> Storage:
        """See `Bench`."""
        return self.disk.mount()

    def get(self, path: str) -> bytes:
        """See `Bench`."""
        return self.disk.content(path)

    def put(self, path: str, data: bytes) -> None:
        """See `Bench`."""
        self.disk.put(path, data)

    def remove(self, path: str) -> None:
        """See `Bench`."""
        self.disk.mount().unlink(path)

    def names(self, path: str) -> list[str]:
        """See `Bench`."""
        return self.disk.mount().listdir(path)


@dataclass
class Replayed:
    """A journal and what its replay told."""

    rounds: list[Round] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)

    def on_round(self, round_: Round) -> None:
        """As `Journal.open` wants it."""
        assert round_.index == len(self.rounds) + 1
        self.rounds.append(round_)

    def on_cut(self, after: int) -> None:
        """As `Journal.open` wants it."""
        assert after < len(self.rounds)
        self.cuts.append(after)
        del self.rounds[after:]


def open_journal(
    storage: Storage, root: str, *, tag: bytes = TAG, node: int = 0, segment: int = SEGMENT
) -> tuple[Journal, Replayed]:
    """Open and replay."""
    replayed = Replayed()
    journal = Journal.open(storage, root, tag, node, segment, on_round=replayed.on_round, on_cut=replayed.on_cut)
    return journal, replayed


def fill(storage: Storage, root: str, rounds: Sequence[Round], *, segment: int = SEGMENT) -> list[int]:
    """Store `rounds`, one a frame, by a node in term 9; where each frame ends in its segment."""
    journal, _ = open_journal(storage, root, segment=segment)
    journal.save_state(HardState(9, 1))
    ends = []
    for round_ in rounds:
        journal.append(round_.index - 1, (round_,), round_.index, round_.offset)
        ends.append(journal._end)
    journal.close()
    return ends
