"""The rules that need the vote logs: `majority` and `one-writer` (DESIGN section 7)."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from votesync_cli.verify.findings import Findings, Judged, names
from votesync_cli.verify.reader import End, Fault, Run
from votesync_cli.verify.verdict import Place, plural
from votesync_cli.verify.votebook import Ballot, VoteBook, nodes_of
from votesync_cli.verify.writers import judge_writers


class VotesJudge:
    """`majority`: each round of the file is a round that a majority of the configured nodes voted for.

    A round of the file is known by its place: the ballot at the same offset, of the same size. Votes for it are: the
    leader's own ballot; `vote` lines of others for its digest, or for a later round that took it with it; and the
    votes that the leader counted in `decided` (rules 4, 16, 18). Where lines may be missing (a node was killed, or
    its log begins later) the round is not proven, and is not called wrong either.

    `one-writer`: see `writers.py`.
    """

    def __init__(self, book: VoteBook) -> None:
        self._book = book
        self._lines = array("Q")
        self._starts = array("Q")
        self._line, self._offset = 1, 0
        self._findings = Findings()
        self._proven = 0
        self._unproven: list[int] = []  # lines
        self._without = 0

    def feed(self, run: Run) -> None:
        """Judge each round that ends here."""
        for line, end in run.round_ends():
            self._lines.append(self._line)
            self._starts.append(self._offset)
            self._judge(self._line, line, self._offset, end)
            self._line, self._offset = line + 1, end

    def fault(self, fault: Fault) -> None:
        """`framing` judges it."""

    def _judge(self, first: int, last: int, start: int, end: int) -> None:
        book = self._book
        there = book.at_offset.get(start, [])
        fitting = [ballot for ballot in there if ballot.size == end - start]
        where = f"the round of lines {first} to {last}"
        if not fitting:
            if book.may_have_proposed(start):
                self._unknown(first)
            elif there:
                what = f"{where} has {end - start:,} bytes, the round that was voted on at this place {there[-1].size:,}"
                self._findings.add(what, self._place(first, last))
            else:
                self._findings.add(f"{where} starts at byte {start:,}, where no round was voted on", self._place(first, last))
            return
        ballot = next((each for each in fitting if each.digest in book.decided.get(each.round, ())), fitting[-1])
        if len(book.decided.get(ballot.round, ())) > 1:
            what = f"{where} is round {ballot.round}, which was decided with two contents"
            self._findings.add(what, self._place(first, last))
            return
        yes, maybe = self._votes(ballot)
        if yes.bit_count() >= book.majority:
            self._proven += 1
        elif (yes | maybe).bit_count() >= book.majority:
            self._unknown(first)
        else:
            voters = names([str(node) for node in nodes_of(yes)], 9)
            what = f"{where} is round {ballot.round}: of {book.size} nodes only {voters} voted for it"
            self._findings.add(what, self._place(first, last))

    def _votes(self, ballot: Ballot) -> tuple[int, int]:
        """(nodes that voted for it, nodes that may have done so), as bits."""
        book, index = self._book, ballot.round
        yes, maybe = book.votes.get((index, ballot.digest), 0), 0
        if yes.bit_count() >= book.majority:
            return yes, 0
        others = [other.term for other in book.ballots[index] if other.digest != ballot.digest]
        for vote in book.ranged.get(index, ()):
            if vote.term >= ballot.term and not any(ballot.term < term <= vote.term for term in others):
                yes |= 1 << vote.node
            else:
                maybe |= 1 << vote.node
        for node in range(book.size):
            if book.may_have_voted(node, index, ballot.term):
                maybe |= 1 << node
        return yes, maybe

    def _unknown(self, line: int) -> None:
        self._without += 1
        if len(self._unproven) < 4:
            self._unproven.append(line)

    def _place(self, first: int, last: int) -> Place:
        return Place(first, f"(lines {first} to {last})")

    def votes_for(self, line: int) -> Sequence[Mapping[str, Any]]:
        """What the logs say about the round that holds `line`."""
        place = bisect_right(self._lines, line) - 1
        if place < 0 or not self._book.size:
            return []
        return list(self._rounds_at(self._starts[place]))

    def _rounds_at(self, offset: int) -> Iterator[Mapping[str, Any]]:
        for index in dict.fromkeys(ballot.round for ballot in self._book.at_offset.get(offset, ())):
            yield from self._book.about(index)

    def finish(self, end: End) -> tuple[Judged, ...]:
        """The results."""
        book = self._book
        if not book.size:
            needs = "logs that hold the nodes' `start` events"
            return (Judged("majority", "", Findings(), needs), Judged("one-writer", "", Findings(), needs))
        detail = f"{plural(self._proven, 'round')} voted for by {book.majority} of {book.size} nodes or more"
        needs = ""
        if self._without:
            lines = names([str(line) for line in self._unproven])
            detail += f"; {plural(self._without, 'round')} not proven"
            needs = f"all lines of all nodes' logs (for the rounds at lines {lines})"
        elif not self._proven:
            needs = "a round"
        return (Judged("majority", detail, self._findings, needs), judge_writers(book))


