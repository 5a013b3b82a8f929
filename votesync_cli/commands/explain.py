"""`votesync explain`: why a block stands here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import typer

from votesync_cli.blocks import Neighbourhood, Wanted, find
from votesync_cli.commands.gathering import HistoryOption, RunOption, Sources, VotesOption, gather, sources
from votesync_cli.errors import EnvironmentFault, Inconclusive, UsageError
from votesync_cli.explain import Explanation
from votesync_cli.explain import explain as explained
from votesync_cli.options import Common
from votesync_cli.recorded import Recorded, Sent
from votesync_cli.stories import Story, stories

_LINE = re.compile(r"[lL]?(\d{1,15})\Z")
_ROUND = re.compile(r"[rR](\d{1,15})\Z")
_MESSAGE = re.compile(r"([\w.:-]{1,64}):(\d{1,16})\Z", re.ASCII)

WhatArgument = Annotated[
    str, typer.Argument(metavar="LINE|rROUND|SESSION:SEQ", help="A line of output.txt (40), a round (r12), or a message (2:3).")
]


def explain(
    common: Common, what: WhatArgument, run: RunOption = None, votes: VotesOption = None, history: HistoryOption = None
) -> Explanation:
    """Say why a block stands here: when it was sent, proposed, voted on, whose turn it was, and what it waited for longest.

    It reads what was recorded: output.txt, the clients' histories and the nodes' vote logs, also after the cluster is gone.
    """
    line, index, message = _asked(what)
    chosen = sources(common, run, votes, history)
    found = gather(common, chosen)
    told = stories(found.said)
    if index is not None:
        return _of_round(what, index, found, told, chosen)
    if message is not None:
        return _of_message(what, message, found, told, chosen)
    return _of_line(what, line or 0, found, told, chosen)


def _asked(what: str) -> tuple[int | None, int | None, tuple[str, int] | None]:
    """Line, round or message.

    Raises: UsageError.
    """
    if (match := _LINE.match(what)) and int(match[1]) > 0:
        return int(match[1]), None, None
    if match := _ROUND.match(what):
        return None, int(match[1]), None
    if match := _MESSAGE.match(what):
        return None, None, (match[1], int(match[2]))
    hint = "Say 40 for line 40, r12 for round 12, 2:3 for message 3 of client 2."
    raise UsageError(f"{what!r} names no line, round or message.", hint)


def _of_line(what: str, line: int, found: Recorded, told: Mapping[int, Story], chosen: Sources) -> Explanation:
    place = _look(chosen, Wanted(line=line))
    if place is None:
        name = chosen.output or "output.txt"
        raise Inconclusive(f"{name} has no block or separator on line {line}.", "See how many lines it has: wc -l output.txt")
    return explained(what, found, _story_at(told, place), place, _sent(found, place))


def _of_round(what: str, index: int, found: Recorded, told: Mapping[int, Story], chosen: Sources) -> Explanation:
    story = told.get(index)
    if story is None:
        spoken = f"They speak of rounds {min(told)} to {max(told)}." if told else "Name them with --votes or --run."
        raise Inconclusive(f"The vote logs say nothing of round {index}.", spoken)
    start = story.chosen.field("offset") if story.chosen else None
    place = _look(chosen, Wanted(offset=start)) if start is not None and chosen.output is not None else None
    return explained(what, found, story, place, None)


def _of_message(
    what: str, message: tuple[str, int], found: Recorded, told: Mapping[int, Story], chosen: Sources
) -> Explanation:
    sent = found.sent.get(message)
    place = _look(chosen, Wanted(message=message)) if chosen.output is not None else None
    if place is None and sent is None:
        raise Inconclusive(
            f"Neither the file nor a history has message {message[1]} of client {message[0]}.",
            f"Sessions with a history: {', '.join(found.sessions[:8]) or 'none'}.",
        )
    story = _story_at(told, place) if place is not None else told.get(sent.round or -1) if sent is not None else None
    return explained(what, found, story, place, sent)


def _look(chosen: Sources, wanted: Wanted) -> Neighbourhood | None:
    """Read the file.

    Raises: Inconclusive where there is none, EnvironmentFault where it cannot be read.
    """
    if chosen.output is None:
        raise Inconclusive("There is no output.txt.", "Name a kept run with --run, or ask for a round (r12).")
    try:
        with chosen.output.open("rb") as stream:
            return find(stream, wanted)
    except OSError as error:
        raise EnvironmentFault(f"{chosen.output} cannot be read: {error.strerror}.", "Look at its permissions.") from error


def _story_at(told: Mapping[int, Story], place: Neighbourhood) -> Story | None:
    """The round whose decided version begins where this one does in the file."""
    fitting = [
        story for story in told.values()
        if (version := story.chosen) is not None and version.field("offset") == place.start and version.field("count")
    ]  # fmt: skip
    return max(fitting, key=lambda story: (bool(story.written), story.round), default=None)


def _sent(found: Recorded, place: Neighbourhood) -> Sent | None:
    """The message of a block: the one with its number, where time and text agree, else any of its session that does."""
    block = place.block
    if block is None:
        return None

    def fits(sent: Sent) -> bool:
        return sent.session == block.session and str(sent.time) == block.time and sent.text == block.text

    first = found.sent.get((block.session, block.number))
    if first is not None and fits(first):
        return first
    return next((sent for sent in found.sent.values() if fits(sent)), None)
