"""Faults on demand: what this node does wrong to its own links and clock, until a rule ends or is healed.

Pure: the time is passed in as ticks and the dice are seeded, so the same seed does the same harm. A node applies
only what concerns itself: rules from it on what it sends, and `cut` also on what reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from node_runtime.messages import NodeId

KINDS = ("cut", "delay", "drop", "dup", "reorder", "skew")
MAX_RULES = 256
_HOLD = (2_000, 20_000)  # ticks for which a reordered message is held back
_ECHO = (0, 5_000)  # ticks after which the second copy of a doubled message follows
_FIELDS = {"op", "kind", "from", "to", "amount", "jitter", "for_ms", "seed"}
# kind -> what `amount` is, its least and its most; None: the kind takes none
_AMOUNT: dict[str, tuple[str, float, float] | None] = {
    "cut": None,
    "delay": ("milliseconds", 0, 60_000),
    "drop": ("percent", 0, 100),
    "dup": ("percent", 0, 100),
    "reorder": ("percent", 0, 100),
    "skew": ("milliseconds", -86_400_000, 86_400_000),
}


class FaultError(ValueError):
    """A request that cannot be carried out; the text says what is wrong with it and what it takes."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is asked for. `sources` and `targets` are nodes; `amount` and `jitter` are milliseconds or percent by kind."""

    kind: str
    sources: frozenset[NodeId]
    targets: frozenset[NodeId]
    amount: float = 0.0
    jitter: float = 0.0
    for_ms: float | None = None
    seed: int | None = None

    @classmethod
    def parse(cls, request: Mapping[str, Any], nodes: Iterable[NodeId]) -> Fault:
        """Read the admin's `{"op":"fault","kind":"cut","from":[0],"to":[1,2],"for_ms":500}`.

        No `from` or `to` means every node.

        Raises: FaultError.
        """
        everyone = frozenset(nodes)
        kind = request.get("kind")
        if kind not in KINDS:
            raise FaultError(f"kind is {kind!r}. It takes one of {', '.join(KINDS)}.")
        unknown = sorted(set(request) - _FIELDS)
        if unknown:
            raise FaultError(f"{unknown[0]!r} is not part of a fault. It takes {', '.join(sorted(_FIELDS - {'op'}))}.")
        if kind == "skew" and "to" in request:
            raise FaultError("a skew has no `to`. Name the nodes whose clocks are wrong in `from`.")
        if "jitter" in request and kind != "delay":
            raise FaultError(f"a {kind} has no jitter. Only a delay takes one.")
        amount = _amount(request, kind)
        return cls(
            kind,
            _nodes(request, "from", everyone),
            _nodes(request, "to", everyone),
            amount,
            _number(request, "jitter", 0, 60_000, "milliseconds", 0.0),
            _number(request, "for_ms", 1, 86_400_000, "milliseconds", None) if request.get("for_ms") is not None else None,
            _seed(request),
        )


@dataclass(slots=True)
class Rule:
    """A fault at work in this node: the peers it sends to badly, the peers it does not hear, and until when (ticks)."""

    number: int
    fault: Fault
    sends_to: frozenset[NodeId]
    hears_not: frozenset[NodeId]
    until: int | None
    dice: Random = field(repr=False)

    def describe(self, now: int) -> dict[str, Any]:
        """The rule as JSON; `left_ms` is how long it still holds, null for ever."""
        fault = self.fault
        return {
            "id": self.number,
            "kind": fault.kind,
            "from": sorted(fault.sources),
            "to": sorted(fault.targets),
            "amount": fault.amount,
            "jitter": fault.jitter,
            "left_ms": None if self.until is None else max(0, self.until - now) // 1000,
        }


class LinkFaults:
    """The rules of one node. While `active` is false no message needs to be asked about."""

    def __init__(self, node: NodeId, nodes: Iterable[NodeId], seed: int | None = None) -> None:
        self._node = node
        self._nodes = frozenset(nodes)
        self._seed = seed or 0
        self._count = 0
        self._rules: list[Rule] = []
        self._ended: list[Rule] = []
        self._last_due: dict[NodeId, int] = {}
        self.active = False

    def add(self, fault: Fault, now: int) -> Rule | None:
        """Start a fault at tick `now`; None if it does not concern this node.

        Raises: FaultError when there are too many.
        """
        mine = self._node in fault.sources
        links = fault.kind != "skew"
        sends_to = fault.targets - {self._node} if mine and links else frozenset[int]()
        deaf = fault.kind == "cut" and self._node in fault.targets
        hears_not = fault.sources - {self._node} if deaf else frozenset[int]()
        if not sends_to and not hears_not and not (mine and not links):
            return None
        if len(self._rules) >= MAX_RULES:
            raise FaultError(f"{MAX_RULES} faults are at work already. Heal first.")
        self._count += 1
        dice = Random(f"{self._seed if fault.seed is None else fault.seed}/{self._node}/{self._count}")
        until = None if fault.for_ms is None else now + int(fault.for_ms * 1000)
        rule = Rule(self._count, fault, sends_to, hears_not, until, dice)
        self._rules.append(rule)
        self.active = True
        return rule

    def heal(self, number: int | None = None) -> list[Rule]:
        """End one rule, or all; returns those that ended. What is held back already still arrives."""
        gone = [rule for rule in self._rules if number is None or rule.number == number]
        self._rules = [rule for rule in self._rules if rule not in gone]
        return gone

    def rules(self, now: int) -> list[Rule]:
        """The rules at work."""
        self._expire(now)
        return list(self._rules)

    def take_ended(self, now: int) -> list[Rule]:
        """The rules whose time has run out since this was last asked."""
        self._expire(now)
        ended, self._ended = self._ended, []
        return ended

    def plan(self, peer: NodeId, now: int) -> list[int]:
        """What becomes of a message to `peer`: one delay in ticks for each copy; [] drops it, [0] is as normal.

        Delayed messages keep their order, as on one TCP connection; only `reorder` and `dup` break it.
        """
        self._expire(now)
        delay, held, copies = 0, 0, 1
        for rule in self._rules:
            if peer not in rule.sends_to:
                continue
            kind, amount, dice = rule.fault.kind, rule.fault.amount, rule.dice
            if kind == "cut" or (kind == "drop" and dice.random() * 100 < amount):
                return []
            if kind == "delay":
                delay += max(0, int((amount + dice.uniform(-1, 1) * rule.fault.jitter) * 1000))
            elif kind == "dup" and dice.random() * 100 < amount:
                copies += 1
                echo = dice.randint(*_ECHO)
            elif kind == "reorder" and dice.random() * 100 < amount:
                held = dice.randint(*_HOLD)
        due = max(now + delay, self._last_due.get(peer, 0))
        if due > now:
            self._last_due[peer] = due
        first = due - now + held
        return [first] if copies == 1 else [first, *(first + echo for _ in range(copies - 1))]

    def deaf_to(self, peer: NodeId, now: int) -> bool:
        """Whether what comes from `peer` is to be thrown away."""
        self._expire(now)
        return any(peer in rule.hears_not for rule in self._rules)

    def skew_of(self, now: int) -> int:
        """By how many ticks the clock is to be wrong: the sum of the skews at work."""
        return sum(int(rule.fault.amount * 1000) for rule in self.rules(now) if rule.fault.kind == "skew")

    def _expire(self, now: int) -> None:
        if any(rule.until is not None and rule.until <= now for rule in self._rules):
            self._ended += [rule for rule in self._rules if rule.until is not None and rule.until <= now]
            self._rules = [rule for rule in self._rules if rule.until is None or rule.until > now]
        if not self._rules and not self._ended and all(due <= now for due in self._last_due.values()):
            self._last_due.clear()
            self.active = False


class FaultPanel:
    """Answers the admin's `fault`, `faults` and `heal`, and keeps the clock's skew in step with the rules."""

    def __init__(self, faults: LinkFaults, nodes: Iterable[NodeId], *, allowed: bool, skew: Callable[[int], None]) -> None:
        self._faults = faults
        self._nodes = frozenset(nodes)
        self._allowed = allowed
        self._skew = skew

    def handle(self, request: Mapping[str, Any], now: int) -> dict[str, Any]:
        """Carry out one request at tick `now` (of `clock.steady_ticks`); a refusal is `{"ok": false, "error": …}`."""
        op = request.get("op")
        try:
            if op == "fault":
                return self._start(request, now)
            if op == "heal":
                return self._heal(request, now)
        except FaultError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True, "faults": [rule.describe(now) for rule in self._faults.rules(now)]}

    def poll(self, now: int) -> list[dict[str, Any]]:
        """The faults that ended by themselves since the last poll, as JSON; call it every few milliseconds."""
        if not self._faults.active:
            return []
        ended = self._faults.take_ended(now)
        if ended:
            self._skew(self._faults.skew_of(now))
        return [rule.describe(now) for rule in ended]

    def _start(self, request: Mapping[str, Any], now: int) -> dict[str, Any]:
        if not self._allowed:
            raise FaultError("this cluster takes no faults. Start it with `votesync up --faults`.")
        rule = self._faults.add(Fault.parse(request, self._nodes), now)
        self._skew(self._faults.skew_of(now))
        return {"ok": True, "applied": rule is not None, "fault": None if rule is None else rule.describe(now)}

    def _heal(self, request: Mapping[str, Any], now: int) -> dict[str, Any]:
        number = request.get("id")
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise FaultError(f"id is {number!r}. It takes the number of a fault, or leave it out to heal all.")
        gone = self._faults.heal(number)
        self._skew(self._faults.skew_of(now))
        return {"ok": True, "healed": [rule.describe(now) for rule in gone]}


def _amount(request: Mapping[str, Any], kind: str) -> float:
    takes = _AMOUNT[kind]
    if takes is None:
        if "amount" in request:
            raise FaultError(f"a {kind} has no amount. Leave it out.")
        return 0.0
    unit, least, most = takes
    if "amount" not in request:
        raise FaultError(f"a {kind} needs an amount. It takes {unit} from {least:g} to {most:g}.")
    return _number(request, "amount", least, most, unit, 0.0)


def _number(request: Mapping[str, Any], name: str, least: float, most: float, unit: str, default: float | None) -> float:
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise FaultError(f"{name} is {value!r}. It takes {unit} from {least:g} to {most:g}.")
    return float(value)


def _seed(request: Mapping[str, Any]) -> int | None:
    seed = request.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
        raise FaultError(f"seed is {seed!r}. It takes a whole number from 0 to {2**63 - 1}.")
    return seed


def _nodes(request: Mapping[str, Any], name: str, everyone: frozenset[NodeId]) -> frozenset[NodeId]:
    value = request.get(name)
    if value is None:
        return everyone
    ids = value if isinstance(value, list) else [value]
    if not ids or any(isinstance(node, bool) or not isinstance(node, int) or node not in everyone for node in ids):
        raise FaultError(f"{name} is {value!r}. It takes a list of node ids from 0 to {max(everyone)}.")
    return frozenset(ids)
