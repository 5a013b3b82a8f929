"""What one line of a vote log says, in a few words, for whoever points at it in a diagram. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from node_runtime.votelog import Event
from votesync_cli.recorded import Said


def told(said: Said) -> str:
    """The event in words, without its node, time and round, which stand beside it."""
    return _WORDS[said.kind](said.event)


def ms(us: object) -> str:
    """Microseconds as milliseconds."""
    return f"{us / 1000:.2f} ms" if isinstance(us, int | float) else "?"


def _names(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | Mapping) else "?"


def _ballot(event: Event) -> str:
    many = event.get("count")
    gathered = event.get("messages")
    of = ", ".join(f"{row[0]} of node {node}" for node, row in gathered.items()) if isinstance(gathered, Mapping) else ""
    return f"proposes {many} message{'' if many == 1 else 's'}" + (f" ({of})" if of else "")


def _vote(event: Event) -> str:
    if not event.get("ok"):
        return f"votes no: {event.get('reason')}"
    many = f" on rounds {event.get('first')} to {event.get('round')}" if event.get("first") != event.get("round") else ""
    return f"votes yes{many} (journal {ms(event.get('persist_us'))})"


def _grant(event: Event) -> str:
    rows = event.get("turns")
    order = [str(row[0]) for row in rows if isinstance(row, list) and row] if isinstance(rows, list) else []
    more = " …" if len(order) > 12 or event.get("more") else ""
    anew = f" anew ({event.get('reason')})" if event.get("reason") else ""
    stands = f"; writes for {_names(event.get('absent'))}" if event.get("absent") else ""
    return f"grants turn {event.get('turn')}{anew}: {' → '.join(order[:12])}{more}{stands}"


def _turn(event: Event) -> str:
    rows = event.get("turns")
    numbers = [str(row[0]) for row in rows if isinstance(row, list) and row] if isinstance(rows, list) else []
    anew = f" (attempt {event.get('attempt')})" if event.get("attempt") else ""
    return f"wrote turn{'' if len(numbers) == 1 else 's'} {', '.join(numbers)} up to byte {event.get('position')}{anew}"


def _fault(event: Event) -> str:
    detail: Any = event.get("detail")
    if not isinstance(detail, Mapping):
        return f"fault {event.get('fault')}"
    ways = f" {_names(detail.get('from'))} → {_names(detail.get('to'))}" if "from" in detail else ""
    amount = f" {detail['amount']:g}" if isinstance(detail.get("amount"), int | float) and detail["amount"] else ""
    return f"fault {event.get('fault')}{amount}{ways}"


_WORDS: dict[str, Callable[[Event], str]] = {
    "start": lambda e: f"starts, rounds up to {e.get('last')} in its journal",
    "stop": lambda e: f"stops: {e.get('reason')}",
    "peer_up": lambda e: f"in touch with node {e.get('peer')}",
    "peer_down": lambda e: f"lost node {e.get('peer')}: {e.get('reason')}",
    "election": lambda e: "asks whether it could win" if e.get("pre") else "stands for election",
    "voted": lambda e: f"votes for node {e.get('candidate')}",
    "leader": lambda e: f"leads, with the votes of {_names(e.get('votes'))}",
    "follow": lambda e: f"follows node {e.get('leader')}",
    "step_down": lambda e: f"steps down: {e.get('reason')}",
    "ballot": _ballot,
    "vote": _vote,
    "decided": lambda e: f"decided by {_names(e.get('votes'))} after {ms(e.get('quorum_us'))}",
    "grant": _grant,
    "turn": _turn,
    "written": lambda e: f"all in the file, up to byte {e.get('position')}, after {ms(e.get('took_us'))}",
    "timeout": lambda e: f"turn {e.get('turn')} stalled: nothing from node {e.get('writer')} for {ms(e.get('waited_us'))}",
    "repair": lambda e: f"compared the file up to byte {e.get('end')}, {e.get('changed')} bytes written anew",
    "restored": lambda e: f"has its journal back, up to round {e.get('last')}",
    "no_quorum": lambda e: f"no majority: sent {e.get('waiting')} messages back",
    "refused": lambda e: f"turned away input on its {e.get('port')} port: {e.get('reason')}",
    "fault": _fault,
    "heal": lambda e: f"fault {e.get('fault')} healed",
}
