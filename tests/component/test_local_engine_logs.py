"""The local engine's logs: in the order of time, followed over restarts, ended when the services have ended."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from node_runtime import votelog
from tests.component.local_projects import LIMIT, file_of, log_of, project, remove_all, seen, service, start_all, sweep, until
from votesync_cli.compose_model import ComposeProject
from votesync_cli.engines import local_logs
from votesync_cli.engines.base import LogLine
from votesync_cli.engines.local import LocalEngine

COUNTER = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("begin", os.getpid(), flush=True)
signal.sigwait({signal.SIGTERM})
print("end, without a newline", end="", flush=True)
"""


def _event(ts: float, node: int = 0) -> str:
    return votelog.encode({"ts": ts, "mono": 1, "node": node, "event": "stop", "term": 1, "reason": "x"}).decode()


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    sweep(tmp_path)


@pytest.fixture
def written(tmp_path: Path) -> ComposeProject:
    """Two services' logs, by hand."""
    made = project(tmp_path, service("client_1", "", tmp_path), service("client_2", "", tmp_path, id=1))
    place = file_of(made).parent
    place.mkdir(parents=True)
    (place / "client_1.log").write_text("first\n" + _event(1.5) + "a traceback\n" + _event(4.0))
    (place / "client_2.log").write_text(_event(2.5, 1) + "no newline")
    return made


def _read(made: ComposeProject, *, since: float | None = None) -> list[tuple[str, float]]:
    lines = LocalEngine().logs(made, ["client_1", "client_2", "client_3"], follow=False, since=since)
    return [(line.service[-1:] + (":" + line.line if line.line[:1] != "{" else ""), line.ts) for line in lines]


def test_lines_come_in_the_order_of_time(written: ComposeProject) -> None:
    assert _read(written) == [
        ("1:first", 0.0),
        ("1", 1.5),
        ("1:a traceback", 0.0),
        ("2", 2.5),
        ("1", 4.0),
        ("2:no newline", 0.0),
    ]


def test_since_leaves_out_what_was_before(written: ComposeProject) -> None:
    assert _read(written, since=2.0) == [("2", 2.5), ("1", 4.0), ("2:no newline", 0.0)]


def test_bytes_that_are_no_text_do_not_stop_the_reading(written: ComposeProject) -> None:
    log = file_of(written).parent / "client_2.log"
    log.write_bytes(b"\xff\xfe broken\n" + b"x" * (3 << 20) + b"\nend\n")
    lines = [line.line for line in LocalEngine().logs(written, ["client_2"], follow=False, since=None)]
    assert "broken" in lines[0]
    assert "".join(lines[1:-1]) == "x" * (3 << 20)
    assert lines[-1] == "end"


def test_follow_goes_on_over_a_restart_and_ends_with_the_last_service(tmp_path: Path) -> None:
    made, engine = (
        project(tmp_path, service("client_1", COUNTER, tmp_path), service("client_2", COUNTER, tmp_path, id=1)),
        LocalEngine(),
    )
    start_all(engine, made)
    got, follower = _follow(engine.logs(made, ["client_1", "client_2"], follow=True, since=None))
    assert {_next(got).service, _next(got).service} == {"client_1", "client_2"}
    engine.kill(made, "client_1")
    engine.start(made, "client_1")
    again = _next(got)
    assert (again.service, again.line) == ("client_1", f"begin {seen(engine, made, 'client_1').pid}")
    engine.stop(made, "client_1")
    engine.stop(made, "client_2")
    follower.join(LIMIT)
    assert not follower.is_alive(), "it ends when both have ended"
    assert [_next(got).line for _ in range(2)] == ["end, without a newline"] * 2
    remove_all(engine, made)


def test_follow_sees_a_service_that_was_made_anew(tmp_path: Path) -> None:
    made, engine = (
        project(tmp_path, service("client_1", COUNTER, tmp_path), service("client_2", COUNTER, tmp_path, id=1)),
        LocalEngine(),
    )
    start_all(engine, made)
    until(lambda: "begin" in log_of(made, "client_1"), "it writes")
    got, follower = _follow(engine.logs(made, ["client_1", "client_2"], follow=True, since=None))
    first = {_next(got).line, _next(got).line}
    engine.remove(made, "client_1")
    engine.create(made, made.services[0])
    lines = [_next(got), _next(got)]
    assert {line.service for line in lines} == {"client_1"}
    assert lines[0].line == "end, without a newline"
    assert lines[1].line not in first
    remove_all(engine, made)
    follower.join(LIMIT)
    assert not follower.is_alive()


def test_follow_reads_a_longer_file_that_took_the_place_of_the_one_it_reads(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    looks = iter([True, False])
    lines = local_logs.read({"a": log}, None, lambda: next(looks))
    assert next(lines).line == "old"
    (tmp_path / "new").write_text("new and longer\nthan before\n")
    (tmp_path / "new").rename(log)
    assert [line.line for line in lines] == ["new and longer", "than before"]


def test_whoever_stops_reading_leaves_nothing_open(written: ComposeProject) -> None:
    lines = LocalEngine().logs(written, ["client_1"], follow=True, since=None)
    assert next(lines).line == "first"
    log = str(file_of(written).parent / "client_1.log")
    assert log in _open_files()
    lines.close()  # type: ignore[attr-defined]  # a generator, whatever the protocol promises
    assert log not in _open_files()


def _open_files() -> set[str]:
    return {str(entry.resolve()) for entry in Path("/proc/self/fd").iterdir()}


def _follow(lines: Iterator[LogLine]) -> tuple[queue.Queue[LogLine], threading.Thread]:
    got: queue.Queue[LogLine] = queue.Queue()

    def pump() -> None:
        for line in lines:
            got.put(line)

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    return got, thread


def _next(got: queue.Queue[LogLine]) -> LogLine:
    return got.get(timeout=LIMIT)
