"""A history is evidence: what may have been sent is on disk before it is sent, and a killed client can go on from it."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from node_runtime.history import History, Progress, boot_id, read_progress


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def progress_of(path: Path, session: str) -> Progress:
    with path.open("rb") as lines:
        return read_progress(lines, session)


def test_the_format_is_the_documented_one(tmp_path: Path) -> None:
    path = tmp_path / "history" / "client_3.jsonl"
    history = History(path, "2")
    history.begin(1, 2)
    history.invoke(1, 368186, 'say "é"', 2, 1000)
    history.invoke(2, 368187, "b", 2, 1001)
    history.resend(1, 2, 4, 1002)
    history.ok(1, 12, 4410, 1003)
    history.ok(2, None, None, 1004)
    history.fail(3, "bad_text", 1005)
    history.unknown(4, 1006)
    history.done(2, 1, 1, complete=True)
    history.close()
    begin, *middle, done = lines_of(path)
    assert list(begin) == ["event", "session", "from", "to", "boot", "ts", "mono"]
    assert (begin["event"], begin["session"], begin["from"], begin["to"], begin["boot"]) == ("begin", "2", 1, 2, boot_id())
    assert isinstance(begin["mono"], int)
    assert middle == [
        {"event": "invoke", "session": "2", "seq": 1, "time": 368186, "text": 'say "é"', "node": 2, "mono": 1000},
        {"event": "invoke", "session": "2", "seq": 2, "time": 368187, "text": "b", "node": 2, "mono": 1001},
        {"event": "resend", "session": "2", "from": 1, "to": 2, "node": 4, "mono": 1002},
        {"event": "ok", "session": "2", "seq": 1, "round": 12, "offset": 4410, "mono": 1003},
        {"event": "ok", "session": "2", "seq": 2, "round": None, "offset": None, "mono": 1004},
        {"event": "fail", "session": "2", "seq": 3, "code": "bad_text", "mono": 1005},
        {"event": "unknown", "session": "2", "seq": 4, "mono": 1006},
    ]
    assert (done["event"], done["acked"], done["unknown"], done["failed"], done["complete"]) == ("done", 2, 1, 1, True)


def test_an_invoke_is_in_the_file_before_the_send(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    history = History(path, "2")
    history.invoke(1, 5, "a", 0, 1)
    history.barrier()
    assert len(lines_of(path)) == 1
    history.ok(1, 1, 0, 2)
    history.barrier()
    assert len(lines_of(path)) == 1, "an ack alone costs no write before a send"
    history.flush()
    assert len(lines_of(path)) == 2


def test_a_killed_client_goes_on_with_what_it_had_invoked(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    history = History(path, "2")
    history.begin(1, 50)
    for seq in (1, 2, 3, 4):
        history.invoke(seq, 100 + seq, f"m{seq}", 0, seq)
    history.ok(1, 1, 0, 9)
    history.ok(2, 1, 50, 9)
    history.flush()
    progress = progress_of(path, "2")
    assert (progress.first, progress.last, progress.acked, progress.invoked) == (1, 50, 2, 4)
    assert progress.pending == {3: (103, "m3"), 4: (104, "m4")}
    assert not progress.complete
    assert progress_of(path, "other") == Progress()


def test_a_batch_that_ended_early_is_not_complete_and_a_complete_one_is(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    history = History(path, "2")
    history.begin(1, 2)
    history.invoke(1, 1, "a", 0, 1)
    history.unknown(1, 2)
    history.done(0, 1, 0, complete=False)
    assert not progress_of(path, "2").complete
    assert progress_of(path, "2").pending == {1: (1, "a")}, "unknown is not failed (rule 37)"
    history.begin(1, 2)
    history.ok(1, 1, 0, 3)
    history.done(2, 0, 0, complete=True)
    assert progress_of(path, "2").complete


def test_a_torn_last_line_is_cut_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    History(path, "2").begin(1, 3)
    whole = path.read_bytes()
    for torn in (b'{"event":"inv', b"x" * 200_000):
        path.write_bytes(whole + torn)
        History(path, "2").begin(1, 3)
        assert len(lines_of(path)) == 2
        assert path.read_bytes().startswith(whole)
    path.write_bytes(b"no newline at all")
    History(path, "2").begin(1, 3)
    assert len(lines_of(path)) == 1


def test_two_processes_of_one_boot_agree_on_it() -> None:
    assert boot_id() == boot_id()


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_are_read_without_an_exception(lines: list[bytes]) -> None:
    assert read_progress(lines, "2") == Progress()


@given(st.text(st.characters(codec="utf-8"), max_size=50), st.integers(0, 2**53))
def test_any_text_comes_back(text: str, stamp: int) -> None:
    line = json.dumps({"event": "invoke", "session": "s", "seq": 1, "time": stamp, "text": text, "node": 0, "mono": 1})
    assert read_progress([line.encode()], "s").pending == {1: (stamp, text)}
