"""`one-writer`: valid grants never overlap (promise 6).

A grant is (term, round, attempt); a higher one supersedes a lower one. What is wrong, in the order of the logs alone:

1. Two nodes lead one term, or one node's term goes back.
2. A leader grants the same attempt twice, or a lower one after a higher one, or another round while the round that it
   granted before, and had proposed itself, was neither reported written nor found by comparing the file.
3. A turn has two writers under one grant.
4. A turn is written by a node that is neither its owner nor the leader, who writes for absent owners.
5. A turn is written at bytes that are not its own.
6. A turn was never granted, though the leader's log goes on behind the place where the grant would stand.
7. A node writes under a grant after its own log shows that it knew of a newer one.

What is not wrong: a writer that has not heard yet that its grant was superseded repeats decided bytes where they
belong. A node's `turn` line may list stretches that it wrote under an earlier attempt of the same round.
"""

from __future__ import annotations

from votesync_cli.verify.findings import Findings, Judged
from votesync_cli.verify.verdict import Place, plural
from votesync_cli.verify.votebook import Granted, Turns, VoteBook

_LOG = "vote log"


def judge_writers(book: VoteBook) -> Judged:
    """The verdict on `one-writer`."""
    findings = Findings()
    for misdeed in book.misdeeds:
        findings.add(misdeed.what, *(Place(0, str(event), _LOG) for event in misdeed.events))
    writers: dict[tuple[int, int, int, int], int] = {}
    unknown = 0
    for turns in book.turns:
        for stretch in turns.stretches:
            grant = _grant_of(book, turns, stretch[0])
            if grant is None:
                if book.may_have_granted(turns.term, turns.round):
                    unknown += 1
                else:
                    what = f"{_name(turns, stretch[0])} was written by node {turns.node} and never granted"
                    findings.add(what, _place(turns))
                continue
            fault = _fault(turns, stretch, grant)
            if fault:
                findings.add(f"{_name(turns, stretch[0])} {fault}", _place(turns))
            other = writers.setdefault((*turns[1:3], grant.attempt, stretch[0]), turns.node)
            if other != turns.node:
                what = f"{_name(turns, stretch[0])} was written by nodes {other} and {turns.node} under one grant"
                findings.add(what, _place(turns))
    detail = f"{plural(len(book.granted), 'grant')}, {plural(len(writers), 'turn')} written"
    needs = ""
    if unknown:
        detail += f"; {plural(unknown, 'turn')} whose grant is in no log"
        needs = "the leaders' logs from their start"
    elif not book.granted:
        needs = "logs that hold grants"
    return Judged("one-writer", detail, findings, needs)


def _grant_of(book: VoteBook, turns: Turns, number: int) -> Granted | None:
    """The latest attempt, up to the line's own, that granted this turn."""
    for attempt in range(turns.attempt, -1, -1):
        grant = book.granted.get((turns.term, turns.round, attempt))
        if grant is not None and grant.turn <= number:
            return grant
    return None


def _fault(turns: Turns, stretch: tuple[int, int, int], grant: Granted) -> str:
    """What is wrong with a stretch of turns that one node wrote in one go; the grant lists only the first turns."""
    number, start, end = stretch
    at = start
    for owner, first, last in grant.turns[number - grant.turn :]:
        if at >= end:
            break
        if first != at:
            return f"was written at byte {at:,}, it belongs at byte {first:,}"
        if turns.node not in (owner, grant.leader):
            return f"was written by node {turns.node}; it belongs to node {owner}, and node {grant.leader} leads"
        at = last
    listed = number - grant.turn < len(grant.turns)
    if listed and (at > end or (at < end and not grant.more)):
        return f"was written up to byte {end:,}, it ends at byte {at:,}"
    return ""


def _name(turns: Turns, number: int) -> str:
    return f"turn {number} of round {turns.round} (term {turns.term}, attempt {turns.attempt})"


def _place(turns: Turns) -> Place:
    return Place(0, str(turns._asdict()), _LOG)
