"""The story of each round as the logs tell it: every proposal, vote, grant, turn and report, with its time. Pure.

Three things are not in the logs as such and are worked out here:

- *when a round was proposed*: its leader logs `ballot` after it has made the round durable. `decided` says how long
  before it the ballot began (`quorum_us`), so the earlier of the two is taken.
- *when a vote reached the leader*: the ballot's beginning plus the microseconds in `decided` or `written` (`late`).
- *when each turn was written*: a writer logs one `turn` after its last turn of a round, with all of them. The turns before
  it in that line are spread evenly between what is known around them and marked as not `sure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from votesync_cli.recorded import Said
from votesync_cli.votes_evidence import whole

LATE = 20_000  # microseconds by which a node's line may come after what it reports
ABOUT_ROUNDS = frozenset({"ballot", "vote", "decided", "grant", "turn", "timeout", "written"})


class Cast(NamedTuple):
    """One vote: `left` when its node logged it, `came` when the leader counted it (None: it did not, or did not log it)."""

    node: int
    left: int | None
    came: int | None
    ok: bool
    reason: str
    persist_us: int | None
    said: Said | None


class Held(NamedTuple):
    """One node's hold of the permission: turns `turn` to `upto` of a round, from `start` to `end` on the axis.

    `giver` handed it over: the leader, or the writer before. `sure`: `end` is in a log. It ends when the turn is written or
    when its grant is superseded, whatever the writer does later (`superseded`: it wrote all the same).
    """

    turn: int
    upto: int
    writer: int
    giver: int
    start: int
    end: int
    attempt: int
    sure: bool
    said: Said | None

    @property
    def superseded(self) -> bool:
        """Whether it wrote after the permission had been granted anew, or the round reported: the same bytes, no harm."""
        return self.said is not None and self.said.t > self.end + LATE


@dataclass(slots=True)
class Proposal:
    """One version of a round: what its leader logged of it, and who voted for it."""

    digest: str
    term: int
    leader: int | None = None
    ballot: Said | None = None
    decided: Said | None = None
    votes: list[Said] = field(default_factory=list)

    @property
    def start(self) -> int | None:
        """When the leader proposed it."""
        known = [self.ballot.t] if self.ballot else []
        if self.decided is not None and (us := whole(self.decided.event.get("quorum_us"))) is not None:
            known.append(self.decided.t - us)
        return min(known, default=None)

    @property
    def majority(self) -> frozenset[int]:
        """The nodes whose votes decided it, its leader among them; all other votes came too late to count."""
        return frozenset(node for node, _ in _micros(self.decided.event.get("votes"))) if self.decided else frozenset()

    def field(self, name: str) -> int | None:
        """A whole number of the ballot."""
        return whole(self.ballot.event.get(name)) if self.ballot else None


@dataclass(slots=True)
class Story:
    """All that was said of one round."""

    round: int
    proposals: dict[str, Proposal] = field(default_factory=dict)
    refusals: list[Said] = field(default_factory=list)
    grants: list[Said] = field(default_factory=list)
    turns: list[Said] = field(default_factory=list)
    timeouts: list[Said] = field(default_factory=list)
    written: list[Said] = field(default_factory=list)

    @property
    def chosen(self) -> Proposal | None:
        """The version that was decided, as far as the logs tell; else the one of the highest term."""
        decided = [proposal for proposal in self.proposals.values() if proposal.decided is not None]
        if decided:
            return max(decided, key=lambda p: (len(p.votes), p.term))
        return max(self.proposals.values(), key=lambda p: p.term, default=None)

    @property
    def replaced(self) -> list[Proposal]:
        """The versions that were proposed and not decided."""
        return sorted((p for p in self.proposals.values() if p is not self.chosen), key=lambda p: p.term)

    def cast(self, proposal: Proposal) -> list[Cast]:
        """The votes on a version, the leader's own among them, in the order in which they were counted."""
        own = {said.node: said for said in reversed(proposal.votes)}
        came = self._came(proposal)
        casts = []
        for node in sorted({*own, *came}):
            said = own.get(node)
            left = said.t if said else None
            at = came.get(node)
            persist = whole(said.event.get("persist_us")) if said else None
            casts.append(Cast(node, min(left, at) if left is not None and at else left, at, True, "yes", persist, said))
        nos = [s for s in self.refusals if s.term == proposal.term]
        casts += [Cast(s.node, s.t, None, False, str(s.event.get("reason") or "no"), None, s) for s in nos]
        return sorted(casts, key=lambda cast: (cast.came or cast.left or 0, cast.node))

    def _came(self, proposal: Proposal) -> dict[int, int]:
        start = proposal.start
        if start is None or proposal.decided is None:
            return {}
        counted = dict(_micros(proposal.decided.event.get("votes")))
        for said in self.written:
            if said.term == proposal.decided.term:
                counted |= dict(_micros(said.event.get("late")))
        return {node: start + us for node, us in counted.items()}

    def holds(self) -> list[Held]:
        """Who held the permission when, in the order of the turns, attempt by attempt."""
        return [held for grant in self.grants for held in self._chain(grant)]

    def _chain(self, grant: Said) -> list[Held]:
        rows = grant.event.get("turns")
        owners = [row[0] for row in rows if isinstance(row, list) and len(row) == 4] if isinstance(rows, list) else []
        absent = grant.event.get("absent") or ()
        first = whole(grant.event.get("turn")) or 0
        attempt = whole(grant.event.get("attempt")) or 0
        runs: list[tuple[int, int, int]] = []  # turn, upto, writer
        for number, owner in enumerate(owners, first):
            writer = grant.node if owner in absent else owner
            if runs and runs[-1][2] == writer:
                runs[-1] = (runs[-1][0], number, writer)
            else:
                runs.append((number, number, writer))
        done = self._done(grant, attempt)
        over, anew = self._end_of(grant, attempt)
        return list(_filled(grant, attempt, runs, done, over, anew=anew))

    def _done(self, grant: Said, attempt: int) -> dict[tuple[int, int], Said]:
        """(turn, writer) -> the line that says it is written, for the last turn that each line names."""
        done: dict[tuple[int, int], Said] = {}
        for said in self.turns:
            rows = said.event.get("turns")
            named = [row[0] for row in rows if isinstance(row, list) and row] if isinstance(rows, list) else []
            if said.term == grant.term and (whole(said.event.get("attempt")) or 0) == attempt and named:
                done[(max(named), said.node)] = said
        return done

    def _end_of(self, grant: Said, attempt: int) -> tuple[int | None, bool]:
        """When the grant was over, and whether because the permission was granted anew; else the round was written."""
        ends = [(s.t, False) for s in self.written if s.term == grant.term]
        later = (s for s in self.grants if s.t > grant.t)
        ends += [(s.t, True) for s in later if (s.term, s.event.get("attempt")) != (grant.term, attempt)]
        return min((end for end in ends if end[0] >= grant.t), default=(None, False))


def _filled(
    grant: Said, attempt: int, runs: list[tuple[int, int, int]], done: Mapping[tuple[int, int], Said], over: int | None,
    *, anew: bool,
) -> Iterator[Held]:  # fmt: skip
    """The runs with their times; those that no log ends are spread between their neighbours.

    Where the permission was granted anew, the first run that was not written held it until then, and none came after it.
    """
    known = [done.get((upto, writer), done.get((turn, writer))) for turn, upto, writer in runs]
    at, giver = grant.t, grant.node
    for number, (turn, upto, writer) in enumerate(runs):
        said = known[number]
        later = next(((n, s.t) for n, s in enumerate(known[number:], number) if s is not None), None)
        stalled = anew and over is not None and (later is None or later[1] > over + LATE)
        if said is not None and not stalled:
            end = said.t if over is None else min(said.t, over)
        elif stalled or (later is None and over is not None):
            share = 1 if stalled else len(runs) - number
            end = at + ((over or at) - at) // share
        elif later is not None:
            end = at + (later[1] - at) // (later[0] - number + 1)
        else:
            return  # nothing says that it was ever written
        yield Held(turn, upto, writer, giver, at, max(at, end), attempt, said is not None, said)
        if stalled:
            return
        at, giver = max(at, end), writer


def stories(said: Iterable[Said]) -> dict[int, Story]:
    """The story of every round that anybody spoke of."""
    out: dict[int, Story] = {}
    batches: list[Said] = []
    for item in said:
        if item.round is None or item.kind not in ABOUT_ROUNDS:
            continue
        story = out.setdefault(item.round, Story(item.round))
        if item.kind in ("ballot", "decided"):
            proposal = _proposal(story, item)
            if item.kind == "ballot":
                proposal.ballot = proposal.ballot or item
                proposal.leader, proposal.term = item.node, item.term
            else:
                proposal.decided = proposal.decided or item
        elif item.kind == "vote":
            _note_vote(story, item)
            first = whole(item.event.get("first"))
            if first is not None and first < item.round and item.event.get("ok"):
                batches.append(item)
        else:
            {"grant": story.grants, "turn": story.turns, "timeout": story.timeouts, "written": story.written}[item.kind].append(
                item
            )
    _spread(batches, out)
    return out


def _proposal(story: Story, said: Said) -> Proposal:
    digest = str(said.event.get("digest") or "")
    return story.proposals.setdefault(digest, Proposal(digest, said.term, said.node if said.kind != "vote" else None))


def _note_vote(story: Story, said: Said) -> None:
    if said.event.get("ok") and said.event.get("digest"):
        _proposal(story, said).votes.append(said)
    elif not said.event.get("ok"):
        story.refusals.append(said)


def _spread(batches: list[Said], out: Mapping[int, Story]) -> None:
    """A vote on many rounds at once counts for the decided version of each."""
    for said in batches:
        first, last = whole(said.event.get("first")) or 0, said.round or 0
        for index in range(first, last) if last - first <= len(out) else [i for i in out if first <= i < last]:
            story = out.get(index)
            chosen = story.chosen if story is not None else None
            if chosen is not None and all(vote.node != said.node for vote in chosen.votes):
                chosen.votes.append(said)


def _micros(value: object) -> Iterator[tuple[int, int]]:
    for node, us in value.items() if isinstance(value, Mapping) else ():
        if str(node).isdecimal() and isinstance(us, int):
            yield int(node), us
