"""`votesync verify` from the outside: exit codes, what is printed, and which evidence it finds by itself."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

from typer.testing import CliRunner
from verify_maker import closed, file_of, good_rounds, write_histories
from votes_maker import NODES, logs_of

from node_runtime.votelog import encode
from votesync_cli.app import app
from votesync_cli.verify.check import Evidence, check

ROUNDS = good_rounds(10, sessions=NODES)


def run(directory: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["--file", str(directory / "compose.yml"), "verify", *arguments])
    return result.exit_code, result.stdout, result.stderr


def put(directory: Path, data: bytes) -> str:
    path = directory / "output.txt"
    path.write_bytes(data)
    return str(path)


def test_exit_0_where_nothing_is_broken(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, put(tmp_path, file_of(ROUNDS)))
    assert code == 0
    assert "keeps 4 rules, 7 rules not checked (50 blocks in 10 rounds)" in out


def test_exit_1_where_a_rule_is_broken(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, put(tmp_path, closed((0, "a", 9, "1"), (0, "a", 5, "2"))))
    assert code == 1
    assert "breaks order" in out


def test_exit_2_for_a_wrong_option(tmp_path: Path) -> None:
    assert run(tmp_path, put(tmp_path, b""), "--nonsense")[0] == 2


def test_exit_3_for_an_empty_file(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, put(tmp_path, b""))
    assert code == 3
    assert "is empty: there is nothing to check" in out


def test_exit_4_for_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name in (str(tmp_path / "none.txt"), str(tmp_path)):
        code, out, err = run(tmp_path, name)
        assert code == 4
        assert out == ""
        assert name in err
    code, _, err = run(tmp_path, put(tmp_path, b""), "--history", str(tmp_path / "nowhere"))
    assert code == 4
    assert "nowhere" in err


def test_the_default_is_the_projects_file(tmp_path: Path) -> None:
    (tmp_path / "shared_data").mkdir()
    put(tmp_path / "shared_data", file_of(ROUNDS))
    assert run(tmp_path)[0] == 0


def test_histories_beside_the_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    write_histories(tmp_path / "history", ROUNDS)
    code, out, _ = run(tmp_path, put(tmp_path, file_of(ROUNDS)))
    assert code == 0
    assert "keeps 8 rules" in out


def test_votes_are_read_from_a_file_or_a_directory(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for node, log in logs_of(ROUNDS).items():
        (tmp_path / "logs" / f"cluster_sync_{node + 1}.log").write_bytes(b"".join(map(encode, log)))
    together = tmp_path / "all.txt"
    together.write_bytes(b"".join(path.read_bytes() for path in sorted((tmp_path / "logs").iterdir())))
    for place in (tmp_path / "logs", together):
        code, out, _ = run(tmp_path, put(tmp_path, file_of(ROUNDS)), "--votes", str(place))
        assert code == 0
        assert "keeps 6 rules" in out


def test_json_lines(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, put(tmp_path, file_of(ROUNDS)), "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(lines) == 12
    assert lines[-1]["verdict"] == "PASS"
    assert lines[-1]["blocks"] == 50


def test_self_test(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, put(tmp_path, file_of(ROUNDS)), "--self-test")
    assert code == 0
    assert "MISSED" not in out


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for count in (6_000, 60_000):
        rounds = (closed((0, "a", 10**15 + n, str(n)), (1, "b", 10**15 + n, str(n))) for n in range(count))
        path = Path(put(tmp_path, b"".join(rounds)))
        tracemalloc.start()
        assert check(path, Evidence()).exit_code == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2
