"""`majority` and `one-writer`, against the votes of five nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from verify_maker import Row, file_of, good_rounds
from votes_maker import NODES, Logs, book_of, drop, events, logs_of, start

from node_runtime.records import SEPARATOR
from node_runtime.votelog import Event, encode
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.verdict import Status, Verdict
from votesync_cli.verify.votebook import load_votes
from votesync_cli.verify.writers import judge_writers

ROUNDS: list[list[Row]] = good_rounds(12, sessions=NODES)
MIDDLE = 6


def judged(tmp_path: Path, logs: Logs, data: bytes | None = None) -> dict[str, Verdict]:
    path = tmp_path / "output.txt"
    path.write_bytes(file_of(ROUNDS) if data is None else data)
    return {verdict.rule: verdict for verdict in check(path, Evidence(votes=book_of(logs))).verdicts}


def test_a_run_without_trouble_passes(tmp_path: Path) -> None:
    found = judged(tmp_path, logs_of(ROUNDS))
    assert (found["majority"].status, found["one-writer"].status) == (Status.PASS, Status.PASS)
    assert "12 rounds" in found["majority"].detail
    assert "60 turns" in found["one-writer"].detail


def test_logs_behind_a_prefix_of_compose_are_read() -> None:
    lines = [b"cluster_sync_1  | " + encode(event) for event in logs_of(ROUNDS)[0]]
    assert load_votes([*lines, b"not an event\n", b"{torn"]).events == len(lines)


# --- majority ---


def _without_votes(logs: Logs, index: int, nodes: tuple[int, ...]) -> None:
    drop(logs, *[event for event in events(logs, "vote", index) if event["node"] in nodes])
    for event in events(logs, "decided", index):
        event["votes"] = {node: us for node, us in event["votes"].items() if int(node) not in nodes}


def test_rule_18_two_votes_of_five_are_no_majority(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS)
    _without_votes(logs, MIDDLE, (2, 3, 4))
    verdict = judged(tmp_path, logs)["majority"]
    assert verdict.status is Status.FAIL
    assert verdict.counterexample is not None
    line = 11 * (MIDDLE - 1) + 1
    assert verdict.counterexample.places[0].line == line
    assert f"lines {line} to {line + 10}" in verdict.counterexample.what
    assert "only 0, 1 voted" in verdict.counterexample.what
    assert [vote["event"] for vote in verdict.counterexample.votes][:2] == ["ballot", "votes"]


def test_three_votes_of_five_are_one(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS)
    _without_votes(logs, MIDDLE, (3, 4))
    assert judged(tmp_path, logs)["majority"].status is Status.PASS


def test_what_the_leader_counted_proves_votes_whose_lines_are_lost(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS)
    drop(logs, *events(logs, "vote", MIDDLE))
    assert judged(tmp_path, logs)["majority"].status is Status.PASS


def test_votes_for_another_digest_count_nothing(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS)
    for event in events(logs, "vote", MIDDLE):
        event["digest"] = "0" * 16
    drop(logs, *events(logs, "decided", MIDDLE))
    assert judged(tmp_path, logs)["majority"].status is Status.FAIL


def test_a_vote_on_a_later_round_takes_the_earlier_with_it(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS)
    drop(logs, *events(logs, "vote", MIDDLE), *events(logs, "decided", MIDDLE))
    for event in events(logs, "vote", MIDDLE + 1):
        event["first"] = MIDDLE
    assert judged(tmp_path, logs)["majority"].status is Status.PASS


def test_lines_that_a_killed_node_lost_are_not_taken_for_missing_votes(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS, voters=(1, 2))
    drop(logs, *events(logs, "decided", MIDDLE))
    drop(logs, *[event for event in events(logs, "vote", MIDDLE) if event["node"] == 1])
    assert judged(tmp_path, logs)["majority"].status is Status.FAIL
    logs = logs_of(ROUNDS, voters=(1, 2))
    drop(logs, *events(logs, "decided", MIDDLE))
    at = next(place for place, event in enumerate(logs[1]) if event.get("round") == MIDDLE)
    logs[1][at : at + 2] = [start(1, MIDDLE)]
    assert judged(tmp_path, logs)["majority"].status is Status.NOT_CHECKED


def test_rounds_older_than_the_logs_are_not_judged(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS)
    for log in logs.values():
        log[:] = [event for event in log if event.get("round", MIDDLE) >= MIDDLE]
        log[0]["last"] = MIDDLE - 1
    verdict = judged(tmp_path, logs)["majority"]
    assert verdict.status is Status.NOT_CHECKED
    assert "5 rounds not proven" in verdict.detail


def test_logs_without_start_prove_nothing(tmp_path: Path) -> None:
    logs = {node: log[1:] for node, log in logs_of(ROUNDS).items()}
    found = judged(tmp_path, logs)
    assert found["majority"].status is Status.NOT_CHECKED
    assert found["one-writer"].status is Status.NOT_CHECKED


def test_a_forged_separator_is_no_round_that_was_voted_on(tmp_path: Path) -> None:
    data = file_of(ROUNDS)
    at = data.index(b"Container 3", 3000)
    verdict = judged(tmp_path, logs_of(ROUNDS), data[:at] + SEPARATOR + data[at:])["majority"]
    assert verdict.status is Status.FAIL
    assert verdict.counterexample is not None
    assert "bytes, the round that was voted on at this place" in verdict.counterexample.what


def test_a_round_that_was_removed_moves_all_that_follow(tmp_path: Path) -> None:
    verdict = judged(tmp_path, logs_of(ROUNDS), file_of(ROUNDS[:3] + ROUNDS[4:]))["majority"]
    assert verdict.status is Status.FAIL


def test_a_round_with_two_decided_contents_fails(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS)
    (event,) = events(logs, "decided", MIDDLE)
    logs[1].append(event | {"node": 1, "term": 2, "digest": "f" * 16})
    assert judged(tmp_path, logs)["majority"].status is Status.FAIL


# --- one writer ---


def _other_writer(logs: Logs) -> None:
    (event,) = [event for event in events(logs, "turn", MIDDLE) if event["node"] == 3]
    drop(logs, event)
    at = logs[2].index(events(logs, "vote", MIDDLE)[1])
    logs[2].insert(at + 1, event | {"node": 2})


def _two_writers(logs: Logs) -> None:
    (event,) = [event for event in events(logs, "turn", MIDDLE) if event["node"] == 3]
    at = next(place for place, other in enumerate(logs[0]) if other["event"] == "written" and other["round"] == MIDDLE)
    logs[0].insert(at, event | {"node": 0})


def _other_bytes(logs: Logs) -> None:
    (event,) = [event for event in events(logs, "turn", MIDDLE) if event["node"] == 3]
    event["turns"][0][1] += 1


def _too_few_bytes(logs: Logs) -> None:
    (event,) = [event for event in events(logs, "turn", MIDDLE) if event["node"] == 3]
    event["turns"][0][2] -= 1


def _beyond_the_round(logs: Logs) -> None:
    (event,) = [event for event in events(logs, "turn", MIDDLE) if event["node"] == 4]
    event["turns"][0][2] += 1


def _never_granted(logs: Logs) -> None:
    drop(logs, *events(logs, "grant", MIDDLE))


def _two_leaders(logs: Logs) -> None:
    (event,) = events(logs, "grant", MIDDLE)
    logs[4].insert(-1, event | {"node": 4, "round": 99})


def _granted_twice(logs: Logs) -> None:
    (event,) = events(logs, "grant", MIDDLE)
    logs[0].insert(logs[0].index(event), dict(event))


def _overlapping(logs: Logs) -> None:
    drop(logs, *events(logs, "written", MIDDLE))


def _older_than_known(logs: Logs) -> None:
    (event,) = [event for event in events(logs, "turn", MIDDLE) if event["node"] == 3]
    logs[3].insert(-1, dict(event))


def _older_term(logs: Logs) -> None:
    (event,) = [event for event in events(logs, "turn", MIDDLE) if event["node"] == 3]
    logs[3].insert(logs[3].index(event), event | {"event": "follow", "term": 2, "leader": 1})


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_other_writer, "was written by node 2; it belongs to node 3"),
        (_two_writers, "was written by nodes"),
        (_other_bytes, "it belongs at byte"),
        (_too_few_bytes, "it ends at byte"),
        (_beyond_the_round, "it ends at byte"),
        (_never_granted, "never granted"),
        (_two_leaders, "both led term 1"),
        (_granted_twice, "was granted twice"),
        (_overlapping, "while round 6 was not written"),
        (_older_than_known, "after it knew of a newer one"),
        (_older_term, "goes back from term 2 to term 1"),
    ],
)
def test_promise_6_each_breach_is_found(tmp_path: Path, damage: Callable[[Logs], None], what: str) -> None:
    logs = logs_of(ROUNDS)
    damage(logs)
    verdict = judged(tmp_path, logs)["one-writer"]
    assert verdict.status is Status.FAIL
    assert verdict.counterexample is not None
    assert what in verdict.counterexample.what


def _attempt(logs: Logs, index: int, **changed: object) -> Event:
    (event,) = events(logs, "grant", index)
    return event | {"attempt": 1, "turn": 2, "turns": event["turns"][2:], "reason": "timeout", **changed}


def test_a_superseded_writer_may_repeat_decided_bytes(tmp_path: Path) -> None:
    """Node 3 stalls in its turn, the leader writes it and the rest, node 3 wakes up and writes what it was to write."""
    logs = logs_of(ROUNDS)
    (grant,) = events(logs, "grant", MIDDLE)
    again = _attempt(logs, MIDDLE, absent=[1, 2, 3, 4])
    logs[0].insert(logs[0].index(grant) + 2, again)
    last = grant["turns"][-1][3]
    turn = {"event": "turn", "round": MIDDLE, "attempt": 1, "turns": [[2, grant["turns"][2][2], last]], "position": last}
    logs[0].insert(logs[0].index(again) + 1, grant | turn)
    found = judged(tmp_path, logs)
    assert found["one-writer"].status is Status.PASS


def test_grants_that_a_killed_leader_did_not_log_are_not_called_missing(tmp_path: Path) -> None:
    logs = logs_of(ROUNDS)
    at = logs[0].index(events(logs, "grant", len(ROUNDS))[0])
    del logs[0][at:]
    for after in ([], [start(0, len(ROUNDS)), start(0) | {"event": "follow", "term": 2, "leader": 1}]):
        logs[0] += after
        verdict = judged(tmp_path, logs)["one-writer"]
        assert verdict.status is Status.NOT_CHECKED
        assert "whose grant is in no log" in verdict.detail


def test_a_cluster_that_was_made_anew_starts_its_logs_anew(tmp_path: Path) -> None:
    old, new = logs_of(good_rounds(30, sessions=4)), logs_of(ROUNDS)
    found = judged(tmp_path, {node: old[node] + new[node] for node in range(NODES)})
    assert (found["majority"].status, found["one-writer"].status) == (Status.PASS, Status.PASS)
    assert "12 grants" in found["one-writer"].detail


@pytest.mark.parametrize("value", [None, "x", [], -1, {"a": 1}, True, 10**30, [[0, 1, 10**30]], [[0, 1, 2, 10**30]], {"-1": 1}])
@pytest.mark.parametrize("field", ["round", "digest", "offset", "size", "votes", "turns", "attempt", "first", "more"])
def test_hostile_fields_do_no_harm(field: str, value: object) -> None:
    logs = logs_of(ROUNDS[:2])
    book = load_votes(encode(event | ({field: value} if field in event else {})) for log in logs.values() for event in log)
    assert judge_writers(book).rule == "one-writer"


def test_logs_that_were_read_one_after_the_other_are_not_called_wrong(tmp_path: Path) -> None:
    """The leader's log was read first: it has ballots of rounds whose grants only the writers' logs show."""
    logs = logs_of(ROUNDS)
    ahead = [event for index in (11, 12) for event in events(logs, "ballot", index)]
    at = logs[0].index(events(logs, "grant", 11)[0])
    logs[0][at:] = [event for event in ahead if event not in logs[0][:at]]
    found = judged(tmp_path, logs)
    assert found["one-writer"].status is Status.NOT_CHECKED
    assert "8 turns whose grant is in no log" in found["one-writer"].detail
