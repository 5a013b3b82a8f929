"""The load generator without its sockets: latencies, what a client says and hears, what counts."""

from __future__ import annotations

import json
import random

import pytest

from node_runtime.bench import VotesyncWire
from node_runtime.bench_lanes import Tally, WireError
from node_runtime.histogram import Histogram


def ack(seq: int) -> bytes:
    return json.dumps({"ok": True, "session": "s", "seq": seq, "round": 1, "offset": 0}).encode() + b"\n"


def test_small_values_are_exact_and_great_ones_within_two_percent() -> None:
    for value in [*range(200), 999, 12_345, 10**6, 10**9]:
        histogram = Histogram()
        histogram.add(value)
        (upper,) = [upper for upper, _ in histogram.rows()]
        assert value <= upper <= value * 1.016


def test_quantiles_are_those_of_the_sorted_values() -> None:
    chance = random.Random(4)
    values = sorted(chance.randrange(1, 100_000) for _ in range(1000))
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    for share in (0.5, 0.9, 0.99, 1.0):
        wanted = values[int(share * 1000) - 1]
        assert wanted <= (histogram.quantile(share) or 0) <= wanted * 1.016
    assert Histogram().quantile(0.5) is None


def test_merged_histograms_count_as_one() -> None:
    one, other = Histogram(), Histogram()
    one.add(50, 3)
    other.add(5000, 7)
    one.merge(other.rows())
    assert one.total == 10
    assert one.rows()[0] == (50, 3)
    assert (one.quantile(0.3), one.quantile(0.31)) == (50, other.quantile(1.0))


def test_one_message_is_a_line_and_more_are_a_batch() -> None:
    wire = VotesyncWire("s", 4)
    single = json.loads(wire.requests(1))
    assert (single["op"], single["session"], single["seq"], single["message"]) == ("append", "s", 1, "0001")
    batch = json.loads(wire.requests(3))
    assert batch["seq"] == 2
    assert [text for _, text in batch["messages"]] == ["0002", "0003", "0004"]


@pytest.mark.parametrize("size", [1, 16, 16_384])
def test_no_line_is_longer_than_a_node_takes(size: int) -> None:
    wire = VotesyncWire("a-session", size)
    lines = wire.requests(2000).splitlines()
    assert max(map(len, lines)) <= 64 * 1024
    seqs = [
        json.loads(line)["seq"] + place for line in lines for place in range(len(json.loads(line).get("messages", ["one"])))
    ]
    assert seqs == list(range(1, 2001))


def test_acks_are_cumulative_and_may_be_cut_anywhere() -> None:
    wire = VotesyncWire("s", 4)
    wire.requests(5)
    data = ack(2) + ack(5)
    found = [wire.feed(data[place : place + 1])[0] for place in range(len(data))]
    assert [news for news in found if news] == [2, 3]


def test_an_error_reply_is_an_error_with_its_code() -> None:
    wire = VotesyncWire("s", 4)
    with pytest.raises(WireError, match="no_quorum"):
        wire.feed(b'{"ok":false,"seq":1,"code":"no_quorum","error":"none","retry":true}\n')


def test_after_a_loss_the_node_is_asked_and_the_rest_is_sent_again_under_its_numbers() -> None:
    wire = VotesyncWire("s", 4)
    wire.requests(5)
    wire.feed(ack(2) + b'{"ok":true,"sess')
    assert json.loads(wire.again()) == {"op": "hello", "session": "s"}
    assert wire.feed(b'{"ok":true,"session":"s","last_seq":3}\n')[0] == 1
    assert json.loads(wire.requests(2))["seq"] == 4


def test_only_what_ends_within_the_time_counts() -> None:
    tally = Tally(begin=1_000_000_000, end=3_000_000_000)
    tally.count(999_999_999, 0, 1)
    tally.count(1_000_000_000, 999_000_000, 2)
    tally.count(2_500_000_000, 2_400_000_000, 4)
    tally.count(3_000_000_000, 0, 8)
    assert tally.acked == 15
    assert tally.latencies.rows() == [(1007, 2), (100351, 4)]
    assert dict(tally.seconds) == {0: 2, 1: 4}
