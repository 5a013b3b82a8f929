"""The rules that the file alone can show: `framing`, `order`, `session-order`, `complete` (DESIGN section 7).

Each first tries a proof in bulk, by builtins that compare whole columns; only where that fails it looks at the
blocks one by one.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import count, islice
from operator import eq, lt
from typing import Any

from node_runtime.records import TYPED
from votesync_cli.verify.findings import Earlier, Finding, Findings, Judged, place_of, text_of
from votesync_cli.verify.reader import End, Fault, Run
from votesync_cli.verify.verdict import Place, plural


class Framing:
    """Every byte belongs to a block or to a separator; whether the last one is whole is for `complete` to say."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.blocks = 0
        self.rounds = 0
        self.unread = 0

    def feed(self, run: Run) -> None:
        """Count."""
        self.blocks += len(run)
        self.rounds += len(run.starts)
        if not run.plain:
            self.unread += run.times.count(b"")

    def fault(self, fault: Fault) -> None:
        """Bytes that belong to nothing."""
        self.findings.add(f"line {fault.line}: {fault.what}", Place(fault.line, text_of(fault.text)), count=fault.count)

    def finish(self, end: End) -> tuple[Judged]:
        """PASS where there was no fault."""
        detail = f"{plural(self.blocks, 'block')}, {plural(self.rounds, 'separator')}"
        if self.unread:
            detail += f"; {plural(self.unread, 'body') if self.unread == 1 else f'{self.unread:,} bodies'} of a free form"
        return (Judged("framing", detail, self.findings),)


class Complete:
    """The last round is closed by its separator, and the last line by its newline.

    While the file `is_growing` (set before `finish`), an open end is what one has to expect.
    """

    def __init__(self) -> None:
        self.findings = Findings()
        self.is_growing = False
        self._rounds = 0
        self._run: Run | None = None

    def feed(self, run: Run) -> None:
        """Keep the last block."""
        self._rounds += len(run.starts)
        if len(run):
            self._run = run

    def fault(self, fault: Fault) -> None:
        """`framing` judges it."""

    def finish(self, end: End) -> tuple[Judged]:
        """FAIL for an open round or a line that is cut short."""
        if self.is_growing and (end.torn is not None or end.open_line):
            needs = "a file that nobody writes in any more"
            return (Judged("complete", "the last round is being written", self.findings, needs),)
        if end.torn is not None:
            what = f"the file ends in the middle of a line or a block (line {end.torn_line})"
            self.findings.add(what, Place(end.torn_line, text_of(end.torn)))
        elif end.open_line and self._run is not None:
            last = place_of(self._run, len(self._run) - 1)
            self.findings.add(f"the last round starts at line {end.open_line} and has no separator at its end", last)
        detail = "a cluster that stands still may go on and close it" if self.findings.count else "the last round is closed"
        return (Judged("complete", detail, self.findings, "" if self._rounds or self._run else "a block"),)


class Order:
    """Inside a round, blocks ascend by (time, node id, session).

    The sequence number, last part of the key, is not in the file; `session-order` judges it. A node takes decimal
    times of the seed's protocol as whole microseconds, the seed itself as they are: two neighbours are in order if
    either way of reading says so. Blocks without a time that can be read are passed over.
    """

    def __init__(self) -> None:
        self.findings = Findings()
        self._last: tuple[Run, int] | None = None  # the block before, where it is of the same round
        self._compared = 0
        self._skipped = 0

    def feed(self, run: Run) -> None:
        """Compare neighbours; the last block of a run is compared with the first of the next."""
        if not run.plain:
            self._feed_carefully(run)
            return
        if not run.gaps[0] and self._last is not None:
            self._compare(self._last, (run, 0))
        self._compared += len(run)
        times: list[Any] = run.times
        if not run.width:
            times = list(map(int, times))
        rising = bytes(map(lt, times, islice(times, 1, None)))
        at = rising.find(0)
        while at >= 0:
            if not run.gaps[at + 1]:
                self._compare((run, at), (run, at + 1))
            at = rising.find(0, at + 1)
        self._last = None if run.gaps[-1] else (run, len(run) - 1)

    def _feed_carefully(self, run: Run) -> None:
        for place in range(len(run)):
            if run.gaps[place]:
                self._last = None
            if not run.times[place]:
                self._skipped += 1
                continue
            self._compared += 1
            if self._last is not None:
                self._compare(self._last, (run, place))
            self._last = (run, place)
        if run.gaps[-1]:
            self._last = None

    def _compare(self, one: tuple[Run, int], other: tuple[Run, int]) -> None:
        before, after = _key(*one), _key(*other)
        if before[1:] <= after[1:] or before[0] < after[0]:
            return
        part = ("time", "node id", "session")[[a == b for a, b in zip(before[1:], after[1:], strict=True)].index(False)]
        first, second = place_of(*one), place_of(*other)
        self.findings.add(
            f"line {second.line} stands behind line {first.line} in the same round, but its {part} is smaller", first, second
        )

    def fault(self, fault: Fault) -> None:
        """`framing` judges it."""

    def finish(self, end: End) -> tuple[Judged]:
        """PASS where no two neighbours were out of order."""
        passed_over = f"; {plural(self._skipped, 'block')} without a time that can be read" if self._skipped else ""
        detail = f"{plural(self._compared, 'block')} sorted by time, node id and session inside their rounds{passed_over}"
        return (Judged("order", detail, self.findings, "" if self._compared else "a block with a time"),)


def _key(run: Run, place: int) -> tuple[Decimal | int, int, int, bytes]:
    """(exact time, whole time, node, session)."""
    time = run.times[place]
    exact = Decimal(time.decode()) if b"." in time else int(time)
    return exact, int(exact), int(run.nodes[place]), run.sessions[place]


def _number(text: bytes) -> int | None:
    try:
        return int(text) if text.isdigit() else None
    except ValueError:  # more digits than `int` takes
        return None


_TYPED = TYPED.encode()


class SessionOrder:
    """The texts of a session ascend by one, without gap or repeat, for sessions whose texts are all whole numbers.

    A session may start at any number. One that has a text of another kind is not judged, nor are those of `votesync send`:
    people type numbers there that count nothing. Memory: one entry a session.
    """

    def __init__(self) -> None:
        self.findings = Findings()
        self._next: dict[bytes, int] = {}
        self._free: set[bytes] = set()
        self._broken: dict[bytes, tuple[int, Finding]] = {}

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self._next) + len(self._free)

    def feed(self, run: Run) -> None:
        """Compare the texts with one counter for each session; where that does not fit, look at each block."""
        expected = self._next
        present = set(run.sessions)
        self._free.update(session for session in present if session.startswith(_TYPED))
        if not run.numeric or not run.plain or not self._free.isdisjoint(present):
            self._feed_carefully(run)
            return
        counters = {session: count(expected[session]) for session in present if session in expected}
        try:
            for session in present - counters.keys():
                counters[session] = count(int(run.texts[run.sessions.index(session)]))
            fits = all(map(eq, map(int, run.texts), map(next, map(counters.__getitem__, run.sessions))))
        except ValueError:  # an empty text, or one of more digits than `int` takes
            fits = False
        if not fits:
            self._feed_carefully(run)
            return
        for session, counter in counters.items():
            expected[session] = next(counter)

    def _feed_carefully(self, run: Run) -> None:
        expected, free = self._next, self._free
        for place, (session, text) in enumerate(zip(run.sessions, run.texts, strict=True)):
            if session in free or not session:
                continue
            number = _number(text)
            if number is None:
                free.add(session)
                expected.pop(session, None)
                self._broken.pop(session, None)
                continue
            due = expected.get(session, number)
            if number != due:
                self._break(run, place, due, number)
            expected[session] = number + 1

    def _break(self, run: Run, place: int, due: int, number: int) -> None:
        session = run.sessions[place]
        seen, first = self._broken.get(session, (0, None))
        if first is None:
            here = place_of(run, place)
            why = f"{due} is missing" if number > due else f"{number} comes again or too late"
            what = f"session {text_of(session)}: line {here.line} has number {number} behind {due - 1}: {why}"
            first = Finding(what, (here,), Earlier(session, here.line))
        self._broken[session] = (seen + 1, first)

    def fault(self, fault: Fault) -> None:
        """`framing` judges it."""

    def finish(self, end: End) -> tuple[Judged]:
        """FAIL for the first break of a session that is judged."""
        for _, (times, finding) in sorted(self._broken.items(), key=lambda item: item[1][1].places[0].line):
            self.findings.first = self.findings.first or finding
            self.findings.count += times
        detail = f"{plural(len(self._next), 'session')} ascend by one"
        if self._free:
            detail += f"; {plural(len(self._free), 'session')} with texts that are no numbers"
        if not self._next:
            return (Judged("session-order", detail, self.findings, needs="a session whose texts are whole numbers"),)
        return (Judged("session-order", detail, self.findings),)
