"""What `tail` prints of the past, and how its table grows."""

from __future__ import annotations

import io
from datetime import UTC

import pytest

from tests.unit.votelog_maker import EPOCH
from votesync_cli.commands.tail import _events, _last, _time
from votesync_cli.commands.tailing import LastRounds
from votesync_cli.errors import UsageError
from votesync_cli.views import Paper
from votesync_cli.views_tail import TableOutput
from votesync_cli.votes_model import Happening, Item, RoundView


def a_round(index: int, ts: float = EPOCH) -> RoundView:
    return RoundView(index, "aa", "written", 1, 0, ts, 1, 0, 60)


def lost(node: int, peer: int = 2) -> Happening:
    return Happening("peer_down", node, 1, EPOCH, {"peer": peer, "reason": "closed"})


def test_of_the_past_only_the_last_rounds_are_kept() -> None:
    past = LastRounds(2)
    items: list[Item] = [a_round(1), lost(0), a_round(2), a_round(3)]
    assert past.take(items, until=EPOCH + 10) == []
    assert past.take([a_round(4, EPOCH + 10)], until=EPOCH + 10) == [
        lost(0), a_round(2), a_round(3), a_round(4, EPOCH + 10),
    ]  # fmt: skip
    assert past.take([a_round(5)], until=EPOCH + 10) == [a_round(5)], "once over, the past stays over"


def test_all_of_the_past_or_none_of_it() -> None:
    assert LastRounds(None).take([a_round(1)], until=EPOCH + 10) == [a_round(1)]
    none = LastRounds(0)
    assert none.take([a_round(1), a_round(2)], until=EPOCH + 10) == []
    assert none.end() == []


def printed(nodes: int, *batches: list[Item], asked: frozenset[str] = frozenset()) -> str:
    stream = io.StringIO()
    output = TableOutput(Paper(stream, color=False), tuple(range(nodes)), asked, UTC)
    for batch in batches:
        output.items(batch)
    return stream.getvalue()


def test_a_table_begins_with_its_legend_and_header() -> None:
    text = printed(3, [a_round(7)], [a_round(8)])
    assert text.splitlines()[0].startswith("+ yes")
    assert text.count("round  term  lead") == 1
    assert [line.split()[1] for line in text.splitlines()[3:]] == ["7", "8"]


def test_what_a_node_says_again_is_printed_again_after_the_next_round_only() -> None:
    text = printed(3, [lost(0)], [lost(0)], [a_round(1), lost(0)])
    assert text.count("lost node 2") == 2


def test_what_is_hardly_news_is_printed_where_somebody_asks_for_it() -> None:
    follows = Happening("follow", 1, 1, EPOCH, {"leader": 0})
    assert "follows" not in printed(3, [follows])
    assert "node 1 follows node 0" in printed(3, [follows], asked=frozenset({"follow"}))


def test_since_takes_durations_dates_and_unix_seconds() -> None:
    assert _time("90s", 1000.0) == 910.0
    assert _time("1.5m", 1000.0) == 910.0
    assert _time("2h", 10_000.0) == 2800.0
    assert _time("1700000000.5", 0.0) == 1_700_000_000.5
    assert _time("2023-11-14T22:13:20+00:00", 0.0) == EPOCH
    with pytest.raises(UsageError, match="yesterday"):
        _time("yesterday", 0.0)


def test_last_takes_a_number_or_all() -> None:
    assert _last(None, follow=True) == 20
    assert _last(None, follow=False) is None
    assert _last("all", follow=True) is None
    assert _last("0", follow=True) == 0
    for wrong in ("-1", "x", "1.5", "²", ""):
        with pytest.raises(UsageError):
            _last(wrong, follow=True)


def test_events_are_checked() -> None:
    assert _events(["leader", "step-down,round"]) == {"leader", "step_down", "round"}
    with pytest.raises(UsageError, match="elections"):
        _events(["elections"])
