"""What a message waited for between its stages, and why: the stages follow one another without gaps. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from votesync_cli.recorded import Said, Sent
from votesync_cli.stories import Held, Story


class Wait(NamedTuple):
    """`us` microseconds from one stage to the next; `text` completes "it waited …"."""

    stage: str
    us: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"stage": self.stage, "us": self.us, "text": self.text}


def waits(message: Sent | None, story: Story | None, hold: Held | None, happenings: Sequence[Said]) -> Iterator[Wait]:
    """The time between the stages that are known, each with its reason."""
    chosen = story.chosen if story else None
    decided = chosen.decided.t if chosen and chosen.decided else None
    grants = [said.t for said in story.grants] if story else []
    again = [s.t for s in story.grants if hold and s.event.get("attempt") == hold.attempt and s.t > grants[0]] if story else []
    stages: list[tuple[str, int | None]] = [
        ("sent", message.invoked if message else None),
        ("proposed", chosen.start if chosen else None),
        ("decided", decided),
        ("granted", min(grants, default=None)),
        ("anew", min(again, default=None)),
        ("turn", hold.start if hold and hold.turn else None),
        ("wrote", hold.end if hold else None),
        ("acked", message.answered if message and message.outcome == "ok" else None),
    ]
    if message is None and story is not None and story.written:
        stages.append(("written", story.written[0].t))
    known = [(name, t) for name, t in stages if t is not None]
    for (before, start), (name, end) in itertools.pairwise(known):
        us = max(0, end - start)
        told = "for its acknowledgement" if (before, name) == ("sent", "acked") else None
        yield Wait(name, us, told or _reason(name, start, end, story, hold, happenings))


def _reason(name: str, start: int, end: int, story: Story | None, hold: Held | None, happenings: Sequence[Said]) -> str:
    meanwhile = [said for said in happenings if start < said.t < end]
    elections = [said for said in meanwhile if said.kind == "leader"]
    if name == "proposed":
        return f"to be put into a round{_over(elections)}"
    if name == "decided":
        return f"for the votes of a majority{_slowest(story)}"
    if name == "granted":
        stalled = [s for s in meanwhile if s.kind == "timeout"]
        stall = f", among them a turn of node {stalled[0].event.get('writer')} that stalled" if stalled else ""
        return f"for the rounds before it to be written{_over(elections)}{stall}"
    if name == "anew":
        stalled = [said for said in happenings if said.kind == "timeout" and start < said.t <= end]
        who = f"node {stalled[-1].event.get('writer')}, whose turn stalled" if stalled else "a permission that was superseded"
        return f"for {who}{_over(elections)}"
    if name == "turn":
        before = f"{hold.turn} turns" if hold and hold.turn > 1 else "turn"
        return f"for the {before} before its own to be written"
    if name == "wrote":
        return f"for node {hold.writer} to receive the permission and write" if hold else "to be written"
    return {"acked": "for its client to be told", "written": "for its leader to be told that it is written"}[name]


def _over(elections: Sequence[Said]) -> str:
    return f", over the election of node {elections[-1].node}" if elections else ""


def _slowest(story: Story | None) -> str:
    """The vote that made the majority, and how much of its way was the journal's."""
    chosen = story.chosen if story else None
    if story is None or chosen is None or chosen.decided is None:
        return ""
    counted = [cast for cast in story.cast(chosen) if cast.node in chosen.majority]
    if not counted:
        return ""
    last = counted[-1]
    disk = f", whose journal took {last.persist_us / 1000:.2f} ms" if last.persist_us is not None else ""
    return f" (the last came from node {last.node}{disk})"


def told_happening(said: Said) -> str | None:
    """What holds rounds up, in words; None for what does not."""
    event = said.event
    match said.kind:
        case "leader":
            return f"node {said.node} was elected leader of term {said.term}"
        case "election" if not event.get("pre"):
            return f"node {said.node} stood for election in term {said.term}"
        case "step_down":
            return f"node {said.node} stepped down: {event.get('reason')}"
        case "peer_down":
            return f"node {said.node} lost node {event.get('peer')}"
        case "fault":
            return f"fault {event.get('fault')} at node {said.node}"
        case "heal":
            return f"fault {event.get('fault')} healed at node {said.node}"
        case "start":
            return f"node {said.node} started"
        case "stop":
            return f"node {said.node} stopped"
        case "no_quorum":
            return f"node {said.node} had no majority and sent {event.get('waiting')} messages back"
        case _:
            return None
