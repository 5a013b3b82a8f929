"""Who was overtaken: cases made by hand, the slow way, and from a file with and without histories."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.run_maker import EPOCH, RunMaker
from votesync_cli.report.clients import clients
from votesync_cli.report.fairness import OrderReader, Overtaking, overtaking
from votesync_cli.verify.history import Histories
from votesync_cli.verify.reader import Run, read

NAMES = ("a", "b", "c")


def found(*rows: tuple[int, int]) -> Overtaking:
    """(client, when it was sent) in the order of the file."""
    return overtaking([client for client, _ in rows], [t for _, t in rows], NAMES)


def test_in_the_order_of_sending_nobody_is_overtaken() -> None:
    fair = found((0, 10), (1, 20), (2, 30), (0, 40))
    assert (fair.overtaken, fair.pairs, fair.by) == (0, 0, None)
    assert fair.clients["a"] == (2, 0, None)


def test_equal_times_overtake_nobody() -> None:
    assert found((0, 10), (1, 10), (2, 10)).overtaken == 0


def test_one_message_behind_two_later_ones_is_one_overtaken_in_two_pairs() -> None:
    unfair = found((0, 30), (1, 50), (2, 20))
    assert (unfair.messages, unfair.overtaken, unfair.pairs) == (3, 1, 2)
    assert unfair.by == (1, 30, 30, 30)  # by the later of the two: 50 - 20
    assert unfair.clients["c"] == (1, 1, (1, 30, 30, 30))
    assert unfair.clients["b"] == (1, 0, None)


def test_a_client_does_not_overtake_itself() -> None:
    assert found((0, 50), (0, 20)).overtaken == 0
    mixed = found((1, 30), (0, 50), (0, 20))  # the 20 of a: behind its own 50, and behind the 30 of b
    assert (mixed.overtaken, mixed.pairs) == (1, 1)
    assert mixed.by == (1, 10, 10, 10)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30))))
def test_it_agrees_with_the_slow_way(rows: list[tuple[int, int]]) -> None:
    leads = [
        [later - t for other, later in rows[:place] if other != client and later > t]
        for place, (client, t) in enumerate(rows)
    ]  # fmt: skip
    result = found(*rows)
    assert result.overtaken == sum(map(bool, leads))
    assert result.pairs == sum(map(len, leads))
    assert (result.by.most if result.by else 0) == max((max(lead) for lead in leads if lead), default=0)


# --- from files ---


@pytest.fixture
def maker() -> RunMaker:
    """Client 1 sends first, and is written a round later than client 0."""
    maker = RunMaker()
    early, late = maker.send("1", 1), maker.send("0", 0)
    maker.round(late)
    maker.round(early)
    return maker


def order_of(file: bytes, histories: Histories | None) -> Overtaking:
    people = clients(histories, None) if histories is not None else None
    reader = OrderReader(histories, people.sends if people is not None else {})
    for piece in read(io.BytesIO(file)):
        if isinstance(piece, Run):
            reader.feed(piece)
    return reader.result()


def histories_of(maker: RunMaker, directory: Path) -> Histories:
    histories = Histories()
    for path in sorted((maker.keep(directory) / "history").iterdir()):
        histories.read_file(path)
    return histories


def test_the_histories_say_when_a_block_was_sent(maker: RunMaker, tmp_path: Path) -> None:
    result = order_of(bytes(maker.file), histories_of(maker, tmp_path / "run"))
    assert (result.messages, result.overtaken, result.pairs) == (2, 1, 1)
    assert result.by == (1, 1000, 1000, 1000)
    assert result.clients["1"].overtaken == 1


def test_without_histories_the_times_of_the_file_are_taken(maker: RunMaker) -> None:
    result = order_of(bytes(maker.file), None)
    assert (result.overtaken, result.by) == (1, (1, 1000, 1000, 1000))


def test_a_block_that_no_history_has_is_counted_apart(maker: RunMaker, tmp_path: Path) -> None:
    histories = histories_of(maker, tmp_path / "run")
    stranger = f"Container 2 \nMensagem: client 9 time: {EPOCH} - message: 1\n{'#' * 56}\n".encode()
    result = order_of(bytes(maker.file) + stranger, histories)
    assert (result.messages, result.unplaced) == (2, 1)


def test_a_block_out_of_its_place_is_found_by_its_time_and_text(tmp_path: Path) -> None:
    maker = RunMaker()
    first, second = maker.send("0", 0), maker.send("0", 0)
    maker.round(first)
    maker.round(second)
    histories = histories_of(maker, tmp_path / "run")
    lines = bytes(maker.file).splitlines(keepends=True)
    swapped = b"".join([*lines[3:6], *lines[0:3]])
    result = order_of(swapped, histories)
    assert (result.messages, result.unplaced, result.overtaken) == (2, 0, 0)
