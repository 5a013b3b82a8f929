"""`agreement`: the journals of all nodes against one another and against the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from verify_maker import blocks, closed, file_of, good_rounds

from node_runtime.codec import encode_round
from node_runtime.journal import Journal
from node_runtime.messages import GENESIS, Message, Policy, Round
from node_runtime.storage import OsStorage
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.rules_journal import journal_dirs
from votesync_cli.verify.verdict import Status, Verdict

TAG = b"verifier"
ROUNDS = good_rounds(10)


def chain(contents: Sequence[Sequence[tuple[int, str, int, str]]], after: Round | None = None, term: int = 1) -> list[Round]:
    """Rounds that follow one another."""
    made: list[Round] = []
    last = after
    for rows in contents:
        messages = [Message(row[2], row[0], row[1], 1, blocks(row)) for row in rows]
        parent, index, offset = (last.digest, last.index + 1, last.end) if last else (GENESIS, 1, 0)
        last = encode_round(index, term, parent, Policy.TURNS, offset, messages)
        made.append(last)
    return made


def write(
    directory: Path, node: int, rounds: Sequence[Round], decided: int, synced: int = 0, cut: Sequence[Round] = ()
) -> Path:
    """A journal with these rounds; with `cut`, those were there first and are replaced."""
    place = directory / f"cluster_sync_{node + 1}"
    journal = Journal.open(OsStorage(), str(place), TAG, node, 65536, on_round=_ignore, on_cut=_ignore)
    if cut:
        journal.append(0, list(cut), 0, 0)
    journal.append(0, list(rounds), decided, synced)
    journal.close()
    return place


def _ignore(_: object) -> None:
    """Nothing is to be replayed in a journal that is new."""


def judged(directory: Path, data: bytes) -> Verdict:
    path = directory / "output.txt"
    path.write_bytes(data)
    evidence = Evidence(journals=journal_dirs(directory))
    return next(verdict for verdict in check(path, evidence).verdicts if verdict.rule == "agreement")


def five(directory: Path, decided: int = 10, synced: int = 0) -> list[Round]:
    rounds = chain(ROUNDS)
    for node in range(5):
        write(directory, node, rounds, decided, synced)
    return rounds


def test_equal_journals_and_their_rendering_pass(tmp_path: Path) -> None:
    five(tmp_path)
    verdict = judged(tmp_path, file_of(ROUNDS))
    assert verdict.status is Status.PASS
    assert "5 journals, decided up to round 10" in verdict.detail


@pytest.mark.parametrize("size", [0, 1, 100, 300, 500])
def test_the_file_may_be_behind(tmp_path: Path, size: int) -> None:
    five(tmp_path)
    assert judged(tmp_path, file_of(ROUNDS)[:size]).status is Status.PASS


def test_the_file_may_not_lack_what_is_known_to_be_on_disk(tmp_path: Path) -> None:
    rounds = five(tmp_path, synced=8)
    assert judged(tmp_path, file_of(ROUNDS)[: rounds[7].end]).status is Status.PASS
    assert judged(tmp_path, file_of(ROUNDS)[: rounds[7].end - 1]).status is Status.FAIL


def test_rule_23_the_hint_may_be_behind_what_was_decided(tmp_path: Path) -> None:
    five(tmp_path, decided=2)
    assert judged(tmp_path, file_of(ROUNDS)).status is Status.PASS


def test_a_changed_byte_is_shown_with_its_line(tmp_path: Path) -> None:
    five(tmp_path)
    data = bytearray(file_of(ROUNDS))
    at = data.index(b"time: 1013")
    data[at + 9 : at + 10] = b"4"
    verdict = judged(tmp_path, bytes(data))
    assert verdict.status is Status.FAIL
    assert verdict.counterexample is not None
    line = data[:at].count(b"\n") + 1
    assert [place.line for place in verdict.counterexample.places] == [line, line]
    assert "time: 1014" in verdict.counterexample.places[0].text
    assert "time: 1013" in verdict.counterexample.places[1].text


def test_a_changed_byte_behind_the_hint_is_found_too(tmp_path: Path) -> None:
    five(tmp_path, decided=2)
    assert judged(tmp_path, file_of(ROUNDS).replace(b"time: 1018", b"time: 1017")).status is Status.FAIL


def test_bytes_that_no_journal_holds(tmp_path: Path) -> None:
    five(tmp_path)
    verdict = judged(tmp_path, file_of(ROUNDS) + closed((0, "0", 5, "11")))
    assert verdict.status is Status.FAIL
    assert verdict.counterexample is not None
    assert verdict.counterexample.places[0].line == 7 * 10 + 1


def test_bytes_that_only_a_minority_holds(tmp_path: Path) -> None:
    rounds = chain(ROUNDS)
    for node in range(5):
        write(tmp_path, node, rounds if node < 2 else rounds[:9], 9)
    assert judged(tmp_path, file_of(ROUNDS[:9])).status is Status.PASS
    assert judged(tmp_path, file_of(ROUNDS)).status is Status.FAIL


def test_nodes_that_decided_different_rounds(tmp_path: Path) -> None:
    rounds = chain(ROUNDS)
    other = chain([[(0, "0", 7, "x")]], after=rounds[4], term=2)
    for node in range(5):
        write(tmp_path, node, [*rounds[:5], *other] if node == 3 else rounds, 6)
    verdict = judged(tmp_path, file_of(ROUNDS[:6]))
    assert verdict.status is Status.FAIL
    assert verdict.counterexample is not None
    assert "round 6" in verdict.counterexample.what
    assert "3" in verdict.counterexample.what


def test_rounds_that_were_replaced_count_nothing(tmp_path: Path) -> None:
    rounds = chain(ROUNDS)
    for node in range(5):
        write(tmp_path, node, rounds, 10, cut=chain([[(0, "0", 7, "x")]] * 12) if node == 3 else ())
    assert judged(tmp_path, file_of(ROUNDS)).status is Status.PASS


def test_a_journal_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    five(tmp_path)
    (tmp_path / "cluster_sync_4" / "journal" / "00000001.log").write_bytes(b"\0" * 65536)
    verdict = judged(tmp_path, file_of(ROUNDS))
    assert verdict.status is Status.NOT_CHECKED
    assert "cluster_sync_4" in verdict.needs
    assert judged(tmp_path, file_of(ROUNDS).replace(b"time: 1018", b"time: 1017")).status is Status.FAIL


def test_journals_are_not_touched(tmp_path: Path) -> None:
    five(tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for path in files:
        path.chmod(stat.S_IRUSR)
    before = [(path, path.read_bytes(), os.stat(path).st_mtime_ns) for path in files]
    assert judged(tmp_path, file_of(ROUNDS)).status is Status.PASS
    assert [(path, path.read_bytes(), os.stat(path).st_mtime_ns) for path in files] == before
