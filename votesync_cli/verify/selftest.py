"""`verify --self-test`: damages copies of a good file in every way there is, and shows that each is caught, and by which rule.

A damage has to be caught by one of the rules that it breaks, out of those that the evidence at hand lets judge.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from node_runtime.records import SEPARATOR
from votesync_cli.results import Part, Table
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.history import read_histories
from votesync_cli.verify.verdict import Report, Status, plural

MOST = 32 * 1024 * 1024  # bytes of a file that are copied

_BLOCK = rb"(Container (\d+) \nMensagem: client (\S+) time: (\d+) - message: .*\n)"
_PAIR = re.compile(_BLOCK + b"(?=" + _BLOCK + b")")  # groups 1 to 4: a block, its node, session, time; 5 to 8: the next one
_ORDER, _SESSIONS = ("order", "session-order", "no-invention"), ("session-order", "no-loss", "no-invention")


@dataclass(frozen=True, slots=True)
class Damage:
    """One way to damage a file, and the rules that it may break; `make` gives None where the file has no place for it."""

    name: str
    breaks: tuple[str, ...]
    make: Callable[[bytes, re.Match[bytes]], bytes | None]


def _put(data: bytes, start: int, end: int, new: bytes) -> bytes:
    return data[:start] + new + data[end:]


def _into(data: bytes, at: int, new: bytes) -> bytes:
    return _put(data, at, at, new)


def _altered_time(data: bytes, pair: re.Match[bytes]) -> bytes:
    return _put(data, *pair.span(4), b"%d" % (int(pair[8]) + 1))


def _altered_node(data: bytes, pair: re.Match[bytes]) -> bytes:
    return _put(data, *pair.span(2), b"%d" % ((int(pair[2]) + 1) % 64))


def _swapped(data: bytes, pair: re.Match[bytes]) -> bytes | None:
    return _put(data, pair.start(1), pair.end(5), pair[5] + pair[1]) if pair[4] < pair[8] else None


def _moved(data: bytes, pair: re.Match[bytes]) -> bytes | None:
    """The block's whole round goes to the end of the file."""
    start = data.rfind(SEPARATOR, 0, pair.start()) + len(SEPARATOR) if SEPARATOR in data[: pair.start()] else 0
    end = data.index(SEPARATOR, pair.end()) + len(SEPARATOR)
    return data[:start] + data[end:] + data[start:end] if end < len(data) else None


DAMAGES = (
    Damage("a block is removed", _SESSIONS, lambda data, pair: _put(data, *pair.span(1), b"")),
    Damage("a block stands twice", ("no-duplicate", "session-order"), lambda data, pair: _into(data, pair.end(1), pair[1])),
    Damage("two blocks of a round are swapped", _ORDER, _swapped),
    Damage("a round is moved to the end", ("session-order", "real-time", "majority", "agreement"), _moved),
    Damage("a time is altered", ("order", "no-invention", "agreement"), _altered_time),
    Damage("a text is altered", _SESSIONS, lambda data, pair: _into(data, pair.end(1) - 1, b"7")),
    Damage("a node id is altered", ("no-invention", "agreement"), _altered_node),
    Damage(
        "a block is invented",
        ("no-invention", "session-order", "majority", "agreement"),
        lambda data, pair: _into(data, pair.end(1), re.sub(rb"message: .*\n\Z", b"message: 999999\n", pair[1])),
    ),
    Damage("the file is cut inside its last line", ("complete",), lambda data, pair: data[:-9]),
    Damage("the last separator is missing", ("complete",), lambda data, pair: data[: -len(SEPARATOR)]),
    Damage("a block is torn in the middle", ("framing",), lambda data, pair: _put(data, pair.end(1) - 4, pair.end(1), b"")),
    Damage("a separator stands twice", ("framing",), lambda data, pair: data + SEPARATOR),
    Damage("a separator is one # short", ("framing",), lambda data, pair: data[: -len(SEPARATOR)] + SEPARATOR[1:]),
    Damage("a round is split in two", ("majority", "agreement"), lambda data, pair: _into(data, pair.end(1), SEPARATOR)),
    Damage("a line ends in CR LF", ("framing",), lambda data, pair: _put(data, pair.end(1) - 1, pair.end(1), b"\r\n")),
    Damage("bytes of something else", ("framing",), lambda data, pair: _into(data, pair.start(), b"\x00\xff\x1b[2J\n")),
)


@dataclass(frozen=True, slots=True)
class HistoryDamage:
    """One way to damage the history of the block's client; `make` gets its lines and the place of the block's `invoke`."""

    name: str
    breaks: tuple[str, ...]
    make: Callable[[list[bytes], int], list[bytes] | None]


def _unsent(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def _sent_otherwise(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at].replace(b'"text":"', b'"text":"7'), *lines[at + 1 :]]


def _acknowledged_early(lines: list[bytes], at: int) -> list[bytes] | None:
    event = json.loads(lines[at])
    for place, line in enumerate(lines):
        if b'"event":"ok"' in line and b'"seq":%d,' % event["seq"] in line:
            return [*lines[:place], re.sub(rb'"mono":\d+', b'"mono":1', line), *lines[place + 1 :]]
    return None


def _acknowledged_more(lines: list[bytes], at: int) -> list[bytes]:
    seqs = [json.loads(line)["seq"] for line in lines if b'"event":"invoke"' in line]
    invoke = json.loads(lines[at]) | {"seq": max(seqs) + 1}
    ok = {"event": "ok", "session": invoke["session"], "seq": invoke["seq"], "mono": invoke["mono"] + 1}
    return [*lines[:-1], *(json.dumps(event).encode() + b"\n" for event in (invoke, ok)), lines[-1]]


HISTORY_DAMAGES = (
    HistoryDamage("a history has a message and its ack too many", ("no-loss",), _acknowledged_more),
    HistoryDamage("a history lacks a message", ("no-invention",), _unsent),
    HistoryDamage("a history has another text", ("no-invention",), _sent_otherwise),
    HistoryDamage("a history has an ack too early", ("real-time",), _acknowledged_early),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One damage, what caught it, and what could have. `possible` is empty where the evidence is missing."""

    damage: str
    possible: tuple[str, ...]
    caught: tuple[str, ...]
    line: int = 0

    @property
    def is_missed(self) -> bool:
        """Whether it should have been caught and was not."""
        return bool(self.possible) and not set(self.caught) & set(self.possible)

    def cells(self) -> tuple[str, ...]:
        """The row of this trial."""
        if self.caught:
            return self.damage, "caught", ", ".join(self.caught), str(self.line or "-")
        return self.damage, "MISSED" if self.possible else "needs more evidence", "-", "-"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """All trials."""

    file: str
    trials: tuple[Trial, ...]
    table: None = None

    @property
    def exit_code(self) -> int:
        """1 where a damage was missed, 3 where there was none to try."""
        if not self.trials:
            return 3
        return 1 if any(trial.is_missed for trial in self.trials) else 0

    @property
    def page(self) -> tuple[Part, ...]:
        """The table and a sentence."""
        if not self.trials:
            return (f"{self.file} has no round with two native blocks: there is nothing to damage.",)
        caught = sum(bool(trial.caught) for trial in self.trials)
        rows = Table(("damage", "verdict", "rules", "line"), tuple(trial.cells() for trial in self.trials), frozenset({"line"}))
        return (rows, "", f"{caught} of {plural(len(self.trials), 'damage')} caught.")

    def to_text(self) -> str:
        """The same as text."""
        return "\n".join(part if isinstance(part, str) else part.to_text() for part in self.page)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a damage."""
        for trial in self.trials:
            yield {
                "damage": trial.damage,
                "caught": list(trial.caught),
                "possible": list(trial.possible),
                "missed": trial.is_missed,
                "line": trial.line,
            }


def self_test(path: Path, evidence: Evidence) -> SelfTest | Report:
    """Try every damage on copies of the file; its own report instead where it is not good to begin with.

    Of a file larger than `MOST` its beginning is used, without evidence, which speaks of the whole. Raises: OSError.
    """
    with path.open("rb") as stream:
        data = stream.read(MOST + 1)
    if len(data) > MOST:
        data, evidence = data[: data.rfind(SEPARATOR, 0, MOST) + len(SEPARATOR)], Evidence()
    evidence = replace(evidence, moment=("", 0))
    with tempfile.TemporaryDirectory(prefix="votesync-verify-") as directory:
        copy = Path(directory) / path.name
        copy.write_bytes(data)
        good = check(copy, evidence)
        if good.exit_code:
            return check(path, evidence)
        able = frozenset(verdict.rule for verdict in good.verdicts if verdict.status is Status.PASS)
        pairs = [pair for pair in _PAIR.finditer(data) if pair[4] < pair[8] and pair[3] != pair[7]]
        pair = pairs[len(pairs) // 2] if pairs else None
        trials = [trial for damage in DAMAGES if pair for trial in _try(damage, data, pair, copy, evidence, able)]
        if evidence.histories is not None and pair is not None:
            copy.write_bytes(data)
            trials += _try_histories(evidence, pair, copy, able)
    return SelfTest(str(path), tuple(trials))


def _try(
    damage: Damage, data: bytes, pair: re.Match[bytes], copy: Path, evidence: Evidence, able: frozenset[str]
) -> Iterator[Trial]:
    damaged = damage.make(data, pair)
    if damaged is None:
        return
    copy.write_bytes(damaged)
    yield _trial(damage.name, damage.breaks, check(copy, evidence), able)


def _try_histories(evidence: Evidence, pair: re.Match[bytes], copy: Path, able: frozenset[str]) -> Iterator[Trial]:
    """Damage the history of the session that the pair's second block is of."""
    assert evidence.histories is not None
    head, time = b'{"event":"invoke","session":"%b",' % pair[7], b'"time":%b,' % pair[8]
    for name in evidence.histories.files:
        lines = Path(name).read_bytes().splitlines(keepends=True)
        at = next((place for place, line in enumerate(lines) if line.startswith(head) and time in line), None)
        if at is None:
            continue
        others = [Path(other) for other in evidence.histories.files if other != name]
        for damage in HISTORY_DAMAGES:
            damaged = damage.make(lines, at)
            if damaged is not None:
                path = copy.with_suffix(".jsonl")
                path.write_bytes(b"".join(damaged))
                report = check(copy, replace(evidence, histories=read_histories([path, *others])))
                yield _trial(damage.name, damage.breaks, report, able)
        return


def _trial(name: str, breaks: tuple[str, ...], report: Report, able: frozenset[str]) -> Trial:
    shown = next((verdict.counterexample for verdict in report.failed if verdict.rule in breaks), None)
    line = next((place.line for place in shown.places if not place.source), 0) if shown is not None else 0
    possible = tuple(rule for rule in breaks if rule in able)
    return Trial(name, possible, tuple(verdict.rule for verdict in report.failed), line)
