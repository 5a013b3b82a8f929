"""The rules that need the clients' histories: `no-loss`, `no-duplicate`, `no-invention`, `real-time` (DESIGN section 7).

A session's messages stand in the file in the order of their numbers, so the next block of a session is expected to be
its next message. A run in which all are is proven in bulk; in any other each block is looked up in the history.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate
from operator import le
from typing import NamedTuple

from votesync_cli.verify.findings import Earlier, Findings, Judged, names, place_of, text_of
from votesync_cli.verify.history import NEVER, Histories, SessionHistory
from votesync_cli.verify.reader import End, Fault, Run
from votesync_cli.verify.verdict import Place, plural

_HISTORY = "the histories of {} (blocks that came by `send --session` or the text protocol have none)"


class _Latest(NamedTuple):
    """Of all blocks so far, the one that was invoked last."""

    invoked: int
    run: Run
    place: int


class _Session:
    """How far the file has come in one session's history."""

    __slots__ = ("expected", "history", "seen")

    def __init__(self, history: SessionHistory) -> None:
        self.history = history
        self.expected = 0
        self.seen = bytearray(len(history))


class HistoryJudge:
    """Judges all four rules in one go. What was acknowledged after `moment` (boot, clock) need not be there yet."""

    def __init__(self, histories: Histories, moment: tuple[str, int] = ("", 0)) -> None:
        self._moment = moment
        self._histories = histories
        self._sessions = {name: _Session(history) for name, history in histories.sessions.items()}
        self._is_one_clock = len(histories.boots) <= 1
        self._latest: dict[str, _Latest] = {}
        self._loss, self._double, self._invented, self._late = (Findings() for _ in range(4))
        self._matched = 0
        self._strange: Counter[bytes] = Counter()

    def fault(self, fault: Fault) -> None:
        """`framing` judges it."""

    def feed(self, run: Run) -> None:
        """Match the blocks with what was sent."""
        if not (run.plain and self._is_one_clock and self._feed_fast(run)):
            for place in range(len(run)):
                self._match(run, place)

    # --- in bulk ---

    def _feed_fast(self, run: Run) -> bool:
        counts = Counter(run.sessions)
        rows = {}
        for name, count in counts.items():
            session = self._sessions.get(name)
            if session is None or not self._is_free(session, count):
                return False
            history, start = session.history, session.expected
            end = start + count
            columns = (history.times[start:end], history.invoked[start:end], history.acked[start:end])
            rows[name] = zip(history.texts(start, end), *columns, strict=True)
        if any(self._sessions[name].history.nodes[self._sessions[name].expected] != int(node)
               for name, node in set(zip(run.sessions, run.nodes, strict=True))):  # fmt: skip
            return False
        texts, times, invoked, acked = zip(*map(next, map(rows.__getitem__, run.sessions)), strict=True)
        if list(texts) != run.texts or list(times) != list(map(int, run.times)) or _has_leading_zero(run.times):
            return False
        latest = self._latest.get(self._clock())
        newest = list(accumulate(invoked, max, initial=latest.invoked if latest else 0))
        if not all(map(le, newest, acked)):
            return False
        if latest is None or newest[-1] > latest.invoked:
            self._latest[self._clock()] = _Latest(newest[-1], run, invoked.index(newest[-1]))
        self._matched += len(run)
        for name, count in counts.items():
            session = self._sessions[name]
            session.seen[session.expected : session.expected + count] = b"\1" * count
            session.expected += count
        return True

    def _is_free(self, session: _Session, count: int) -> bool:
        """Whether the next messages have nothing about them that needs a closer look."""
        history, start = session.history, session.expected
        end = start + count
        if end > len(history) or session.seen.find(1, start, end) >= 0:
            return False
        if len(set(history.nodes[start:end])) > 1:
            return False
        odd = history.failed or history.holes
        return not odd or (history.failed | history.holes).isdisjoint(range(start, end))

    def _clock(self) -> str:
        return next(iter(self._histories.boots), "")

    # --- block by block ---

    def _match(self, run: Run, place: int) -> None:
        name = run.sessions[place]
        session = self._sessions.get(name)
        if session is None:
            self._strange[name] += 1
            return
        index = self._index(session, run, place)
        if index is None:
            self._unknown(session, run, place)
            return
        history = session.history
        session.expected = index + 1
        if session.seen[index]:
            here, seq = place_of(run, place), history.first + index
            what = f"message {seq} of session {text_of(name)} stands at line {here.line} and above it too"
            self._double.add(what, here, earlier=Earlier(name, here.line, run.times[place], run.texts[place]))
            return
        session.seen[index] = 1
        self._matched += 1
        if index in history.failed:
            here = place_of(run, place)
            self._invented.add(f"line {here.line} holds a message that its client was told can never be taken", here)
        elif int(run.nodes[place]) not in history.nodes_of(index):
            here = place_of(run, place)
            told = names([str(node) for node in sorted(history.nodes_of(index))])
            what = f"line {here.line} names node {int(run.nodes[place])}, but its client sent the message to node {told} alone"
            self._invented.add(what, here, *self._sent_place(session, index))
        self._watch_time(history, index, run, place)

    def _index(self, session: _Session, run: Run, place: int) -> int | None:
        """Which of the session's messages a block is: the expected one, else any other with its time and text."""
        history, expected = session.history, session.expected
        time, text = run.times[place], run.texts[place]
        if not time.isdigit() or (time[:1] == b"0" and len(time) > 1):
            return None
        sent_at = int(time)
        if expected < len(history) and history.times[expected] == sent_at and history.sent(expected).text == text:
            return expected
        found = history.find(sent_at, text)
        return next((index for index in found if not session.seen[index]), found[0] if found else None)

    def _unknown(self, session: _Session, run: Run, place: int) -> None:
        """A block of a known session that is none of its messages: older or newer than the history, or invented."""
        history = session.history
        older = history.first > 1 and session.expected == 0
        newer = history.is_open and session.expected >= len(history)
        if older or newer or session.expected in history.elsewhere:
            self._strange[history.name] += 1
            return
        here = place_of(run, place)
        what = f"no client sent what line {here.line} holds"
        if session.expected < len(history):
            what += f"; the next message of session {text_of(history.name)} is number {history.first + session.expected}"
        self._invented.add(what, here, *self._sent_place(session, min(session.expected, len(history) - 1)))

    def _sent_place(self, session: _Session, index: int) -> tuple[Place, ...]:
        if self._invented.first is not None or index < 0:
            return ()
        place = self._histories.where(session.history.name, session.history.first + index, "invoke")
        return (place,) if place is not None else ()

    def _watch_time(self, history: SessionHistory, index: int, run: Run, place: int) -> None:
        """Promise 5, swept in file order: nothing may have been acknowledged before a block above it was sent."""
        boot = history.boot_of(index)
        latest = self._latest.get(boot)
        if latest is not None and history.acked[index] < latest.invoked:
            below, above = place_of(run, place), place_of(latest.run, latest.place)
            early = latest.invoked - history.acked[index]
            self._late.add(
                f"line {below.line} was acknowledged {early:,} µs before line {above.line} was sent, and yet stands behind it",
                above, below,
            )  # fmt: skip
        if latest is None or history.invoked[index] > latest.invoked:
            self._latest[boot] = _Latest(history.invoked[index], run, place)

    # --- the results ---

    def finish(self, end: End) -> tuple[Judged, ...]:
        """What was acknowledged and is not there is found here; the rest has been."""
        acked = sum(self._count_acked(session) for session in self._sessions.values())
        sessions = plural(len(self._sessions), "session")
        needs = "" if self._sessions else "a history that names a session"
        unproven = needs
        detail = f"{plural(self._matched, 'block')} match what {sessions} sent"
        if self._strange:
            shown = names([text_of(name) or "a free form" for name in sorted(self._strange)])
            detail += f"; {plural(sum(self._strange.values()), 'block')} of {plural(len(self._strange), 'session')} not"
            unproven = _HISTORY.format(f"session {shown}" if len(self._strange) == 1 else f"sessions {shown}")
        return (
            Judged("no-loss", f"{plural(acked, 'acknowledged message')} of {sessions}", self._loss, needs),
            Judged("no-duplicate", f"{plural(self._matched, 'message')} of {sessions}", self._double, needs),
            Judged("no-invention", detail, self._invented, unproven),
            Judged("real-time", f"{plural(acked, 'acknowledgement')} against what was sent later", self._late, needs),
        )

    def _count_acked(self, session: _Session) -> int:
        """The number of acknowledged messages; those that were not seen are losses."""
        history = session.history
        index = session.seen.find(0)
        while index >= 0:
            if history.was_acked(index) and not self._is_newer(history, index):
                self._lose(history, index)
            index = session.seen.find(0, index + 1)
        return len(history) - history.acked.count(NEVER)

    def _is_newer(self, history: SessionHistory, index: int) -> bool:
        """Whether it was acknowledged after the size of the file was taken."""
        boot, clock = self._moment
        return history.boot_of(index) == boot and clock < history.acked[index] < NEVER - 1

    def _lose(self, history: SessionHistory, index: int) -> None:
        places: tuple[Place, ...] = ()
        seq, name = history.first + index, text_of(history.name)
        if self._loss.first is None:
            found = (self._histories.where(history.name, seq, event) for event in ("invoke", "ok"))
            places = tuple(place for place in found if place is not None)
        self._loss.add(f"message {seq} of session {name} was acknowledged and is not in the file", *places)


def _has_leading_zero(times: list[bytes]) -> bool:
    return b"\n0" in b"\n" + b"\n".join(times)
