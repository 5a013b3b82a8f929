"""What a rule collects while the file goes by: how often it was broken, and the first time in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from votesync_cli.verify.reader import End, Fault, Run
from votesync_cli.verify.verdict import Place, Status


@dataclass(frozen=True, slots=True)
class Earlier:
    """Asks for the last block of `session` above `line` (with this time and text, where given): found by a second look."""

    session: bytes
    line: int
    time: bytes | None = None
    text: bytes | None = None

    def fits(self, time: bytes, text: bytes) -> bool:
        """Whether a block of the session is one that is asked for."""
        return self.time in (None, time) and self.text in (None, text)


@dataclass(slots=True)
class Finding:
    """The first violation; `earlier` is looked up only when the report is made."""

    what: str
    places: tuple[Place, ...]
    earlier: Earlier | None = None


class Findings:
    """Counts violations and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: Finding | None = None

    def add(self, what: str, *places: Place, earlier: Earlier | None = None, count: int = 1) -> None:
        """One violation more (or `count` of one kind)."""
        if self.first is None:
            self.first = Finding(what, places, earlier)
        self.count += count


class Judged(NamedTuple):
    """A rule's result. FAIL where something was found; else NOT CHECKED where something is needed; else PASS."""

    rule: str
    detail: str
    findings: Findings
    needs: str = ""

    @property
    def status(self) -> Status:
        """The verdict in a word."""
        if self.findings.count:
            return Status.FAIL
        return Status.NOT_CHECKED if self.needs else Status.PASS


class Judge(Protocol):
    """One rule, or a few that share their work: fed with the file in order, then asked for the results."""

    def feed(self, run: Run) -> None:
        """The next blocks."""
        ...

    def fault(self, fault: Fault) -> None:
        """Bytes between the blocks that belong to none."""
        ...

    def finish(self, end: End) -> Sequence[Judged]:
        """The results for the whole file."""
        ...


def place_of(run: Run, place: int) -> Place:
    """The block at `place` as it stands in the file."""
    return block_place(run.line_of(place), run.nodes[place], run.body_of(place))


def block_place(line: int, node: bytes, body: bytes) -> Place:
    """A block as it stands in the file."""
    return Place(line, f"Container {text_of(node)} \nMensagem: {text_of(body)}")


def text_of(data: bytes) -> str:
    """Bytes of the file for people to read; what is not UTF-8 or not printable is escaped, and long texts are cut."""
    text = data[:2000].decode(errors="backslashreplace")
    shown = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(data) <= 2000 else f"{shown}…"


def names(items: Sequence[str], most: int = 3) -> str:
    """`a, b, c and 4 more`."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")
