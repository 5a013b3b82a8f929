"""The self-test: every damage is caught by a rule that it breaks, and what is not caught is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from verify_maker import closed, file_of, good_rounds, write_histories
from votes_maker import NODES, book_of, logs_of

from votesync_cli.verify import selftest
from votesync_cli.verify.check import Evidence
from votesync_cli.verify.history import read_histories
from votesync_cli.verify.selftest import DAMAGES, HISTORY_DAMAGES, SelfTest, self_test
from votesync_cli.verify.verdict import Report

ROUNDS = good_rounds(20, sessions=NODES)


def tried(directory: Path, data: bytes, evidence: Evidence) -> SelfTest:
    path = directory / "output.txt"
    path.write_bytes(data)
    result = self_test(path, evidence)
    assert isinstance(result, SelfTest)
    assert path.read_bytes() == data
    return result


def test_with_all_evidence_every_damage_is_caught(tmp_path: Path) -> None:
    evidence = Evidence(read_histories(write_histories(tmp_path, ROUNDS)), votes=book_of(logs_of(ROUNDS)))
    result = tried(tmp_path, file_of(ROUNDS), evidence)
    assert [trial.damage for trial in result.trials] == [damage.name for damage in (*DAMAGES, *HISTORY_DAMAGES)]
    assert not [trial for trial in result.trials if not trial.caught or trial.is_missed]
    assert result.exit_code == 0
    assert "20 of 20 damages caught" in result.to_text()


def test_from_the_file_alone_it_says_which_damages_need_more(tmp_path: Path) -> None:
    result = tried(tmp_path, file_of(ROUNDS), Evidence())
    assert [trial.damage for trial in result.trials if not trial.caught] == ["a node id is altered", "a round is split in two"]
    assert result.exit_code == 0


def test_a_file_that_is_not_good_is_reported_instead(tmp_path: Path) -> None:
    path = tmp_path / "output.txt"
    path.write_bytes(file_of(ROUNDS)[:-1])
    result = self_test(path, Evidence())
    assert isinstance(result, Report)
    assert result.exit_code == 1


def test_a_file_without_a_pair_of_blocks_is_inconclusive(tmp_path: Path) -> None:
    assert tried(tmp_path, closed((0, "a", 5, "1")), Evidence()).exit_code == 3


def test_a_damage_that_nothing_catches_fails(tmp_path: Path) -> None:
    trial = tried(tmp_path, file_of(ROUNDS), Evidence()).trials[0]
    missed = dataclasses.replace(trial, caught=("framing",))
    result = SelfTest("output.txt", (missed,))
    assert result.exit_code == 1
    assert next(result.to_json())["missed"] is True


def test_each_damage_differs_from_the_file(tmp_path: Path) -> None:
    data = file_of(ROUNDS)
    pair = selftest._PAIR.search(data, 500)
    assert pair is not None
    made = [damage.make(data, pair) for damage in DAMAGES]
    assert all(damaged is None or damaged != data for damaged in made)
