"""`no-loss`, `no-duplicate`, `no-invention`, `real-time`: each damage is caught by the right rule, promises 1, 2, 3 and 5."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from verify_maker import (
    Row,
    blocks,
    closed,
    failed,
    file_of,
    good_rounds,
    history_lines,
    report,
    verdicts,
    write_histories,
    write_history,
)

from votesync_cli.verify.history import read_histories
from votesync_cli.verify.verdict import Status

HISTORY_RULES = ("no-loss", "no-duplicate", "no-invention", "real-time")
ROUNDS = good_rounds(40)


def test_a_good_run_passes(tmp_path: Path) -> None:
    found = verdicts(tmp_path, file_of(ROUNDS), write_histories(tmp_path, ROUNDS))
    assert [found[rule].status for rule in HISTORY_RULES] == [Status.PASS] * 4


def test_without_histories_they_say_what_they_need(tmp_path: Path) -> None:
    found = verdicts(tmp_path, file_of(ROUNDS))
    assert {found[rule].status for rule in HISTORY_RULES} == {Status.NOT_CHECKED}
    assert "--history" in found["no-loss"].needs


def test_texts_that_are_no_numbers_pass(tmp_path: Path) -> None:
    rounds: list[list[Row]] = [[(0, "a", 5 + n, f"täxt \"{n}\" \\ {n}")] for n in range(300)]
    found = verdicts(tmp_path, file_of(rounds), write_histories(tmp_path, rounds))
    assert [found[rule].status for rule in HISTORY_RULES] == [Status.PASS] * 4


def _removed(data: bytes, block: bytes) -> bytes:
    return data.replace(block, b"", 1)


def _doubled(data: bytes, block: bytes) -> bytes:
    return data.replace(block, block + block, 1)


def _other_text(data: bytes, block: bytes) -> bytes:
    return data.replace(block, block.replace(b"message: 20", b"message: 21x"), 1)


def _leading_zero(data: bytes, block: bytes) -> bytes:
    return data.replace(block, block.replace(b"message: 20", b"message: 020"), 1)


def _other_time(data: bytes, block: bytes) -> bytes:
    return data.replace(block, block.replace(b"time: 1029", b"time: 1028"), 1)


def _time_with_zero(data: bytes, block: bytes) -> bytes:
    return data.replace(block, block.replace(b"time: 1029", b"time: 01029"), 1)


def _other_node(data: bytes, block: bytes) -> bytes:
    return data.replace(block, block.replace(b"Container 1", b"Container 2"), 1)


def _cut(data: bytes, block: bytes) -> bytes:
    return data.replace(block, block[:-10] + b"\n", 1)


@pytest.mark.parametrize(
    ("damage", "rules"),
    [
        (_removed, {"no-loss", "session-order"}),
        (_doubled, {"no-duplicate", "session-order"}),
        (_other_text, {"no-invention", "no-loss"}),
        (_leading_zero, {"no-invention", "no-loss"}),
        (_other_time, {"no-invention", "no-loss"}),
        (_time_with_zero, {"no-invention", "no-loss"}),
        (_other_node, {"no-invention"}),
        (_cut, {"no-loss", "session-order"}),
    ],
)
def test_each_damage_is_caught(tmp_path: Path, damage: Callable[[bytes, bytes], bytes], rules: set[str]) -> None:
    data, block = file_of(ROUNDS), blocks((1, "1", 1029, "20"))
    assert data.count(block) == 1
    found = verdicts(tmp_path, damage(data, block), write_histories(tmp_path, ROUNDS))
    assert failed(found) == rules
    for rule in rules:
        shown = found[rule].counterexample
        assert shown is not None
        assert shown.places
    for rule in rules & set(HISTORY_RULES):
        assert found[rule].violations == 1


def test_a_double_far_away_shows_both_lines(tmp_path: Path) -> None:
    data = file_of(ROUNDS) + closed((1, "1", 1029, "20"))
    shown = verdicts(tmp_path, data, write_histories(tmp_path, ROUNDS))["no-duplicate"].counterexample
    assert shown is not None
    assert [place.line for place in shown.places] == [7 * 19 + 3, 7 * 40 + 1]
    assert shown.places[0].text == shown.places[1].text


def test_two_messages_with_the_same_time_and_text_are_no_double(tmp_path: Path) -> None:
    rounds: list[list[Row]] = [[(0, "a", 5, "same"), (0, "a", 5, "same")]] * 3
    path = write_histories(tmp_path, rounds)
    assert not failed(verdicts(tmp_path, file_of(rounds), path))
    assert failed(verdicts(tmp_path, file_of(rounds) + closed((0, "a", 5, "same")), path)) == {"no-duplicate"}
    assert failed(verdicts(tmp_path, file_of(rounds[:2]), path)) == {"no-loss"}


def test_rule_37_an_unknown_outcome_may_stand_there_or_not(tmp_path: Path) -> None:
    lines = history_lines(ROUNDS, "1")
    last = [line for line in lines if line["event"] == "ok"][-1]
    lines.remove(last)
    lines.insert(-1, {"event": "unknown", "session": "1", "seq": last["seq"], "mono": 10**9})
    path = write_history(tmp_path / "h.jsonl", lines)
    others = write_histories(tmp_path, [[row for row in rows if row[1] != "1"] for rows in ROUNDS])
    data = file_of(ROUNDS)
    assert not failed(verdicts(tmp_path, data, [path, *others]))
    assert not failed(verdicts(tmp_path, _removed(data, blocks(ROUNDS[-1][1])), [path, *others]))


def test_rule_37_what_was_refused_for_ever_must_not_stand_there(tmp_path: Path) -> None:
    lines = history_lines(ROUNDS, "1")
    last = [line for line in lines if line["event"] == "ok"][-1]
    lines[lines.index(last)] = {"event": "fail", "session": "1", "seq": last["seq"], "code": "bad_text", "mono": 10**9}
    found = verdicts(tmp_path, file_of(ROUNDS), [write_history(tmp_path / "h.jsonl", lines)])
    assert failed(found) == {"no-invention"}


def test_a_resend_through_another_node_is_no_invention(tmp_path: Path) -> None:
    data = _other_node(file_of(ROUNDS), blocks((1, "1", 1029, "20")))
    lines = history_lines(ROUNDS, "1")
    lines.insert(-1, {"event": "resend", "session": "1", "from": 19, "to": 20, "node": 2, "mono": 5})
    assert not failed(verdicts(tmp_path, data, [write_history(tmp_path / "h.jsonl", lines)]))
    lines[-2]["to"] = 19
    assert failed(verdicts(tmp_path, data, [write_history(tmp_path / "h.jsonl", lines)])) == {"no-invention"}


def test_sessions_without_history_are_said_and_not_judged(tmp_path: Path) -> None:
    paths = write_histories(tmp_path, ROUNDS)[:2]
    found = verdicts(tmp_path, file_of(ROUNDS), paths)
    assert found["no-invention"].status is Status.NOT_CHECKED
    assert "session 2" in found["no-invention"].needs
    assert "40 blocks of 1 session not" in found["no-invention"].detail
    assert found["no-loss"].status is Status.PASS


def test_an_invented_block_of_a_known_session_fails(tmp_path: Path) -> None:
    found = verdicts(tmp_path, file_of(ROUNDS) + closed((1, "1", 5, "41")), write_histories(tmp_path, ROUNDS))
    assert failed(found) == {"no-invention"}
    assert found["no-invention"].counterexample is not None
    assert found["no-invention"].counterexample.places[0].line == 7 * 40 + 1


def test_while_a_client_runs_newer_blocks_are_not_judged(tmp_path: Path) -> None:
    path = write_history(tmp_path / "h.jsonl", history_lines(ROUNDS[:20], "1")[:-1])
    found = verdicts(tmp_path, file_of([[row for row in rows if row[1] == "1"] for rows in ROUNDS]), [path])
    assert not failed(found)
    assert found["no-invention"].status is Status.NOT_CHECKED


def _order_of_two(tmp_path: Path, acked: int, sent: int, boot: str = "b") -> dict[str, Status]:
    """Session b stands before a in the file; a was acknowledged at `acked`, b sent at `sent`."""
    paths = []
    for name, invoked, ok, clock in (("a", 1, acked, "b"), ("b", sent, sent + 100, boot)):
        head = {"session": name, "mono": invoked}
        lines = [
            {"event": "begin", **head, "from": 1, "to": 1, "boot": clock, "ts": 1.0},
            {"event": "invoke", **head, "seq": 1, "time": 5, "text": "1", "node": 0},
            {"event": "ok", **head, "seq": 1, "round": 1, "offset": 0, "mono": ok},
            {"event": "done", **head},
        ]
        paths.append(write_history(tmp_path / f"{name}.jsonl", lines))
    found = verdicts(tmp_path, closed((0, "b", 5, "1")) + closed((0, "a", 5, "1")), paths)
    return {rule: verdict.status for rule, verdict in found.items()}


def test_promise_5_acknowledged_before_sent_stands_before(tmp_path: Path) -> None:
    assert _order_of_two(tmp_path, acked=50, sent=60)["real-time"] is Status.FAIL
    assert _order_of_two(tmp_path, acked=60, sent=50)["real-time"] is Status.PASS


def test_promise_5_is_judged_inside_one_boot_only(tmp_path: Path) -> None:
    assert _order_of_two(tmp_path, acked=50, sent=60, boot="other")["real-time"] is Status.PASS


def test_promise_5_shows_both_blocks(tmp_path: Path) -> None:
    data = closed(*ROUNDS[1]) + closed(*ROUNDS[0]) + file_of(ROUNDS[2:])
    found = verdicts(tmp_path, data, write_histories(tmp_path, ROUNDS))
    assert {"session-order", "real-time"} <= failed(found)
    shown = found["real-time"].counterexample
    assert shown is not None
    assert [place.line for place in shown.places] == [1, 8]


def test_an_empty_file_with_acknowledged_messages_is_a_loss(tmp_path: Path) -> None:
    found = report(tmp_path, b"", write_histories(tmp_path, ROUNDS))
    assert found.exit_code == 1
    assert [verdict.rule for verdict in found.failed] == ["no-loss"]


def test_the_bulk_proof_and_the_careful_look_agree(tmp_path: Path) -> None:
    """With two boots no run is proven in bulk; the results must be the same."""
    paths = write_histories(tmp_path, ROUNDS)
    data = _removed(_other_text(file_of(ROUNDS), blocks((1, "1", 1029, "20"))), blocks(ROUNDS[5][2]))
    bulk = report(tmp_path, data, paths)
    begin = {"event": "begin", "session": "z", "from": 1, "to": 1, "boot": "c", "mono": 1}
    odd = write_history(tmp_path / "odd.jsonl", [begin])
    careful = report(tmp_path, data, [*paths, odd])
    assert [(v.rule, v.status, v.violations) for v in bulk.verdicts] == [
        (v.rule, v.status, v.violations) for v in careful.verdicts
    ]


def test_histories_may_have_torn_lines_and_escapes(tmp_path: Path) -> None:
    path = write_history(tmp_path / "h.jsonl", history_lines([[(0, "a", 5, 'say "hi"')], [(0, "a", 6, "x")]], "a"))
    path.write_bytes(path.read_bytes() + b'{"event":"invoke","session":"a","se')
    history = read_histories([path]).sessions[b"a"]
    assert list(history.texts(0, 2)) == [b'say "hi"', b"x"]
    assert [history.was_acked(0), history.was_acked(1)] == [True, True]


def test_a_client_that_was_killed_goes_on_in_the_same_history(tmp_path: Path) -> None:
    lines = history_lines(ROUNDS, "1")
    middle = len(lines) // 2
    again = {"event": "begin", "session": "1", "from": 1, "to": 40, "boot": "b", "mono": 1, "ts": 3.0}
    resend = {"event": "resend", "session": "1", "from": 19, "to": 20, "node": 1, "mono": 7}
    path = write_history(tmp_path / "h.jsonl", [*lines[:middle], again, resend, *lines[middle:]])
    found = verdicts(tmp_path, file_of([[row for row in rows if row[1] == "1"] for rows in ROUNDS]), [path])
    assert [found[rule].status for rule in HISTORY_RULES] == [Status.PASS] * 4


def test_numbers_that_somebody_else_used_are_not_judged(tmp_path: Path) -> None:
    """A batch that begins behind a gap: the session was used by `send` meanwhile. A gap inside a batch is another thing."""
    rounds: list[list[Row]] = [[(0, "a", 5 + n, str(n))] for n in range(1, 9)]
    lines = history_lines(rounds, "a")
    second = [line for line in lines if line.get("seq", 0) >= 6]
    again = lines[0] | {"from": 6, "to": 8}
    first = [line for line in lines if 0 < line.get("seq", 0) <= 3]
    path = write_history(tmp_path / "h.jsonl", [lines[0], *first, lines[-1], again, *second, lines[-1]])
    found = verdicts(tmp_path, file_of(rounds), [path])
    assert not failed(found)
    assert "2 blocks of 1 session not" in found["no-invention"].detail
    path = write_history(tmp_path / "h.jsonl", [lines[0], *first, *second, lines[-1]])
    assert failed(verdicts(tmp_path, file_of(rounds), [path])) == {"no-invention"}


@pytest.mark.parametrize("value", [None, "x", [], -1, 10**30, 2**62, True, {"a": 1}])
@pytest.mark.parametrize("field", ["seq", "time", "text", "node", "mono", "from", "to", "boot", "session", "event"])
def test_hostile_fields_do_no_harm(tmp_path: Path, field: str, value: object) -> None:
    lines = history_lines(ROUNDS[:3], "1")
    lines.insert(3, {"event": "resend", "session": "1", "from": 1, "to": 1, "node": 1, "mono": 5})
    for damaged in range(len(lines)):
        changed = [line | ({field: value} if place == damaged and field in line else {}) for place, line in enumerate(lines)]
        found = verdicts(tmp_path, file_of(ROUNDS[:3]), [write_history(tmp_path / "h.jsonl", changed)])
        assert found["framing"].status is Status.PASS
