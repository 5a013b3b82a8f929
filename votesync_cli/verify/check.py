"""Puts the judges to work: one pass over the file, a second short look where a counterexample needs it, the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from votesync_cli.verify.findings import Earlier, Judge, Judged, block_place
from votesync_cli.verify.history import Histories
from votesync_cli.verify.reader import End, Fault, Progress, Run, read
from votesync_cli.verify.rules_file import Complete, Framing, Order, SessionOrder
from votesync_cli.verify.rules_history import HistoryJudge
from votesync_cli.verify.rules_journal import JournalJudge
from votesync_cli.verify.rules_votes import VotesJudge
from votesync_cli.verify.verdict import Counterexample, Place, Report, Status, Verdict
from votesync_cli.verify.votebook import VoteBook

RULES = (
    "framing", "order", "session-order", "complete",
    "no-loss", "no-duplicate", "no-invention", "real-time",
    "one-writer", "majority", "agreement",
)  # fmt: skip
_NEEDS = {
    "no-loss": "the clients' histories (--history DIR)",
    "one-writer": "the nodes' vote logs (--votes FILE)",
    "agreement": "the nodes' journals (--journals DIR)",
}
_NEEDS |= dict.fromkeys(("no-duplicate", "no-invention", "real-time"), _NEEDS["no-loss"])
_NEEDS["majority"] = _NEEDS["one-writer"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is beside the file; `notes` tells people what could not be had.

    `journals` are the nodes' data directories. `moment` is (boot, monotonic microseconds) when the size of the file was
    taken: what was acknowledged later need not stand in it. Without one, everything must.
    """

    histories: Histories | None = None
    moment: tuple[str, int] = ("", 0)
    votes: VoteBook | None = None
    journals: Sequence[Path] = ()
    notes: tuple[str, ...] = ()


def check(path: Path, evidence: Evidence, size: int | None = None, progress: Progress | None = None) -> Report:
    """Check one file, or its first `size` bytes.

    While a cluster writes: take the moment and the size first, then gather the evidence, then check that much.
    Raises: OSError where the file cannot be read.
    """
    started = time.monotonic()
    framing, sessions, complete = Framing(), SessionOrder(), Complete()
    judges: list[Judge] = [framing, Order(), sessions, complete]
    if evidence.histories is not None:
        judges.append(HistoryJudge(evidence.histories, evidence.moment))
    votes = VotesJudge(evidence.votes) if evidence.votes is not None else None
    if votes is not None:
        judges.append(votes)
    if evidence.journals:
        judges.append(JournalJudge(path, evidence.journals))
    end = _pass(path, judges, size, progress)
    complete.is_growing = path.stat().st_size > end.size
    results = {judged.rule: judged for judge in judges for judged in judge.finish(end)}
    return Report(
        file=str(path),
        size=end.size,
        blocks=framing.blocks,
        rounds=framing.rounds,
        sessions=sessions.sessions,
        seconds=time.monotonic() - started,
        verdicts=tuple(_verdict(path, rule, results.get(rule), votes) for rule in RULES),
        notes=evidence.notes,
    )


def _pass(path: Path, judges: Sequence[Judge], size: int | None, progress: Progress | None) -> End:
    feeds: list[Callable[[Run], None]] = [judge.feed for judge in judges]
    end = End(0, 0, 0)
    with path.open("rb", buffering=0) as stream:
        for piece in read(stream, size, progress):
            if isinstance(piece, Run):
                for feed in feeds:
                    feed(piece)
            elif isinstance(piece, Fault):
                for judge in judges:
                    judge.fault(piece)
            else:
                end = piece
    return end


def _verdict(path: Path, rule: str, judged: Judged | None, votes: VotesJudge | None) -> Verdict:
    if judged is None:
        return Verdict(rule, Status.NOT_CHECKED, "", _NEEDS[rule])
    first = judged.findings.first
    shown = None
    if first is not None:
        places = first.places
        if first.earlier is not None:
            found = _look_again(path, first.earlier)
            places = (found, *places) if found is not None else places
        lines = [place.line for place in places if not place.source]
        behind = [vote for line in lines for vote in votes.votes_for(line)] if votes is not None else []
        unique = tuple(vote for number, vote in enumerate(behind) if vote not in behind[:number])
        shown = Counterexample(first.what, places, unique)
    needs = judged.needs if judged.status is Status.NOT_CHECKED else ""
    return Verdict(rule, judged.status, judged.detail, needs, judged.findings.count, shown)


def _look_again(path: Path, wanted: Earlier) -> Place | None:
    """The last block above `wanted.line` that fits."""
    found: tuple[int, bytes, bytes] | None = None
    with path.open("rb", buffering=0) as stream:
        for run in read(stream):
            if not isinstance(run, Run):
                continue
            if len(run) and run.line_of(0) >= wanted.line:
                break
            places = [place for place, session in enumerate(run.sessions) if session == wanted.session]
            for place in places:
                if run.line_of(place) < wanted.line and wanted.fits(run.times[place], run.texts[place]):
                    found = (run.line_of(place), run.nodes[place], run.body_of(place))
    return block_place(*found) if found is not None else None
