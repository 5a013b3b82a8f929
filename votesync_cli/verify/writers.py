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

import json

from votesync_cli.verify.findings import Findings, Judged
from votesync_cli.verify.verdict import Place, plural
from votesync_cli.verify.votebook import Granted, Stretch, VoteBook

_LOG = "vote log"


def judge_writers(book: VoteBook) -> Judged:
    """The verdict on `one-writer`."""
    findings = Findings()
    for misdeed in book.misdeeds:
        findings.add(misdeed.what, *(Place(0, json.dumps(event), _LOG) for event in misdeed.events))
    writers: dict[tuple[int, int, int, int], int] = {}
    unknown = 0
    for stretch in book.stretches():
        grant = _grant_of(book, stretch)
        if grant is None:
            if book.may_have_granted(stretch.term, stretch.round):
                unknown += 1
            else:
                _add(findings, f"was written by node {stretch.node} and never granted", stretch)
            continue
        attempt, granted = grant
        fault = _fault(stretch, granted)
        if fault:
            _add(findings, fault, stretch)
        other = writers.setdefault((stretch.term, stretch.round, attempt, stretch.turn), stretch.node)
        if other != stretch.node:
            _add(findings, f"was written by nodes {other} and {stretch.node} under one grant", stretch)
    detail = f"{plural(len(book.granted), 'grant')}, {plural(len(writers), 'turn')} written"
    needs = ""
    if unknown:
        detail += f"; {plural(unknown, 'turn')} whose grant is in no log"
        needs = "the leaders' logs from their start"
    elif not book.granted:
        needs = "logs that hold grants"
    return Judged("one-writer", detail, findings, needs)


def _grant_of(book: VoteBook, stretch: Stretch) -> tuple[int, Granted] | None:
    """The latest attempt, up to the line's own, that granted this turn."""
    for attempt in range(stretch.attempt, -1, -1):
        grant = book.granted.get((stretch.term, stretch.round, attempt))
        if grant is not None and grant.turn <= stretch.turn:
            return attempt, grant
    return None


def _fault(stretch: Stretch, grant: Granted) -> str:
    """What is wrong with turns that one node wrote in one go; the grant lists only the first of its turns."""
    first = (stretch.turn - grant.turn) * 3
    if first >= len(grant.turns):
        return ""
    at = stretch.start
    for place in range(first, len(grant.turns), 3):
        if at >= stretch.end:
            break
        owner, start, end = grant.turns[place : place + 3]
        if start != at:
            return f"was written at byte {at:,}, it belongs at byte {start:,}"
        if stretch.node not in (owner, grant.leader):
            return f"was written by node {stretch.node}; it belongs to node {owner}, and node {grant.leader} leads"
        at = end
    if at > stretch.end or (at < stretch.end and not grant.more):
        return f"was written up to byte {stretch.end:,}, it ends at byte {at:,}"
    return ""


def _add(findings: Findings, fault: str, stretch: Stretch) -> None:
    name = f"turn {stretch.turn} of round {stretch.round} (term {stretch.term}, attempt {stretch.attempt})"
    findings.add(f"{name} {fault}", Place(0, json.dumps({"event": "turn", **stretch._asdict()}), _LOG))
