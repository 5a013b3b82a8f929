"""The table of `tail`: what it looks like on 60, 80, 120 columns and without a width, and what it says in words."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC

import pytest

from tests.unit import snapshot
from tests.unit.votelog_maker import EPOCH, LogMaker
from votesync_cli.views import Paper
from votesync_cli.views_rounds import SHAPES, RoundTable
from votesync_cli.views_tail import SpokenOutput
from votesync_cli.views_text import (
    ASCII,
    UNICODE,
    Line,
    count,
    duration,
    fold,
    listed,
    message_time,
    mood,
    sentence,
    sparkline,
    symbols_for,
)
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import HAPPENINGS, Happening, Item, RoundView


def story(nodes: int = 5) -> list[Item]:
    """A bit of everything: rounds, a no, a stalled turn, a leader that dies half way, rounds proposed in vain, a restart."""
    maker = LogMaker(nodes)
    maker.elect(0)
    maker.burst(2)
    maker.burst(1, no={nodes - 2})
    maker.burst(1, stalls=nodes - 1)
    maker.die_half_way(decided=True)
    maker.now += 0.7
    maker.elect(2)
    maker.burst(2, silent={1})
    maker.propose_in_vain(2)
    maker.elect(1)
    maker.burst(1)
    maker.start(0)
    maker.burst(1)
    stream = VoteStream(range(nodes))
    for event in maker.merged():
        stream.feed(event)
    items = [*stream.take(), *stream.close()]
    return [item for item in items if not (isinstance(item, Happening) and item.is_minor)]


def drawn(lines: Sequence[Line]) -> str:
    return "".join("".join(text for text, _ in line).rstrip() + "\n" for line in lines)


def table(width: int | None, nodes: int = 5, **more: object) -> str:
    layout = RoundTable(tuple(range(nodes)), width, zone=UTC, **more)  # type: ignore[arg-type]
    return drawn([layout.legend(), *layout.header(), *layout.lines(story(nodes)), layout.sampled(3120.4, 50)])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_its_width(width: int) -> None:
    text = table(width)
    assert max(map(len, text.splitlines())) <= width
    snapshot.check(f"tail_{width}", text)


def test_without_a_width_nothing_is_left_out() -> None:
    text = table(None)
    snapshot.check("tail_wide", text)
    view = next(item for item in story() if isinstance(item, RoundView))
    row = next(line for line in text.splitlines() if line.startswith("22:"))
    for got in view.messages.values():
        assert f"{got.many}@{got.earliest}" in row
    assert f"{view.start}+{view.size}" in row


def test_what_plain_says() -> None:
    stream = io.StringIO()
    SpokenOutput(Paper(stream, color=False), frozenset(), UTC).items(story())
    assert stream.getvalue().isascii()
    snapshot.check("tail_plain", stream.getvalue())


def test_ascii_tells_the_same() -> None:
    text = table(80, symbols=ASCII)
    assert text.isascii()
    snapshot.check("tail_80_ascii", text)


@pytest.mark.parametrize("nodes", [1, 3, 7, 64])
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, 300])
def test_a_row_is_never_wider_than_what_its_header_promised(nodes: int, width: int) -> None:
    layout = RoundTable(tuple(range(nodes)), width, zone=UTC)
    maker = LogMaker(nodes)
    maker.elect(0)
    maker.burst(4)
    stream = VoteStream(range(nodes))
    for event in maker.merged():
        stream.feed(event)
    rows = [line for item in stream.take() + stream.close() if isinstance(item, RoundView) for line in layout.row(item)]
    assert rows
    assert max(len("".join(text for text, _ in line)) for line in rows) <= max(width, 50)


def test_shapes_shrink_from_wide_to_narrow() -> None:
    widths = [RoundTable(tuple(range(16)))._total(shape) for shape in SHAPES]
    assert widths == sorted(widths, reverse=True)


def test_every_happening_has_a_sentence_and_a_mood() -> None:
    for event in sorted(HAPPENINGS):
        (folded,) = fold([Happening(event, 1, 2, EPOCH, {})])
        assert sentence(folded).startswith(("node 1", "turn"))
        assert mood(folded.happening) in {"good", "bad", "event"}


def test_a_round_whose_proposal_is_in_no_log_says_so() -> None:
    maker = LogMaker(3)
    maker.elect(0)
    maker.burst()
    maker.die_half_way(decided=False, logged=False)
    maker.elect(1)
    maker.burst()
    stream = VoteStream(range(3))
    for event in maker.merged():
        stream.feed(event)
    text = drawn(list(RoundTable((0, 1, 2), 100, zone=UTC).lines(stream.close())))
    assert "its proposal is in no log; node 1 saw it written in term 2" in text


def test_a_node_lost_by_many_is_one_line() -> None:
    lost = [Happening("peer_down", node, 1, EPOCH, {"peer": 4, "reason": "closed"}) for node in (0, 2, 0)]
    (folded,) = fold(lost)
    assert sentence(folded) == "nodes 0 and 2 lost node 4: closed (2 times)"


@pytest.mark.parametrize(("us", "text"), [
    (None, "-"), (0, "0µs"), (999, "999µs"), (1000, "1.00ms"), (9_994, "9.99ms"), (9_996, "10.0ms"), (99_960, "100ms"),
    (999_499, "999ms"), (999_500, "1.00s"), (61_000_000, "61.0s"),
])  # fmt: skip
def test_durations_have_three_digits(us: int | None, text: str) -> None:
    assert duration(us) == text


def test_message_times_are_dates_where_they_can_be() -> None:
    assert message_time(368_186, UTC) == "368186"
    assert message_time(1_700_000_000_123_456, UTC) == "22:13:20.123"
    assert message_time(2**53, UTC) == str(2**53)


def test_small_things() -> None:
    assert listed([]) == "none"
    assert listed([3]) == "3"
    assert listed([0, 1, 4]) == "0, 1 and 4"
    assert count(1234567) == "1,234,567"
    assert sparkline([0, 1, 2, 4]) == "▁▃▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert symbols_for("utf-8") is UNICODE
    assert symbols_for("latin-1") is ASCII
    assert symbols_for(None) is ASCII
