"""Following logs: threads, queues and pipes, with the lines of a made-up cluster."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from node_runtime.votelog import encode
from tests.unit.votelog_maker import LogMaker
from votesync_cli.commands.tailing import LastRounds, Reader, Show, follow, read_all
from votesync_cli.engines.base import LogLine
from votesync_cli.errors import EnvironmentFault
from votesync_cli.sampling import Sampler
from votesync_cli.views import reader_is_gone
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import Item, RoundView, Selection

LIMIT = 30.0  # seconds that nothing here should take


def made(rounds: int = 3) -> list[LogLine]:
    maker = LogMaker(3)
    maker.elect(0)
    maker.burst(rounds)
    return [LogLine(f"cluster_sync_{event['node'] + 1}", encode(event).decode()) for event in maker.merged()]


class Kept:
    """An output that keeps what it is told."""

    def __init__(self) -> None:
        self.told: queue.Queue[Item] = queue.Queue()

    def items(self, items: Sequence[Item]) -> None:
        for item in items:
            self.told.put(item)

    def sampled(self, sampler: Sampler) -> None:
        raise AssertionError("a few rounds are not sampled")

    def rounds(self) -> list[int]:
        return [item.round for item in list(self.told.queue) if isinstance(item, RoundView)]


def show_to(output: Kept, keep: int | None = None) -> Show:
    return Show(VoteStream(range(3)), Selection(), output, LastRounds(keep))


def test_all_that_is_there_is_read_and_other_words_are_skipped() -> None:
    kept = Kept()
    lines = [LogLine("cluster_sync_1", "Traceback: no event"), *made(5)]
    assert read_all(iter(lines), show_to(kept)) == 0
    assert kept.rounds() == [2, 3, 4, 5, 6]


def test_following_shows_rounds_before_the_logs_end() -> None:
    kept = Kept()
    end = threading.Event()

    def lines() -> Iterator[LogLine]:
        yield from made()
        assert end.wait(LIMIT)

    def watch() -> None:
        until = time.monotonic() + LIMIT
        while kept.rounds() != [2, 3, 4] and time.monotonic() < until:
            end.wait(0.01)
        end.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert follow(lines(), show_to(kept), Sampler(), sample=True) == 0
    watcher.join(LIMIT)
    assert kept.rounds() == [2, 3, 4]


def test_of_a_past_that_is_over_the_last_rounds_are_shown() -> None:
    kept = Kept()
    assert follow(iter(made(6)), show_to(kept, keep=2), Sampler(), sample=True) == 0
    assert kept.rounds() == [6, 7]


def test_an_engine_that_fails_is_heard() -> None:
    def lines() -> Iterator[LogLine]:
        yield from made()
        raise EnvironmentFault("The engine went away.", "Start it again.")

    with pytest.raises(EnvironmentFault, match="went away"):
        follow(lines(), show_to(Kept()), Sampler(), sample=True)


def test_a_reader_gives_the_turn_back_while_lines_come_without_end() -> None:
    def lines() -> Iterator[LogLine]:
        while True:
            yield from made(1)

    reader = Reader(lines(), Sampler())
    reader.start()
    began = time.monotonic()
    got = sum(1 for _ in reader.lines(0.1))
    assert got > 0
    assert time.monotonic() - began < LIMIT


def test_a_pipe_without_a_reader_is_noticed() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        assert not reader_is_gone(stream)
        os.close(reading)
        assert reader_is_gone(stream)


FOLLOWER = """
import json, sys, threading
from tests.component.test_tailing import made
from votesync_cli import app
from votesync_cli.commands.tailing import JsonOutput, LastRounds, Show, follow
from votesync_cli.sampling import Sampler
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import Selection

def lines():
    yield from made()
    threading.Event().wait()

try:
    follow(lines(), Show(VoteStream(range(3)), Selection(), JsonOutput(), LastRounds(None)), Sampler(), sample=False)
except BrokenPipeError:
    sys.exit(app._hush())
"""


def test_json_into_head_ends_although_nothing_comes_any_more() -> None:
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", FOLLOWER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = json.loads(process.stdout.readline())
        assert first["event"] == "start"
        process.stdout.close()
        assert process.wait(LIMIT) == 0
        assert process.stderr.read() == ""
