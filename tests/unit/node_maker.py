"""Messages and rounds for tests of the node's core, made in one line each."""

from __future__ import annotations

from node_runtime.log import ORIGIN, Log, Point, point_of
from node_runtime.messages import Message, Policy, Round
from node_runtime.records import native_block
from node_runtime.rounds import build_round


def msg(session: str = "a", seq: int = 1, time: int = 1, node: int = 0, text: str | None = None) -> Message:
    """One message; its text is its number unless the test cares."""
    return Message(time, node, session, seq, native_block(node, session, time, str(seq) if text is None else text))


def chain(*rounds: tuple[int, list[Message]], after: Point = ORIGIN, policy: Policy = Policy.TURNS) -> list[Round]:
    """Rounds that follow one another, each of a (term, messages)."""
    made: list[Round] = []
    for term, messages in rounds:
        made.append(build_round(after, term, policy, sorted(messages)))
        after = point_of(made[-1])
    return made


def noops(*terms: int, after: Point = ORIGIN) -> list[Round]:
    """Empty rounds of these terms."""
    return chain(*((term, []) for term in terms), after=after)


def log_of(rounds: list[Round], decided: int = 0) -> Log:
    """A log that holds these rounds, read back from the same list."""
    log = Log(lambda first, most: rounds[first - 1 :])
    for round_ in rounds:
        log.append(round_)
    log.restored(decided)
    return log
