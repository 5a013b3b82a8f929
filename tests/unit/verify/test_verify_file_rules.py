"""`framing`, `order`, `session-order` and `complete`: what keeps them, and each damage that breaks them."""

from __future__ import annotations

from pathlib import Path

import pytest
from verify_maker import Row, blocks, closed, failed, file_of, good_rounds, report, verdicts

from node_runtime.records import SEPARATOR, render_block
from votesync_cli.verify.verdict import Status

SEED = b"""Container 2 
Mensagem: client 2 time: 368186 - message: 3
Container 4 
Mensagem: client 4 time: 526895 - message: 3
Container 1 
Mensagem: client 1 time: 638613 - message: 3
########################################################
"""  # noqa: W291  # the blank at the end belongs to the format


def test_the_sample_of_the_readme_passes(tmp_path: Path) -> None:
    found = verdicts(tmp_path, SEED)
    assert [found[rule].status for rule in ("framing", "order", "session-order", "complete")] == [Status.PASS] * 4


def test_older_bodies_and_decimal_times_pass(tmp_path: Path) -> None:
    old = ["client[3] - 307326 - M[0]", "client[1] - 307326.25 - M[0]", "client[2] - 307326.5 - M[0]"]
    data = b"".join(render_block(node, body) for node, body in zip((3, 1, 2), old, strict=True)) + SEPARATOR
    assert not failed(verdicts(tmp_path, data))


def test_time_may_step_back_between_rounds(tmp_path: Path) -> None:
    assert not failed(verdicts(tmp_path, closed((0, "a", 9, "1")) + closed((0, "a", 5, "2"))))


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([(0, "a", 9, "1"), (1, "b", 5, "1")], "time"),
        ([(0, "a", 10, "1"), (1, "b", 9, "1")], "time"),
        ([(1, "a", 5, "1"), (0, "b", 5, "1")], "node id"),
        ([(10, "a", 5, "1"), (9, "b", 5, "1")], "node id"),
        ([(1, "b", 5, "1"), (1, "a", 5, "1")], "session"),
    ],
)
def test_order_names_both_blocks(tmp_path: Path, rows: list[Row], part: str) -> None:
    verdict = verdicts(tmp_path, closed((0, "z", 1, "1")) + closed(*rows))["order"]
    assert verdict.status is Status.FAIL
    assert verdict.counterexample is not None
    assert f"its {part} is smaller" in verdict.counterexample.what
    assert [place.line for place in verdict.counterexample.places] == [4, 6]
    assert [place.text.encode() + b"\n" for place in verdict.counterexample.places] == [blocks(row) for row in rows]


@pytest.mark.parametrize("rows", [[(0, "a", 5, "1"), (0, "a", 5, "2")], [(0, "b", 5, "1"), (1, "a", 5, "1")]])
def test_order_takes_equal_times(tmp_path: Path, rows: list[Row]) -> None:
    assert not failed(verdicts(tmp_path, closed(*rows)))


def test_order_is_judged_over_chunk_borders(tmp_path: Path) -> None:
    rows = [(0, "a", 100_000 + n, str(n)) for n in range(1, 5000)]
    assert not failed(verdicts(tmp_path, closed(*rows)))
    rows[2500:] = [(0, "a", 5, str(n)) for n in range(2501, 5000)]
    verdict = verdicts(tmp_path, closed(*rows))["order"]
    assert verdict.violations == 1
    assert verdict.counterexample is not None
    assert [place.line for place in verdict.counterexample.places] == [4999, 5001]


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["1", "2", "4"], "3 is missing"),
        (["1", "2", "2"], "2 comes again"),
        (["1", "3", "2"], "2 is missing"),
        (["7", "8", "10"], "9 is missing"),
    ],
)
def test_session_order_finds_gaps_and_repeats(tmp_path: Path, texts: list[str], why: str) -> None:
    data = b"".join(closed((0, "a", 5, text), (1, "b", 6, "5" if n else "4")) for n, text in enumerate(texts[:2]))
    data += closed((0, "a", 7, texts[2]))
    verdict = verdicts(tmp_path, data)["session-order"]
    assert verdict.status is Status.FAIL
    assert verdict.counterexample is not None
    assert why in verdict.counterexample.what
    assert len(verdict.counterexample.places) == 2
    assert verdict.counterexample.places[0].line < verdict.counterexample.places[1].line


def test_session_order_finds_the_block_before_in_a_chunk_long_gone(tmp_path: Path) -> None:
    rows = [[(0, "a", 1, "1")], *[[(1, "b", 2, str(n))] for n in range(1, 4000)], [(0, "a", 3, "3")]]
    verdict = verdicts(tmp_path, file_of(rows))["session-order"]
    assert verdict.counterexample is not None
    assert [place.line for place in verdict.counterexample.places] == [1, 4000 * 3 + 1]


def test_session_order_passes_over_texts_that_are_no_numbers(tmp_path: Path) -> None:
    found = verdicts(tmp_path, closed((0, "a", 5, "hello"), (1, "b", 6, "1")) + closed((0, "a", 5, "7"), (1, "b", 6, "2")))
    assert found["session-order"].status is Status.PASS
    assert "1 session with texts that are no numbers" in found["session-order"].detail
    alone = verdicts(tmp_path, closed((0, "a", 5, "hello"), (0, "a", 5, "")))
    assert alone["session-order"].status is Status.NOT_CHECKED


def test_session_order_takes_numbers_that_people_typed_for_texts(tmp_path: Path) -> None:
    rounds = closed((0, "send-1f", 5, "7"), (1, "b", 6, "1")), closed((0, "send-1f", 5, "3"), (1, "b", 6, "2"))
    found = verdicts(tmp_path, b"".join(rounds))
    assert found["session-order"].status is Status.PASS
    assert found["session-order"].detail.startswith("1 session ")


def test_session_order_takes_a_long_number_for_a_text(tmp_path: Path) -> None:
    found = verdicts(tmp_path, closed((0, "a", 5, "1"), (0, "a", 6, "2" * 6000)))
    assert found["session-order"].status is Status.NOT_CHECKED


@pytest.mark.parametrize("cut", [1, 20, 57, 58, 60, 90, 120])
def test_complete_fails_for_a_cut_file(tmp_path: Path, cut: int) -> None:
    found = verdicts(tmp_path, file_of(good_rounds(3))[:-cut])
    assert failed(found) == {"complete"}


def test_an_empty_file_is_inconclusive(tmp_path: Path) -> None:
    assert report(tmp_path, b"").exit_code == 3
    assert "nothing to check" in report(tmp_path, b"").to_text()


def test_garbage_fails_framing_and_nothing_is_claimed_about_the_rest(tmp_path: Path) -> None:
    found = report(tmp_path, bytes(range(256)) * 1000)
    assert found.exit_code == 1
    assert {v.rule for v in found.verdicts if v.status is Status.PASS} == set()
    assert found.verdicts[0].status is Status.FAIL


def test_the_text_shows_line_numbers_and_blocks(tmp_path: Path) -> None:
    text = report(tmp_path, closed((0, "a", 9, "1"), (1, "b", 5, "1"))).to_text()
    assert "       1 | Container 0 \n" in text
    assert "       4 | Mensagem: client b time: 5 - message: 1" in text
    assert "breaks order" in text


def test_json_has_a_line_a_rule_and_one_for_all(tmp_path: Path) -> None:
    lines = list(report(tmp_path, closed((0, "a", 9, "1"), (1, "b", 5, "1"))).to_json())
    assert [line.get("rule") for line in lines][:4] == ["framing", "order", "session-order", "complete"]
    assert lines[-1]["verdict"] == "FAIL"
    assert lines[-1]["failed"] == ["order"]
