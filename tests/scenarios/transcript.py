"""What was said in a group, as lines that anyone can read: `0>1 grant r2 t0`."""

from __future__ import annotations

from collections.abc import Callable

from node_runtime.messages import Ballot, Forward, Grant, No, PeerMessage, TurnRefused, Vote, VoteReply, VoteRequest, Written
from tests.scenarios.harness import Group


def line(sender: int, receiver: int, message: PeerMessage) -> str:
    """One message on one line."""
    return f"{sender}>{receiver} {_WORDS[type(message)](message)}"


def transcript(group: Group, *kinds: type) -> str:
    """All that was said of these kinds so far, in order; it is forgotten then."""
    lines = [line(*said) for said in group.said if isinstance(said[2], kinds)]
    group.said.clear()
    return "\n".join(lines)


def turns(group: Group) -> str:
    """How the permission to write went from hand to hand."""
    return transcript(group, Grant, Written, TurnRefused)


def script(text: str) -> str:
    """A transcript as it stands in a test, without its indent."""
    return "\n".join(stripped for each in text.splitlines() if (stripped := each.strip()))


def _vote_request(message: VoteRequest) -> str:
    return f"{'would you vote' if message.pre else 'vote'} t{message.term}? last r{message.last_index} of t{message.last_term}"


def _vote_reply(message: VoteReply) -> str:
    return f"{'yes' if message.granted else 'no'} t{message.term}"


def _ballot(message: Ballot) -> str:
    rounds = ",".join(f"r{round_.index}" for round_ in message.rounds)
    return f"ballot t{message.term} after r{message.prev_index}: {rounds or 'heartbeat'}; decided r{message.decided}"


def _vote(message: Vote) -> str:
    return f"yes to r{message.index}" if message.reason is No.YES else f"no, {message.reason.name.lower()}: r{message.index}"


def _forward(message: Forward) -> str:
    return "forward " + " ".join(f"{each.session}{each.seq}" for each in message.messages)


def _grant(message: Grant) -> str:
    absent = f" absent {sorted(message.absent)}" if message.absent else ""
    anew = f" attempt {message.attempt}" if message.attempt else ""
    return f"grant r{message.round} turn {message.turn}{anew}{absent}"


def _written(message: Written) -> str:
    return f"written r{message.round} turn {message.turn}{' last' if message.last else ''}"


def _refused(message: TurnRefused) -> str:
    return f"refused r{message.round} turn {message.turn}{' short' if message.short else ''}"


_WORDS: dict[type, Callable[..., str]] = {
    VoteRequest: _vote_request,
    VoteReply: _vote_reply,
    Ballot: _ballot,
    Vote: _vote,
    Forward: _forward,
    Grant: _grant,
    Written: _written,
    TurnRefused: _refused,
}
