"""Rot on real disks: a journal damaged at every record on one of three, output.txt damaged live and stopped. Never silent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from node_runtime.journal_frames import SEGMENT_HEADER, FrameReader, Owner, owner_of
from node_runtime.storage import OsStorage
from tests.e2e.faults.conftest import ALL
from tests.e2e.faults.trio import MESSAGES, VICTIM, Trio, until
from votesync_cli.verify.check import Evidence, check

Damage = Callable[[bytearray, list[tuple[int, int]], int], None]


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    """Three nodes at work; node 0 is stopped."""
    made = Trio(tmp_path_factory.mktemp("damage") / "trio")
    try:
        for node in range(3):
            made.start(node)
        until(lambda: all(made.is_well(node) for node in range(3)), "three work")
        made.send()
        made.agree()
        assert made.end(VICTIM) == 0
        yield made
    finally:
        made.close()


def records(path: str) -> list[tuple[int, int]]:
    """(start, end) of each record of a segment."""
    storage = OsStorage()
    handle = storage.open(path)
    try:
        owner = owner_of(storage.pread(handle, SEGMENT_HEADER, 0))
        assert isinstance(owner, Owner)
        reader = FrameReader(storage, handle, os.path.getsize(path), owner.seed)
        return [(frame.start, frame.end) for frame in reader.frames(SEGMENT_HEADER)]
    finally:
        storage.close(handle)


def flip(data: bytearray, places: list[tuple[int, int]], number: int) -> None:
    start, end = places[number]
    data[(start + end) // 2] ^= 0x10


def zero_sector(data: bytearray, places: list[tuple[int, int]], number: int) -> None:
    start = places[number][0] // 512 * 512
    data[max(start, SEGMENT_HEADER) : start + 512] = bytes(start + 512 - max(start, SEGMENT_HEADER))


def truncate(data: bytearray, places: list[tuple[int, int]], number: int) -> None:
    del data[places[number][0] + 5 :]


def swap(data: bytearray, places: list[tuple[int, int]], number: int) -> None:
    (a, b), (c, d) = places[number - 1], places[number]
    data[a:d] = data[c:d] + data[b:c] + data[a:b]


def older_copy(data: bytearray, places: list[tuple[int, int]], number: int) -> None:
    (a, b), (c, d) = places[number - 1], places[number]
    data[c:d] = (data[a:b] + bytes(d - c))[: d - c]


HARM: dict[str, Damage] = {
    "flip": flip,
    "zero a sector": zero_sector,
    "truncate": truncate,
    "swap": swap,
    "an older copy": older_copy,
}


def write_rounds(trio: Trio) -> None:
    """Twenty rounds more in everybody's journal, each a record; the victim is stopped again after it."""
    trio.start(VICTIM)
    trio.agree()
    trio.send()
    trio.agree()
    assert trio.end(VICTIM) == 0


@pytest.mark.parametrize("name", list(HARM))
def test_rules_20_21_a_journal_damaged_at_any_record_is_fetched_again_or_the_node_stops_loudly(trio: Trio, name: str) -> None:
    harm = HARM[name]
    path = trio.data(VICTIM) / "journal" / "00000001.log"
    repaired = 0
    for number in range(1, MESSAGES) if ALL else (1, MESSAGES // 2, MESSAGES - 1):
        write_rounds(trio)  # what was fetched after the last damage lies in few large records
        places = records(str(path))[-MESSAGES:]
        assert len(places) == MESSAGES
        data = bytearray(path.read_bytes())
        whole = bytes(data)
        harm(data, places, number)
        assert bytes(data) != whole
        path.write_bytes(data)
        trio.start(VICTIM)
        until(
            lambda: trio.code(VICTIM) is not None or trio.is_well(VICTIM), f"{name} at record {number}: it works or has ended"
        )
        if trio.code(VICTIM) is None:
            repaired += 1
            trio.agree()
            assert trio.end(VICTIM) == 0
        else:
            said = trio.errors(VICTIM).read_text()
            assert trio.code(VICTIM) != 0
            assert "journal" in said, said
            assert "by a bug" not in said, said
            trio.forget(VICTIM)
            path.write_bytes(whole)
        trio.compare()
    print(f"{name}: repaired {repaired} times")


@pytest.mark.parametrize("place", [0.0, 0.5, 0.95])
def test_output_that_was_changed_while_all_work_is_found_and_nobody_starts_on_it(trio: Trio, place: float) -> None:
    trio.start(VICTIM)
    trio.agree()
    output = trio.shared / "output.txt"
    until(
        lambda: all(trio.status(node)["synced"] >= trio.status(node)["decided"] - 1 for node in range(3)), "the file is fsynced"
    )
    at = int(output.stat().st_size * place)
    descriptor = os.open(output, os.O_RDWR)
    right = os.pread(descriptor, 1, at)
    try:
        os.pwrite(descriptor, bytes([right[0] ^ 1]), at)
        report = check(output, Evidence(journals=[trio.data(node) for node in range(3)]))
        assert "agreement" in {verdict.rule for verdict in report.failed}
        trio.end(VICTIM)
        trio.start(VICTIM)
        until(lambda: trio.code(VICTIM) is not None, "it does not start on a file that is not the cluster's")
        said = trio.errors(VICTIM).read_text()
        assert trio.code(VICTIM) != 0
        assert f"it differs at byte {at}" in said
        trio.forget(VICTIM)
    finally:
        os.pwrite(descriptor, right, at)
        os.close(descriptor)
    trio.start(VICTIM)
    trio.agree()
    assert trio.end(VICTIM) == 0
    trio.compare()


@pytest.mark.parametrize("harm", ["cut short", "emptied", "removed"])
def test_output_that_lost_its_end_while_all_were_dead_is_made_whole_again(trio: Trio, harm: str) -> None:
    trio.start(VICTIM)
    trio.agree()
    for node in range(3):
        trio.end(node, signal.SIGKILL)
    output = trio.shared / "output.txt"
    before = output.read_bytes()
    if harm == "removed":
        output.unlink()
    else:
        os.truncate(output, 0 if harm == "emptied" else len(before) - 17)
    for node in range(3):
        trio.start(node)
    trio.agree()
    assert output.read_bytes().startswith(before)
    assert trio.end(VICTIM) == 0
    trio.compare()
