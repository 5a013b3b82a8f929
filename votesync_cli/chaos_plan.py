"""A seed -> which faults a run of `votesync chaos` makes, when, for how long and to whom. Pure: the same seed, the same plan.

Only who leads or holds a turn is found out when a step begins; whoever else is meant stands in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from votesync_cli.fault_words import Request

NODE_KINDS = ("kill", "pause", "stop")
LINK_KINDS = ("partition", "cut", "delay", "drop", "dup", "reorder", "skew")
KINDS = (*NODE_KINDS, "client", *LINK_KINDS)
ROLES = ("leader", "holder")
_TARGETS = ("one", "one", "leader", "leader", "holder", "holder", "minority", "minority", "majority", "all")
_FIRST = 0.5  # seconds before the first fault
_GAP = (0.2, 2.0)  # seconds between the beginnings of two faults: with the lengths below about two are at work at a time
_LENGTH = (0.5, 4.0)


@dataclass(frozen=True, slots=True)
class Step:
    """One fault: from `at` seconds on for `lasts` seconds.

    `order` are the nodes (clients for `client`) as they are taken where the target leaves it open; `amount` and `jitter`
    are milliseconds or percent by kind; `way` is what a cut leaves of the target's links: `out`, `in` or none of `both`.
    """

    number: int
    at: float
    lasts: float
    kind: str
    target: str
    order: tuple[int, ...]
    seed: int
    amount: float = 0.0
    jitter: float = 0.0
    way: str = "both"

    def to_text(self) -> str:
        """One line of the schedule."""
        return f"{self.at:7.2f} s  {self.number:>3}  {self.saying:<34} for {self.lasts:.2f} s"

    @property
    def saying(self) -> str:
        """The fault in words."""
        match self.kind:
            case "delay":
                return f"delay {self.target} {self.amount:g} ± {self.jitter:g} ms"
            case "skew":
                return f"skew {self.target} {self.amount / 1000:+g} s"
            case "drop" | "dup" | "reorder":
                return f"{self.kind} {self.target} {self.amount:g} %"
            case "cut":
                return f"cut {self.target} ({self.way})"
            case _:
                return f"{self.kind} {self.target}"

    def to_json(self) -> dict[str, Any]:
        """For the record of a run."""
        return asdict(self)


def draw(seed: int, seconds: float, nodes: int, clients: int, kinds: Sequence[str]) -> tuple[Step, ...]:
    """The schedule of a run; every step has ended when the time is over."""
    dice = Random(f"votesync chaos {seed}")
    decks = _Deck(dice, kinds), _Deck(dice, _TARGETS)
    steps: list[Step] = []
    at = min(_FIRST, seconds / 4)
    while at < seconds - 0.3:
        lasts = min(dice.uniform(*_LENGTH), seconds - at)
        steps.append(
            _step(dice, len(steps) + 1, round(at, 2), round(lasts, 2), decks[0].take(), decks[1].take(), nodes, clients)
        )
        at += dice.uniform(*_GAP)
    return tuple(steps)


def victims(step: Step, roles: Mapping[str, int], count: int) -> tuple[int, ...]:
    """The nodes (or clients) that the target means, of `count`; none where nobody has the role now."""
    minority = max(1, (count - 1) // 2)
    match step.target:
        case "leader" | "holder":
            return (roles[step.target],) if step.target in roles else ()
        case "one":
            return step.order[:1]
        case "minority":
            return tuple(sorted(step.order[:minority]))
        case "majority":
            return tuple(sorted(step.order[: count // 2 + 1]))
        case _:
            return tuple(sorted(step.order))


def requests(step: Step, chosen: Sequence[int], nodes: Sequence[int]) -> list[Request]:
    """What the nodes' admin sockets are asked for a fault of links or clocks; the nodes end it by themselves."""
    head: Request = {"op": "fault", "kind": step.kind, "for_ms": round(step.lasts * 1000), "seed": step.seed}
    mine, rest = list(chosen), [node for node in nodes if node not in chosen]
    if step.kind == "skew":
        return [head | {"from": mine, "amount": step.amount}]
    if step.kind == "partition":
        head |= {"kind": "cut"}
        if not rest:  # everybody alone
            return [head | {"from": list(nodes), "to": list(nodes)}]
        return [head | {"from": mine, "to": rest}, head | {"from": rest, "to": mine}]
    if step.kind != "cut":
        head |= {"amount": step.amount} | ({"jitter": step.jitter} if step.kind == "delay" else {})
    out, back = head | {"from": mine, "to": list(nodes)}, head | {"from": rest, "to": mine}
    if not rest or step.way == "out":
        return [out]
    return [back] if step.way == "in" else [out, back]


class _Deck:
    """Deals every card once before any comes again."""

    def __init__(self, dice: Random, cards: Sequence[str]) -> None:
        self._dice = dice
        self._cards = list(cards)
        self._left: list[str] = []

    def take(self) -> str:
        """The next card."""
        if not self._left:
            self._left = list(self._cards)
            self._dice.shuffle(self._left)
        return self._left.pop()


def _step(dice: Random, number: int, at: float, lasts: float, kind: str, target: str, nodes: int, clients: int) -> Step:
    order = list(range(clients if kind == "client" else nodes))
    dice.shuffle(order)
    if kind == "client" and target in ROLES:
        target = "one"
    amount, jitter, way = 0.0, 0.0, "both"
    match kind:
        case "delay":
            amount = float(dice.choice((5, 30, 100, 400)))
            jitter = round(amount * dice.choice((0.1, 0.5, 1.0)), 1)
        case "drop" | "dup" | "reorder":
            amount = float(dice.choice((2, 10, 30, 60)))
        case "skew":
            amount = float(dice.choice((-3_600_000, -2000, -200, 200, 2000, 3_600_000)))
        case "cut":
            way = dice.choice(("out", "in", "both"))
    return Step(number, at, lasts, kind, target, tuple(order), dice.randrange(2**32), amount, jitter, way)


def moments(steps: Sequence[Step]) -> Iterator[tuple[float, bool, Step]]:
    """(seconds, whether it begins, step) in the order of time; an end comes before a beginning at the same moment."""
    every = [(step.at, True, step) for step in steps] + [(step.at + step.lasts, False, step) for step in steps]
    yield from sorted(every, key=lambda moment: (moment[0], moment[1], moment[2].number))
