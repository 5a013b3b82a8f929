"""From the nodes' log lines to what `tail` prints: a reader thread, the stream of votes, the past and the present.

The thread reads the lines and leaves out those that nobody will see; the main thread decodes, orders and prints, ten
times a second at most. When it cannot keep up, the reader waits: nodes write to their log and to nobody who reads it,
so a slow terminal or pipe never slows the cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from node_runtime import votelog
from votesync_cli.engines.base import LogLine
from votesync_cli.errors import VotesyncError
from votesync_cli.sampling import Sampler
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import Item, RoundView, Selection

REDRAW = 0.1  # seconds between two looks at what has come
SETTLED = 0.5  # seconds without a line after which the past is over
MOST_LINES = 20_000  # lines read and not yet decoded
MOST_BETWEEN = 1000  # happenings of the past that are kept
NICE = 5
SAY_AGAIN = 10.0  # seconds after which a sampled table says again that it is one


class Output(Protocol):
    """Where items go."""

    def items(self, items: Sequence[Item]) -> None:
        """Print them.

        Raises: BrokenPipeError.
        """
        ...

    def sampled(self, sampler: Sampler) -> None:
        """Say that the share of rounds that are shown has changed."""
        ...


class JsonOutput:
    """JSON Lines: all rounds, all happenings."""

    def items(self, items: Sequence[Item]) -> None:
        """One object a line."""
        sys.stdout.write("".join(json.dumps(item.to_json(), ensure_ascii=False) + "\n" for item in items))
        sys.stdout.flush()

    def sampled(self, sampler: Sampler) -> None:
        """Nothing is ever left out here."""


class LastRounds:
    """The past, of which only the last `keep` rounds are shown (None: all); then it lets everything through."""

    def __init__(self, keep: int | None) -> None:
        self._keep = keep
        self._kept: deque[Item] = deque()
        self._rounds = 0
        self.over = keep is None

    def take(self, items: Iterable[Item], until: float) -> list[Item]:
        """What may be shown by now; the past is over with the first item whose time is `until` or later."""
        out: list[Item] = []
        for item in items:
            if not self.over and item.ts >= until:
                out += self.end()
            if self.over:
                out.append(item)
            else:
                self._hold(item)
        return out

    def end(self) -> list[Item]:
        """The past is over: what was kept of it."""
        self.over = True
        kept = list(self._kept)
        self._kept.clear()
        return kept

    def _hold(self, item: Item) -> None:
        self._kept.append(item)
        self._rounds += isinstance(item, RoundView)
        while self._rounds > (self._keep or 0) or len(self._kept) > (self._keep or 0) + MOST_BETWEEN:
            self._rounds -= isinstance(self._kept.popleft(), RoundView)


class Show:
    """From log lines to what is printed."""

    def __init__(self, stream: VoteStream, chosen: Selection, output: Output, past: LastRounds) -> None:
        self.stream = stream
        self.chosen = chosen
        self.output = output
        self.past = past
        self.began = time.time()

    def feed(self, line: LogLine, now: float) -> None:
        """Take one line; what is no event is somebody else's output."""
        event = votelog.decode(line.line)
        if event is not None:
            self.stream.feed(event, now)

    def print(self, items: Iterable[Item]) -> None:
        """Print what is wanted of these."""
        shown = self.past.take((item for item in items if self.chosen.has(item)), self.began)
        if shown:
            self.output.items(shown)

    def end_past(self) -> None:
        """Print what was kept of the past, if that is not done."""
        if not self.past.over and (kept := self.past.end()):
            self.output.items(kept)


def read_all(lines: Iterator[LogLine], show: Show) -> int:
    """All that is there, then the end."""
    for number, line in enumerate(lines):
        if '"event":"turn"' not in line.line:
            show.feed(line, 0.0)
        if number % 500 == 0:
            show.print(show.stream.take())
    show.print(show.stream.take())
    show.print(show.stream.close())
    show.end_past()
    return 0


class Reader(threading.Thread):
    """Reads the engine's lines into a queue; None in it is the end, an error the reason for it."""

    def __init__(self, lines: Iterator[LogLine], sampler: Sampler) -> None:
        super().__init__(name="tail", daemon=True)
        self._lines = lines
        self._sampler = sampler
        self.queue: queue.Queue[LogLine | VotesyncError | None] = queue.Queue(MOST_LINES)

    def run(self) -> None:
        """Read until the end; waits while the queue is full."""
        try:
            for line in self._lines:
                if self._sampler.wants(line.line):
                    self.queue.put(line)
            self.queue.put(None)
        except VotesyncError as error:
            self.queue.put(error)

    def lines(self, wait: float) -> Iterator[LogLine]:
        """What comes within `wait` seconds.

        Raises: EOFError at the end, VotesyncError where reading failed.
        """
        until = time.monotonic() + wait
        with contextlib.suppress(queue.Empty):
            while (left := until - time.monotonic()) > 0:
                item = self.queue.get(timeout=left)
                if item is None:
                    raise EOFError
                if isinstance(item, VotesyncError):
                    raise item
                yield item


def follow(lines: Iterator[LogLine], show: Show, sampler: Sampler, *, sample: bool) -> int:
    """What is there and what comes, until the logs end or nobody reads."""
    from votesync_cli.views import reader_is_gone

    with contextlib.suppress(OSError):
        os.nice(NICE)  # on one machine with the nodes, they go first
    reader = Reader(lines, sampler)
    reader.start()
    heard = said = time.monotonic()
    ended = False
    while not ended:
        try:
            for line in reader.lines(REDRAW):
                heard = time.monotonic()
                show.feed(line, heard)
        except EOFError:
            ended = True
        now = time.monotonic()
        show.print(show.stream.close() if ended else show.stream.take(now))
        if ended or now - heard > SETTLED:
            show.end_past()
        if sample and show.past.over and (sampler.look(now) or (sampler.every > 1 and now - said > SAY_AGAIN)):
            said = now
            show.output.sampled(sampler)
        if reader_is_gone(sys.stdout):
            raise BrokenPipeError
    return 0
