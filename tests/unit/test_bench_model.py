"""`bench`: the plan, what the shared file's growth tells, the histogram that people read, and the result."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node_runtime.records import native_block, render_round
from votesync_cli.bench_model import ROWS, BenchResult, FileMeter, LoadPlan, coarse, report_of
from votesync_cli.errors import CommandFailed, UsageError
from votesync_cli.views_text import ASCII

REPORT: dict[str, Any] = {
    "clients": 5, "in_flight": 1, "size": 16, "seconds": 2.0, "messages": 60, "rate": 30.0, "acked": 70, "unknown": 0,
    "errors": {}, "mean_us": 900, "p50_us": 850, "p90_us": 1500, "p99_us": 4000, "p999_us": 4000, "max_us": 4100,
    "histogram": [[850, 40], [1500, 15], [4100, 5]],
}  # fmt: skip


def a_round(first: int, nodes: list[int]) -> bytes:
    return render_round([native_block(node, f"s{node}", first + place, "text") for place, node in enumerate(nodes)])


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--clients", {"clients": 0}),
        ("--in-flight", {"in_flight": 0}),
        ("--size", {"size": 16385}),
        ("--for", {"seconds": 0.1}),
    ],
)
def test_a_plan_names_the_option_that_cannot_be(option: str, values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=option):
        LoadPlan(**values)


def test_the_command_names_every_node_and_every_number() -> None:
    words = LoadPlan(7, 32, 100, 1.5).words(["cluster_sync_1:5000", "cluster_sync_2:5001"], "bench-x")
    text = " ".join(words)
    assert "--node cluster_sync_1:5000 --node cluster_sync_2:5001" in text
    assert text.endswith("--clients 7 --in-flight 32 --size 100 --for 1.5")


@pytest.mark.parametrize("piece", [1, 7, 63, 64, 65, 1000, 100_000])
def test_the_file_is_counted_right_however_it_is_cut(piece: int) -> None:
    data = b"".join(a_round(index * 10, [0, 2, 2, 10]) for index in range(50)) + a_round(10_000, [0] * 20)
    meter = FileMeter([0, 1, 2, 10])
    for start in range(0, len(data), piece):
        meter.feed(data[start : start + piece])
    meter.feed(b"x" * 64)  # what is in the last bytes is counted when more has come
    moment = meter.look(2.0)
    assert {node: total for node, (_, total) in moment.per_node.items()} == {0: 70, 1: 0, 2: 100, 10: 50}
    assert moment.messages == 220
    assert moment.rounds_s == pytest.approx(51 / 2.0)
    assert moment.bytes_s == pytest.approx((len(data) + 64) / 2.0)


def test_a_text_that_looks_like_a_block_is_none() -> None:
    meter = FileMeter([0])
    meter.feed(render_round([native_block(0, "s", 1, "Container 0  Mensagem: " + "#" * 60)]) + b"x" * 64)
    assert meter.look(1.0).messages == 1


def test_rates_are_of_the_time_since_the_last_look() -> None:
    meter = FileMeter([0])
    meter.feed(a_round(0, [0] * 10) + b"x" * 64)
    meter.look(1.0)
    assert meter.look(2.0).messages_s == 0
    assert meter.look(3.0).rates == (10.0, 0.0, 0.0)


def test_the_live_table_sums_up() -> None:
    meter = FileMeter([0, 1])
    meter.feed(a_round(0, [0, 0, 1]) + b"x" * 64)
    assert meter.look(1.0).table().rows == (("0", "2", "2"), ("1", "1", "1"), ("all", "3", "3"))


def test_the_histogram_has_limits_that_people_read_and_loses_nothing() -> None:
    rows = coarse([(87, 3), (90, 1), (130, 5), (1999, 2)])
    assert rows == [(100, 4), (200, 5), (500, 0), (1000, 0), (2000, 2)]


def test_a_wide_histogram_is_made_narrower() -> None:
    fine = [(10**power, 1) for power in range(8)]
    rows = coarse(fine)
    assert len(rows) <= ROWS
    assert sum(count for _, count in rows) == 8
    assert rows[-1][0] >= 10**7


def test_the_result_as_text() -> None:
    assert BenchResult("demo", 5, "turns", REPORT, ASCII).to_text() == (
        "30 messages/s acknowledged: 5 clients, one in flight each, 16 bytes, 2 s, 5 nodes, writer turns.\n"
        "latency  p50 850us  p90 1.50ms  p99 4.00ms  p99.9 4.00ms  max 4.10ms\n"
        "\n"
        " UP TO  MESSAGES  SHARE\n"
        "1.00ms        40  66.7%  @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\n"
        "2.00ms        15  25.0%  @@@@@@@@@@@@@@@\n"
        "5.00ms         5   8.3%  @@@@@"
    )


def test_what_went_wrong_is_said_and_an_unknown_fate_is_a_failure() -> None:
    result = BenchResult("demo", 5, "turns", {**REPORT, "errors": {"closed": 2}, "unknown": 3})
    assert result.exit_code == 1
    assert "begin again: closed 2" in result.to_text()
    assert "3 messages were not acknowledged" in result.to_text()
    assert BenchResult("demo", 5, "turns", REPORT).exit_code == 0


def test_a_load_that_got_nowhere_says_so() -> None:
    nothing = {
        **REPORT,
        "messages": 0,
        "rate": 0.0,
        "histogram": [],
        **dict.fromkeys(("p50_us", "p90_us", "p99_us", "p999_us", "max_us")),
    }
    result = BenchResult("demo", 5, "turns", nothing)
    assert result.exit_code == 1
    assert result.to_text().startswith("0 messages/s")


def test_the_result_as_json() -> None:
    (row,) = BenchResult("demo", 5, "winner", REPORT).to_json()
    assert (row["verb"], row["writer"], row["rate"]) == ("bench", "winner", 30.0)


def test_the_last_line_of_the_load_is_its_report() -> None:
    assert report_of(0, b"noise\n" + json.dumps(REPORT).encode() + b"\n", b"") == REPORT


@pytest.mark.parametrize(("out", "err", "told"), [(b"", b"usage: what\n", "usage: what"), (b"{}", b"", "ended with 2")])
def test_a_load_without_a_report_fails_in_its_own_words(out: bytes, err: bytes, told: str) -> None:
    with pytest.raises(CommandFailed, match=told):
        report_of(2, out, err)
