"""The benchmarks' pure parts: medians, targets, tables, the page, and the gRPC that etcd is spoken to with."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest

from benchmarks import grpc_wire, report, tables
from benchmarks.procs import BenchmarkError
from benchmarks.stats import Spread, short, spread, spread_text, table
from benchmarks.targets import TARGETS, Medians
from node_runtime.bench_lanes import WireError


def rate(value: float, p50: int = 100) -> dict[str, Any]:
    return {
        "rate": value,
        "p50_us": p50,
        "p99_us": 3 * p50,
        "members_cpu_us": 10.0,
        "clients_cpu_us": 1.0,
        "written_bytes": None,
    }


def repetition(factor: float) -> dict[str, Any]:
    return {
        "votesync-turns": {"closed": rate(3000 * factor, 900), "pipelined": rate(100_000)},
        "etcd-lock": {"closed": rate(50), "alone": rate(200)},
        "pysyncobj": {"closed": rate(30), "pipelined": rate(5000)},
        "pysyncobj-unbatched": {"closed": rate(2000), "pipelined": rate(3000)},
        "fdatasync": {"alone": rate(7000, 140)},
        "loopback": {"alone": rate(40_000, 20)},
    }


RESULT: dict[str, Any] = {
    "machine": {
        "when": "2026-01-01 00:00 UTC", "commit": "abc", "processor": "P", "cores": 2, "memory_gib": 8.0, "kernel": "Linux 6",
        "file_system": "ext4", "python": "3.12.0", "uvloop": None, "load_before": 0.1,
    },
    "span": {"seconds": 5.0, "warm_up": 1.0, "size": 16},
    "systems": {"votesync-turns": {"title": "votesync", "settings": {"options": "defaults"}}},
    "missing": {"redis-lock": {"title": "Redis lock", "why": "there is no redis-server here"}},
    "failures": [],
    "repetitions": [repetition(1.0), repetition(1.1), repetition(0.9)],
}  # fmt: skip


def of(title: str) -> Any:
    return next(target for target in TARGETS if target.title == title)


def test_spreads() -> None:
    assert spread([]) is None
    assert spread([3, 1, 2]) == Spread(2, 1, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1418, "0.142"), (5.12, "5.12"), (1240, "1,240"), (40_200, "40.2 k"), (1_080_000, "1.08 M"), (0, "0"), (None, "–")],
)
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert short(value) == text


def test_a_spread_names_its_ends_where_it_has_any() -> None:
    assert spread_text(Spread(2, 1, 3)) == "2.00 (1.00–3.00)"
    assert spread_text(Spread(2, 2, 2)) == "2.00"


def test_a_table_of_markdown() -> None:
    assert table(("a", "b"), [("x|y", "1")]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |"


def test_ratios_are_of_medians() -> None:
    medians = Medians(RESULT["repetitions"])
    assert of("closed ×5 / etcd lock").ratio(medians, "votesync-turns") == pytest.approx(60)
    assert of("closed ×5 / etcd lock, one client alone").ratio(medians, "votesync-turns") == pytest.approx(15)


def test_the_best_of_the_others_counts() -> None:
    medians = Medians(RESULT["repetitions"])
    assert of("closed ×5 / PySyncObj's best").ratio(medians, "votesync-turns") == pytest.approx(1.5)
    assert of("256 × 5 / PySyncObj's best").ratio(medians, "votesync-turns") == pytest.approx(20)


def test_the_latency_is_over_what_a_vote_takes_at_least() -> None:
    target = of("p50 closed ×5 / (fdatasync + two loopback round trips)")
    assert target.ratio(Medians(RESULT["repetitions"]), "votesync-turns") == pytest.approx(900 / 180)
    assert target.is_met("turns", 8.0)
    assert not target.is_met("winner", 4.1)


def test_what_was_not_measured_has_no_ratio() -> None:
    medians = Medians(RESULT["repetitions"])
    assert of("closed ×5 / etcd puts").ratio(medians, "votesync-turns") is None
    assert of("closed ×5 / etcd lock").ratio(medians, "votesync-winner") is None
    assert of("256 × 5 / one process, group commit of 256").is_met("turns", 0.01) is None


def test_the_page_tells_missing_peers_and_missed_targets() -> None:
    text = tables.compare(RESULT)
    assert "missing: there is no redis-server here" in text
    assert "**60.0** ✓" in text
    assert "not measured" in text


def test_a_missed_target_is_marked() -> None:
    facts = [{"what": "w", "unit": "s", "values": [2.0, 3.0, 4.0], "limit": 2.0, "at_least": False}]
    assert "3.00 (2.00–4.00) ✗" in tables.facts({"machine": RESULT["machine"], "facts": facts})


def test_every_part_of_the_page_has_its_place() -> None:
    page = report.PAGE.read_text("utf-8")
    assert re.findall(r"<!-- begin ([a-z-]+) -->", page) == list(tables.RENDERERS)
    filled = report.placed(page, "idle", "a \\1 table")
    assert "<!-- begin idle -->\n\na \\1 table\n\n<!-- end idle -->" in filled
    assert report.placed(filled, "idle", "a \\1 table") == filled


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="begin idle"):
        report.placed("nothing", "idle", "text")


# --- gRPC ---


def test_protobuf_there_and_back() -> None:
    data = grpc_wire.field_int(1, 300) + grpc_wire.field_bytes(2, b"key") + grpc_wire.field_int(3, 2**62)
    assert grpc_wire.fields(data) == {1: 300, 2: b"key", 3: 2**62}
    assert grpc_wire.varint(300) == b"\xac\x02"  # the example of protobuf's own documentation


def answered(stream: int, body: bytes = b"") -> bytes:
    message = b"\0" + struct.pack(">I", len(body)) + body
    return (
        grpc_wire.frame(1, 4, stream, b"\x88") + grpc_wire.frame(0, 0, stream, message) + grpc_wire.frame(1, 5, stream, b"\x88")
    )


def test_a_call_is_headers_and_data_on_a_stream_of_its_own() -> None:
    link = grpc_wire.Http2("127.0.0.1:1")
    first, second = link.call("/a/B", b"x"), link.call("/a/B", b"x")
    assert (first[3], first[5:9]) == (1, b"\0\0\0\1")
    assert (second[3], second[5:9]) == (1, b"\0\0\0\3")
    assert b"/a/B" in first
    assert first.endswith(b"\0\0\0\0\1x")


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_answers_are_taken_however_they_are_cut(piece: int) -> None:
    link = grpc_wire.Http2("127.0.0.1:1")
    for _ in range(3):
        link.call("/a/B", b"x")
    data = answered(1, b"one") + answered(5, b"three") + answered(3)
    found = []
    for start in range(0, len(data), piece):
        found += link.feed(data[start : start + piece])[0]
    assert found == [b"one", b"three", b""]


def test_settings_and_pings_are_answered_and_errors_raised() -> None:
    link = grpc_wire.Http2("127.0.0.1:1")
    _, back = link.feed(grpc_wire.frame(4, 0, 0, b"") + grpc_wire.frame(6, 0, 0, b"12345678"))
    assert back == grpc_wire.frame(4, 1, 0, b"") + grpc_wire.frame(6, 1, 0, b"12345678")
    with pytest.raises(WireError, match="refused"):
        link.feed(grpc_wire.frame(1, 5, 1, b"\x88"))
    with pytest.raises(WireError, match="closing"):
        link.feed(grpc_wire.frame(7, 0, 0, bytes(8)))


def test_no_more_is_sent_than_the_other_side_gave_credit_for() -> None:
    link = grpc_wire.Http2("127.0.0.1:1")
    body = b"x" * 16_000
    sent = [link.call("/a/B", body) for _ in range(6)]
    assert [bool(data) for data in sent] == [True] * 4 + [False] * 2
    _, back = link.feed(grpc_wire.frame(8, 0, 0, struct.pack(">I", 40_000)))
    assert back.count(body) == 2


def test_puts_have_keys_of_their_own_and_are_made_again_after_a_loss() -> None:
    wire = grpc_wire.PutWire("p", "127.0.0.1:1", 10)
    data = wire.requests(3)
    assert [b"p/%012d" % seq in data for seq in (1, 2, 3, 4)] == [True, True, True, False]
    assert wire.feed(answered(1, b"ok") + answered(3, b"ok"))[0] == 2
    wire.again()
    assert b"p/000000000003" in wire.requests(1)
