"""`votesync top`: the whole cluster on one screen, live: nodes, turns, links, rates, faults and the last events."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from node_runtime import votelog
from votesync_cli.board import Board, Meter, board
from votesync_cli.commands.asking import ask_nodes
from votesync_cli.commands.context import open_engine, read_project
from votesync_cli.commands.tailing import Reader
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine, LogLine
from votesync_cli.errors import UsageError
from votesync_cli.options import Common
from votesync_cli.sampling import Sampler
from votesync_cli.votes import VoteStream

PAST = 60.0  # seconds of vote log that the first picture rests on

OnceOption = Annotated[bool, typer.Option("--once", help="One picture, then the end (as off a terminal).")]
IntervalOption = Annotated[float, typer.Option("--interval", metavar="SECONDS", help="How often it is drawn anew.")]


def top(common: Common, once: OnceOption = False, interval: IntervalOption = 1.0) -> Board | int:
    """Show the whole cluster live: nodes and votes, who writes and who waits, links, rates, latency, faults, events.

    `q` or Ctrl-C ends it. With --json each picture is one line, with --plain each change; with --once there is one picture,
    and its exit code 1 means that no majority of the nodes is healthy.
    """
    if not 0.1 <= interval <= 3600:
        raise UsageError(f"--interval takes 0.1 to 3600 seconds, not {interval:g}.", "Say for example: --interval 2")
    project = read_project(common)
    with open_engine(common, project) as engine:
        if once or not (sys.stdout.isatty() or common.json):
            return _one(engine, project, interval)
        if common.json:
            for picture in _pictures(engine, project, interval):
                _print(picture)
        from votesync_cli.views import live

        with live(common) as screen:
            for picture in _pictures(engine, project, interval):
                screen.show(picture)
                if screen.is_left():
                    break
    return 0


def _one(engine: Engine, project: ComposeProject, timeout: float) -> Board:
    """One picture, from the log of the last minute and what the nodes say."""
    stream, meter, now = VoteStream(node.id for node in project.nodes), Meter(), time.time()
    for line in engine.logs(project, [node.name for node in project.nodes], follow=False, since=now - PAST):
        _feed(stream, line)
        meter.take(stream.take())
    meter.take(stream.close())
    return board(project.name, ask_nodes(engine, project, max(2.0, timeout)), meter, time.time())


def _pictures(engine: Engine, project: ComposeProject, interval: float) -> Iterator[Board]:
    """Pictures for ever, `interval` seconds apart; while the logs have ended too, for nodes may be started again."""
    names = [node.name for node in project.nodes]
    stream, meter, sampler = VoteStream(node.id for node in project.nodes), Meter(), Sampler()
    reader: Reader | None = None
    since = time.time() - PAST
    while True:
        began = time.monotonic()
        nodes = ask_nodes(engine, project, max(2.0, interval))
        if reader is None:
            reader = Reader(engine.logs(project, names, follow=True, since=since), sampler)
            reader.start()
        try:
            while (left := began + interval - time.monotonic()) > 0:
                for line in reader.lines(min(left, 0.1)):
                    _feed(stream, line)
                meter.take(stream.take(time.monotonic()), sampler.every)
                sampler.look(time.monotonic())
        except EOFError:
            reader, since = None, time.time()
            time.sleep(max(0.0, began + interval - time.monotonic()))
        yield board(project.name, nodes, meter, time.time())


def _feed(stream: VoteStream, line: LogLine) -> None:
    event = votelog.decode(line.line)
    if event is not None:
        stream.feed(event, time.monotonic())


def _print(picture: Board) -> None:
    for row in picture.to_json():
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
    sys.stdout.flush()
