"""Why a block stands where it stands: its life from the client that sent it to the acknowledgement, step by step. Pure.

Every step is a line of a log or of a history, or follows from two of them; what no evidence tells is left out and named in
`missing`. Times are on the axis of `recorded`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from votesync_cli.blocks import Block, Neighbourhood
from votesync_cli.explain_waits import Wait, told_happening, waits
from votesync_cli.recorded import Recorded, Said, Sent
from votesync_cli.results import Table
from votesync_cli.stories import Cast, Held, Proposal, Story

STEPS = ("replaced", "sent", "proposed", "vote", "decided", "stalled", "granted", "wrote", "written", "acked", "happening")


class Step(NamedTuple):
    """One thing that happened, at `t`. `sure` is False where the time was worked out and not logged."""

    t: int
    kind: str
    node: int | None
    text: str
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer. `message` is None where a round as a whole was asked for, `place` None where there is no file."""

    question: str
    round: int | None
    place: Neighbourhood | None
    message: Sent | None
    story: Story | None
    steps: tuple[Step, ...]
    waits: tuple[Wait, ...]
    why: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """3 where the evidence tells nothing but the place in the file."""
        return 0 if self.steps else 3

    @property
    def longest(self) -> Wait | None:
        """What it waited for longest."""
        return max(self.waits, key=lambda wait: wait.us, default=None)

    @property
    def zero(self) -> int:
        """The first moment that is told."""
        return min((step.t for step in self.steps), default=0)

    @property
    def table(self) -> Table | None:
        """None: its view draws it."""
        return None

    @property
    def view(self) -> str:
        """What draws it."""
        return "explain"

    def to_text(self) -> str:
        """The answer in a few sentences."""
        return "\n".join([*self.why, *self.missing])

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object."""
        zero, place = self.zero, self.place
        chosen = self.story.chosen if self.story else None
        block = place.block if place else None
        yield {
            "question": self.question, "round": self.round,
            "block": _block_json(block), "message": _message_json(self.message, zero),
            "file": None if place is None else {
                "first_line": place.first, "last_line": place.last, "start": place.start, "end": place.end,
                "blocks": len(place.blocks), "position": place.blocks.index(block) + 1 if block else None,
            },
            "ballots": [
                _ballot_json(self.story, proposal, zero, decided=proposal is chosen)
                for proposal in ([*self.story.replaced, chosen] if self.story else []) if proposal is not None and self.story
            ],
            "turns": [_held_json(held, zero) for held in (self.story.holds() if self.story else [])],
            "steps": [
                {"us": step.t - zero, "step": step.kind, "node": step.node, "text": step.text, "sure": step.sure}
                for step in self.steps
            ],
            "waits": [wait.to_json() for wait in self.waits],
            "longest": self.longest.to_json() if self.longest else None,
            "why": list(self.why), "missing": list(self.missing),
        }  # fmt: skip


def explain(
    question: str, found: Recorded, story: Story | None, place: Neighbourhood | None, message: Sent | None
) -> Explanation:
    """Put the answer together from what was found."""
    chosen = story.chosen if story else None
    hold = _hold_of(story, place.block if place else None)
    steps = sorted([*_client_steps(message), *(_round_steps(story, hold) if story else [])], key=lambda step: step.t)
    happenings = list(_between(found, steps, story))
    every = tuple(sorted([*steps, *happenings], key=lambda step: (step.t, STEPS.index(step.kind))))
    spent = tuple(waits(message, story, hold, [said for said in found.said if said.kind in ("leader", "timeout")]))
    index = story.round if story else message.round if message else None
    why = tuple(_why(index, place, message, story, chosen, hold, spent))
    return Explanation(question, index, place, message, story, every, spent, why, tuple(_missing(found, story, message, place)))


def _hold_of(story: Story | None, block: Block | None) -> Held | None:
    """The hold of the permission under which the block was written; the round's last one where none is meant."""
    holds = [held for held in story.holds() if held.sure or held.said is None] if story else []
    if not holds or story is None:
        return None
    last = max(held.attempt for held in holds)
    if block is None:
        return holds[-1]
    for grant in reversed(story.grants):
        rows = grant.event.get("turns")
        for number, row in enumerate(rows if isinstance(rows, list) else (), grant.event.get("turn") or 0):
            if isinstance(row, list) and len(row) == 4 and row[2] <= block.offset < row[3]:
                fitting = [held for held in holds if held.turn <= number <= held.upto]
                return max(fitting, key=lambda held: (held.sure, held.attempt == last, held.end), default=None)
    return None


# --- steps ---


def _client_steps(message: Sent | None) -> Iterator[Step]:
    if message is None:
        return
    for number, (t, node) in enumerate(message.tries):
        word = "sent it to" if number == 0 else "sent it again, to"
        yield Step(t, "sent", node, f"client {message.session} {word} node {node}")
    if message.answered is not None:
        told = {"ok": "was told that it is written", "fail": f"was told that it is refused ({message.code})"}
        text = f"client {message.session} {told.get(message.outcome, 'ended without an answer')}"
        yield Step(message.answered, "acked", message.tries[-1][1], text)


def _round_steps(story: Story, hold: Held | None) -> Iterator[Step]:
    for proposal in story.replaced:
        if proposal.start is not None:
            text = f"node {proposal.leader} proposed another version in term {proposal.term}; it was not decided"
            yield Step(proposal.start, "replaced", proposal.leader, text)
    chosen = story.chosen
    if chosen is not None:
        yield from _ballot_steps(story, chosen)
    for said in story.grants:
        yield Step(said.t, "granted", said.node, _granted(said))
    for said in story.timeouts:
        waited = (said.event.get("waited_us") or 0) // 1000
        text = f"turn {said.event.get('turn')} stalled: nothing from node {said.event.get('writer')} for {waited} ms"
        yield Step(said.t, "stalled", said.node, text)
    for held in story.holds():
        if held.said is not None or held == hold:
            turns = f"turn {held.turn}" if held.turn == held.upto else f"turns {held.turn} to {held.upto}"
            if held.superseded and held.said is not None:
                text = f"node {held.writer} wrote {turns} with a stale permission: the same bytes at the same place, no harm"
                yield Step(held.said.t, "wrote", held.writer, text)
            else:
                yield Step(held.end, "wrote", held.writer, f"node {held.writer} wrote {turns}", held.sure)
    for said in story.written[:1]:
        yield Step(said.t, "written", said.node, f"node {said.node} knew that all of round {story.round} is in the file")


def _ballot_steps(story: Story, proposal: Proposal) -> Iterator[Step]:
    if proposal.start is not None:
        many = proposal.field("count")
        of = f" with {many} message{'s' if many != 1 else ''}" if many is not None else ""
        yield Step(proposal.start, "proposed", proposal.leader, f"node {proposal.leader} proposed round {story.round}{of}")
    for cast in story.cast(proposal):
        t = cast.came if cast.came is not None else cast.left
        if t is not None:
            yield Step(t, "vote", cast.node, _voted(cast, proposal))
    if proposal.decided is not None:
        counted = proposal.decided.event.get("votes") or {}
        text = f"node {proposal.decided.node} had the votes of {len(counted)} nodes: round {story.round} was decided"
        yield Step(proposal.decided.t, "decided", proposal.decided.node, text)


def _voted(cast: Cast, proposal: Proposal) -> str:
    word = "yes" if cast.ok else f"no: {cast.reason}"
    late = proposal.decided is not None and cast.came is not None and cast.node not in proposal.majority
    disk = f" (its journal took {cast.persist_us} µs)" if cast.persist_us is not None else ""
    own = ", its leader" if cast.node == proposal.leader else ""
    uncounted = ", which was not counted" if cast.ok and cast.came is None and proposal.decided is not None else ""
    return f"node {cast.node}{own} voted {word}{disk}{', after the decision' if late else ''}{uncounted}"


def _granted(said: Said) -> str:
    rows = said.event.get("turns") or []
    turn, attempt = said.event.get("turn") or 0, said.event.get("attempt") or 0
    order = " then ".join(str(row[0]) for row in rows[:8] if isinstance(row, list) and row)
    rest = " …" if len(rows) > 8 else ""
    again = f" anew ({said.event.get('reason') or 'nobody wrote'})" if attempt or said.event.get("reason") else ""
    absent = said.event.get("absent") or []
    stand = f"; it writes the turns of {', '.join(map(str, absent))} itself" if absent else ""
    return f"node {said.node} granted turn {turn}{again} and those after it, to {order}{rest}{stand}"


def _between(found: Recorded, steps: Sequence[Step], story: Story | None) -> Iterator[Step]:
    """What happened meanwhile that holds a round up: elections, losses, faults."""
    if not steps:
        return
    start, end = steps[0].t, max(step.t for step in steps if step.kind != "vote")
    for said in found.said:
        if start <= said.t <= end and (text := told_happening(said)) is not None and (said.round is None or story is None):
            yield Step(said.t, "happening", said.node, text)


# --- sentences ---


def _why(
    index: int | None, place: Neighbourhood | None, message: Sent | None, story: Story | None, chosen: Proposal | None,
    hold: Held | None, spent: Sequence[Wait],
) -> Iterator[str]:  # fmt: skip
    if place is not None:
        yield from _why_there(index, place)
    elif message is not None and message.outcome != "ok":
        yield f"Message {message.name} is not in the file: its client {_FATES.get(message.outcome, 'has no answer yet')}."
    if chosen is not None and chosen.decided is not None:
        voters = sorted(int(node) for node in chosen.decided.event.get("votes") or {})
        who = " and ".join([", ".join(map(str, voters[:-1])), str(voters[-1])]) if len(voters) > 1 else "its only node"
        us = chosen.decided.event.get("quorum_us")
        yield (
            f"Round {index} was proposed by node {chosen.leader} in term {chosen.term} and decided by the votes of {who}, "
            f"{us / 1000:.2f} ms later." if isinstance(us, int) else f"Round {index} was decided by the votes of {who}."
        )  # fmt: skip
    if story is not None and story.replaced:
        terms = ", ".join(str(proposal.term) for proposal in story.replaced)
        yield f"Another version of it, proposed in term {terms}, was never decided and was replaced."
    if hold is not None:
        gave = "granted it to itself" if hold.giver == hold.writer else f"had the permission from node {hold.giver}"
        block = place.block if place is not None else None
        instead = f" in the place of node {block.node}" if block is not None and block.node != hold.writer else ""
        yield f"Node {hold.writer} wrote it{instead} and {gave} (turn {hold.turn}, attempt {hold.attempt})."
    longest = max(spent, key=lambda wait: wait.us, default=None)
    if longest is not None:
        whole = sum(wait.us for wait in spent)
        share = f", of {whole / 1000:.2f} ms in all" if len(spent) > 1 else ""
        yield f"It waited longest {longest.text}: {longest.us / 1000:.2f} ms{share}."


_FATES = {"fail": "was told that it is refused", "unknown": "ended without an answer"}


def _why_there(index: int | None, place: Neighbourhood) -> Iterator[str]:
    named = f"round {index}" if index is not None else f"the file's round {place.ordinal}"
    lines = f"lines {place.first} to {place.last}" if place.last else f"from line {place.first} on, not closed"
    block = place.block
    if block is None:
        yield f"{named[0].upper()}{named[1:]} has {len(place.blocks)} blocks ({lines}, from byte {place.start:,})."
        return
    at = place.blocks.index(block)
    yield f"Line {block.line} is block {at + 1} of {len(place.blocks)} of {named} ({lines}), for rounds follow the votes."
    before, after = place.blocks[at - 1] if at else None, place.blocks[at + 1] if at + 1 < len(place.blocks) else None
    parts = [f"after {_named(before, block)}"] if before else []
    parts += [f"before {_named(after, block)}"] if after else []
    if parts:
        yield f"Inside its round blocks are sorted by time, then node: it has {block.time} and stands {' and '.join(parts)}."


def _named(other: Block, block: Block) -> str:
    when = "the same time" if other.time == block.time else other.time
    return f"{when} of client {other.session} at node {other.node}"


def _missing(found: Recorded, story: Story | None, message: Sent | None, place: Neighbourhood | None) -> Iterator[str]:
    if not found.said:
        yield "There are no vote logs, so nothing is known of ballots and turns: name them with --votes or --run."
    elif story is None:
        yield "The vote logs say nothing of this round."
    elif story.chosen is None or story.chosen.ballot is None:
        yield "No log has this round's ballot: its leader was killed before it logged it, or the logs begin later."
    if message is None and place is not None and place.block is not None:
        client = place.block.session
        yield f"No history has a message of client {client} with this time and text: when it was sent is not known."
    if found.by_wall:
        yield f"{found.by_wall:,} events are placed by wall clocks, for they were logged on another clock: compare with care."


# --- JSON ---


def _block_json(block: Block | None) -> dict[str, Any] | None:
    if block is None:
        return None
    return {
        "line": block.line, "offset": block.offset, "node": block.node, "session": block.session,
        "number": block.number, "time": block.time, "text": block.text,
    }  # fmt: skip


def _message_json(message: Sent | None, zero: int) -> dict[str, Any] | None:
    if message is None:
        return None
    return {
        "session": message.session, "seq": message.seq, "time": message.time, "text": message.text,
        "sent": [{"us": t - zero, "node": node} for t, node in message.tries], "outcome": message.outcome or None,
        "answered_us": None if message.answered is None else message.answered - zero,
    }  # fmt: skip


def _ballot_json(story: Story, proposal: Proposal, zero: int, *, decided: bool) -> dict[str, Any]:
    def at(t: int | None) -> int | None:
        return None if t is None else t - zero

    return {
        "term": proposal.term, "leader": proposal.leader, "digest": proposal.digest, "us": at(proposal.start),
        "count": proposal.field("count"), "decided": decided and proposal.decided is not None,
        "decided_us": at(proposal.decided.t) if proposal.decided else None,
        "votes": [
            {"node": cast.node, "ok": cast.ok, "reason": cast.reason, "left_us": at(cast.left), "counted_us": at(cast.came),
             "persist_us": cast.persist_us}
            for cast in story.cast(proposal)
        ],
    }  # fmt: skip


def _held_json(held: Held, zero: int) -> dict[str, Any]:
    return {
        "turn": held.turn, "upto": held.upto, "writer": held.writer, "from": held.giver, "attempt": held.attempt,
        "start_us": held.start - zero, "end_us": held.end - zero, "sure": held.sure,
    }  # fmt: skip
