"""What the vote logs say about each round, gathered from all nodes until the round can be told.

The logs of the nodes come in any order between them. Everything that is chosen here (which report ends a round, which
proposal was decided, which votes count) is chosen by term, round and place in a node's own log, never by arrival, so
that the same logs give the same rounds. Terms never fall within a node's log (rule 5), and a term has one leader.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from votesync_cli.votes_model import Gathered, RoundState, RoundView, TurnView, VoteView

Position = tuple[int, int]  # (term, round): how far a node's log has come
NOWHERE: Position = (-1, -1)

MOST_VOTES = 16_384  # votes remembered per node; only the rounds not yet told need them
MOST_REPAIRS = 64
LATE = 1.0  # seconds after a round's end within which a vote is late; who takes the round later had been away
REACH = 256  # a node never votes on a round so many behind one that it voted on: more than any window in flight


class Place(NamedTuple):
    """Where an event stands: its term, its node, its number in that node's log, that log's position before it, its time."""

    term: int
    node: int
    seq: int
    before: Position
    ts: float
    arrived: float


class Report(NamedTuple):
    """A leader's word that the file holds everything up to `round` (or up to byte `end`, after a repair)."""

    term: int
    round: int
    place: Place
    late: Mapping[int, int | None]
    took_us: int | None
    end: int | None = None


class _Voted(NamedTuple):
    first: int
    last: int
    digest: str
    ok: bool
    reason: str
    place: Place


class _Decision(NamedTuple):
    place: Place
    votes: Mapping[int, int | None]
    quorum_us: int | None


class _Grant(NamedTuple):
    place: Place
    turn: int
    turns: tuple[TurnView, ...]
    unlisted: int
    absent: frozenset[int]


class _Ballot(NamedTuple):
    place: Place
    many: int | None
    offset: int | None
    size: int | None
    messages: Mapping[int, Gathered]


@dataclass(slots=True)
class _Proposal:
    digest: str
    first: Place  # the earliest that anybody says of it
    ballot: _Ballot | None = None
    decision: _Decision | None = None

    @property
    def term(self) -> int:
        """The lowest term in which anybody spoke of it."""
        return self.first.term


@dataclass(slots=True)
class Evidence:
    """All that is known of the rounds that are not told yet."""

    told: int = -1
    _rounds: dict[int, dict[str, _Proposal]] = field(default_factory=dict)
    _order: list[int] = field(default_factory=list)
    _reports: list[Report] = field(default_factory=list)
    _repairs: deque[Report] = field(default_factory=lambda: deque(maxlen=MOST_REPAIRS))
    _grants: dict[int, list[_Grant]] = field(default_factory=dict)
    _stalls: dict[int, list[Place]] = field(default_factory=dict)
    _votes: dict[int, deque[_Voted]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Rounds that wait to be told."""
        return len(self._rounds)

    def head(self) -> int | None:
        """The lowest round that is not told yet."""
        return self._order[0] if self._order else None

    # --- what a node says ---

    def note(self, event: Mapping[str, Any], place: Place) -> None:
        """Remember what an event says about rounds; one that lacks its fields says nothing."""
        kind, index = event["event"], whole(event.get("round"))
        if kind == "repair":
            end = whole(event.get("end"))
            if end is not None:
                self._repairs.append(Report(place.term, -1, place, {}, None, end))
        if index is None or index <= self.told:
            return
        if kind == "ballot":
            self._note_ballot(index, event, place)
        elif kind == "vote":
            self._note_vote(index, event, place)
        elif kind == "decided":
            proposal = self._proposal(index, _text(event.get("digest")), place)
            if proposal.decision is None or place.term < proposal.decision.place.term:
                proposal.decision = _Decision(place, _durations(event.get("votes")), whole(event.get("quorum_us")))
        elif kind == "grant":
            self._grants.setdefault(index, []).append(_grant(event, place))
        elif kind == "timeout":
            self._stalls.setdefault(index, []).append(place)
        elif kind == "written":
            report = Report(place.term, index, place, _durations(event.get("late")), whole(event.get("took_us")))
            insort(self._reports, report, key=lambda known: known[:2])

    def _note_ballot(self, index: int, event: Mapping[str, Any], place: Place) -> None:
        proposal = self._proposal(index, _text(event.get("digest")), place)
        if proposal.ballot is not None and proposal.ballot.place.term <= place.term:
            return
        count, offset, size = (whole(event.get(key)) for key in ("count", "offset", "size"))
        proposal.ballot = _Ballot(place, count, offset, size, _gathered(event.get("messages")))

    def _note_vote(self, index: int, event: Mapping[str, Any], place: Place) -> None:
        first, digest, ok = whole(event.get("first")), _text(event.get("digest")), bool(event.get("ok"))
        voted = _Voted(index if first is None else first, index, digest, ok, _text(event.get("reason")), place)
        self._votes.setdefault(place.node, deque(maxlen=MOST_VOTES)).append(voted)
        if ok and digest:  # the log of a leader that was killed may lack its last ballots
            self._proposal(index, digest, place)

    def _proposal(self, index: int, digest: str, place: Place) -> _Proposal:
        versions = self._rounds.get(index)
        if versions is None:
            versions = self._rounds[index] = {}
            heapq.heappush(self._order, index)
        proposal = versions.setdefault(digest, _Proposal(digest, place))
        proposal.first = min(proposal.first, place, key=lambda said: (said.term, said.ts, said.node, said.seq))
        return proposal

    # --- how a round ended ---

    def finish(self, index: int) -> Report | None:
        """What ended the round: the report of the lowest term, then round, that covers it; None while there is none."""
        written = next((report for report in self._reports if report.round >= index), None)
        chosen = self._winner(index, written.term if written else None)
        ballot = chosen.ballot
        if ballot is None or ballot.offset is None or ballot.size is None:
            return written
        if ballot.many == 0 and chosen.decision is not None:  # nothing to write
            return Report(chosen.decision.place.term, index, chosen.decision.place, {}, None)
        end = ballot.offset + ballot.size
        repairs = [r for r in self._repairs if r.end is not None and r.end >= end and r.term >= ballot.place.term]
        return min([*repairs, *([written] if written else [])], key=lambda r: (r.term, r.place.seq), default=None)

    def last_word(self, index: int) -> Report:
        """What is known last of a round that nobody reported as written."""
        chosen = self._winner(index, None)
        said = chosen.decision or chosen.ballot
        place = said.place if said else chosen.first
        return Report(place.term, index, place, {}, None)

    def _winner(self, index: int, term: int | None) -> _Proposal:
        """The proposal that was decided: as a leader says, else the one with the most votes, else the newest."""
        versions = list(self._rounds[index].values())
        if len(versions) == 1:
            return versions[0]
        decided = [version for version in versions if version.decision is not None]
        possible = [version for version in versions if term is None or version.term <= term]
        return max(decided or possible or versions, key=lambda v: (self._support(index, v), v.term, v.digest))

    def _support(self, index: int, version: _Proposal) -> int:
        voters = {v.place.node for v in self._votes_near(index) if v.last == index and v.ok and v.digest == version.digest}
        return len(voters | ({version.ballot.place.node} if version.ballot else set()))

    def _votes_near(self, index: int, nodes: Collection[int] | None = None) -> Iterator[_Voted]:
        """The votes on a round, of these nodes or of all."""
        for node in self._votes if nodes is None else nodes:
            for voted in self._votes.get(node, ()):
                if voted.first > index + REACH:
                    break
                if voted.first <= index <= voted.last:
                    yield voted

    # --- telling ---

    def vote_place(self, index: int, node: int) -> int:
        """The number in the node's log of its own ballot or vote on a round; -1 where it has none."""
        own = [voted.place.seq for voted in self._votes_near(index, (node,))]
        ballots = (version.ballot for version in self._rounds[index].values())
        own += [ballot.place.seq for ballot in ballots if ballot is not None and ballot.place.node == node]
        return max(own, default=-1)

    def in_time(self, index: int, report: Report) -> Collection[int]:
        """The nodes whose votes the leader had when the round ended."""
        decision = self._winner(index, report.term).decision
        return {*(decision.votes if decision else ()), *report.late}

    def tell(self, index: int, report: Report, nodes: Collection[int], *, ended: bool) -> Iterator[RoundView]:
        """The round as it ended, after the proposals that it replaced; then forget it. `ended`: it was reported written.

        Each node's vote comes from the leader's log where that counts it, else from the node's own.
        """
        winner = self._winner(index, report.term)
        lost = self._is_lost(index, winner)
        for version in sorted(self._rounds[index].values(), key=lambda version: (version.term, version.digest)):
            if version.term <= report.term and (lost or version is not winner):
                yield self._view(index, version, report, nodes, "replaced")
        if not lost:
            state: RoundState = "written" if ended else "decided" if winner.decision else "open"
            yield self._view(index, winner, report, nodes, state)
        self._forget(index)

    def _is_lost(self, index: int, version: _Proposal) -> bool:
        """Whether a no-op, which no log shows, was decided in its place: then the next round begins where it would have."""
        ballot, after = version.ballot, min(self._order[1:3], default=None)
        if version.decision is not None or ballot is None or ballot.offset is None or ballot.size is None or after is None:
            return False
        follower = self._winner(after, None).ballot
        if follower is None or follower.offset is None or follower.place.term <= ballot.place.term:
            return False
        return follower.offset < ballot.offset + ballot.size

    def _view(self, index: int, version: _Proposal, report: Report, nodes: Collection[int], state: RoundState) -> RoundView:
        ballot, decision, replaced = version.ballot, version.decision, state == "replaced"
        counts = state != "written"  # all that is known counts where no report ends it
        grants = [g for g in self._grants.get(index, ()) if not replaced and (counts or _is_before(g.place, report))]
        stalls = [p for p in self._stalls.get(index, ()) if not replaced and (counts or _is_before(p, report))]
        first = min(grants, key=lambda grant: (grant.turn, grant.place.term, grant.place.seq), default=None)
        start = ballot.offset if ballot else None
        return RoundView(
            round=index,
            digest=version.digest,
            state=state,
            term=ballot.place.term if ballot else None,
            leader=ballot.place.node if ballot else None,
            ts=ballot.place.ts if replaced and ballot else report.place.ts,
            count=ballot.many if ballot else None,
            start=start,
            end=start + ballot.size if ballot and ballot.size is not None and start is not None else None,
            messages=ballot.messages if ballot else {},
            votes={node: self._vote(index, version, report, node, replaced=replaced) for node in sorted(nodes)},
            quorum_us=decision.quorum_us if decision else None,
            written_us=report.took_us if report.round == index else None,
            turns=_with_stand_ins(first, grants) if first else (),
            unlisted=first.unlisted if first else 0,
            attempts=len(grants),
            stalls=len(stalls),
            finisher=report.place.node if state == "written" else None,
            finished_term=report.term if state == "written" else None,
        )

    def _vote(self, index: int, version: _Proposal, report: Report, node: int, *, replaced: bool) -> VoteView:
        decision, ballot = version.decision, version.ballot
        if decision is not None and node in decision.votes:
            return VoteView("yes", decision.votes[node])
        if decision is not None and report.round == index and node in report.late:
            return VoteView("late", report.late[node])
        # Whoever took many rounds at once took the decided ones.
        own = [v for v in self._votes_near(index, (node,)) if _speaks_of(v, index, version, report, sure=replaced)]
        if any(voted.ok for voted in own):
            return VoteView("yes" if decision is None else "late")
        if own:
            return VoteView("no", None, own[-1].reason)
        if decision is None and ballot is not None and ballot.place.node == node:
            return VoteView("yes")
        return VoteView("silent")

    def _forget(self, index: int) -> None:
        del self._rounds[index]
        heapq.heappop(self._order)
        self.told = index
        while self._reports and self._reports[0].round <= index:
            del self._reports[0]
        if len(self._reports) > 2 * len(self._rounds) + REACH:
            self._reports = [report for report in self._reports if report.round > index]
        for known in (self._grants, self._stalls):
            known.pop(index, None)
            if len(known) > 2 * len(self._rounds) + REACH:
                for old in [number for number in known if number < index]:
                    del known[old]
        for votes in self._votes.values():
            while votes and votes[0].last <= index:
                votes.popleft()


def whole(value: object) -> int | None:
    """A whole number, or None where a log line has something else there."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_before(place: Place, report: Report) -> bool:
    return place.term < report.term or (place.node == report.place.node and place.seq < report.place.seq)


def _speaks_of(voted: _Voted, index: int, version: _Proposal, report: Report, *, sure: bool) -> bool:
    """Whether a node's own vote is on this proposal, and came before the node's log had passed the round.

    A vote on many rounds names the last one's digest; with `sure`, only what is named counts for the others.
    """
    if voted.place.before >= (report.term, index) or voted.place.ts > report.place.ts + LATE:
        return False
    if voted.last == index and voted.digest:
        return voted.digest == version.digest
    return not sure and voted.place.term >= version.term


def _with_stand_ins(first: _Grant, grants: list[_Grant]) -> tuple[TurnView, ...]:
    """The turns, each with the leader that was told to write it in its owner's place; a later grant outdoes an earlier."""
    stand_in: dict[int, int] = {}
    for grant in sorted(grants, key=lambda grant: (grant.place.term, grant.place.seq)):
        for number, turn in enumerate(first.turns, first.turn):
            if number >= grant.turn:
                stand_in.pop(number, None)
                if turn.owner in grant.absent and turn.owner != grant.place.node:
                    stand_in[number] = grant.place.node
    return tuple(turn._replace(stand_in=stand_in.get(number)) for number, turn in enumerate(first.turns, first.turn))


def _grant(event: Mapping[str, Any], place: Place) -> _Grant:
    rows = event.get("turns")
    turns = tuple(
        TurnView(row[0], row[1], row[2], row[3])
        for row in (rows if isinstance(rows, list) else ())
        if isinstance(row, list) and len(row) == 4 and all(whole(cell) is not None for cell in row)
    )
    absent = event.get("absent")
    nodes = frozenset(node for node in (absent if isinstance(absent, list) else ()) if whole(node) is not None)
    return _Grant(place, whole(event.get("turn")) or 0, turns, whole(event.get("more")) or 0, nodes)


def _durations(value: object) -> dict[int, int | None]:
    if isinstance(value, Mapping):
        return {int(node): whole(us) for node, us in value.items() if str(node).isdecimal()}
    if isinstance(value, list):
        return {node: None for node in value if whole(node) is not None}
    return {}


def _gathered(value: object) -> dict[int, Gathered]:
    rows = value.items() if isinstance(value, Mapping) else ()
    return {
        int(node): Gathered(row[0], row[1])
        for node, row in rows
        if str(node).isdecimal() and isinstance(row, list) and len(row) == 2 and all(whole(cell) is not None for cell in row)
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
