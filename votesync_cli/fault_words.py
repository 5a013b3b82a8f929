"""The words of `votesync fault` -> what each node's admin socket is asked. Pure.

A fault is asked of every node, and each takes what concerns it: a delay works where messages leave, a cut at both ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from votesync_cli.errors import UsageError

KINDS = ("partition", "cut", "delay", "drop", "dup", "reorder", "skew")
EXAMPLES = {
    "partition": "votesync fault partition 0,1/2,3,4",
    "cut": "votesync fault cut 1:3",
    "delay": "votesync fault delay 2 80ms±20ms",
    "drop": "votesync fault drop 4 10%",
    "dup": "votesync fault dup 10%",
    "reorder": "votesync fault reorder 1,2 30%",
    "skew": "votesync fault skew 3 +2s",
}
ROLES = ("leader", "holder")
USUAL_PERCENT = 10.0

_UNITS = {"us": 0.001, "µs": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "min": 60_000.0, "h": 3_600_000.0}
_DURATION = re.compile(r"([+-]?\d+(?:\.\d+)?)(us|µs|ms|s|min|m|h)?\Z")
_SPREAD = re.compile(r"(.+?)(?:±|\+-|\+/-|~)(.+)\Z")
_LINK = re.compile(r"(.+?)(<->|->|→|↔|:)(.+)\Z")
_SERVICE = re.compile(r"cluster_sync_(\d+)\Z")

Request = dict[str, Any]
Resolve = Callable[[str], int]  # a role -> the node that has it now


@dataclass(frozen=True, slots=True)
class Order:
    """What the nodes are asked, each with all of `requests`; `text` says it to people."""

    kind: str
    requests: tuple[Request, ...]
    text: str


def parse_fault(words: Sequence[str], nodes: Sequence[int], resolve: Resolve) -> Order:
    """Read `delay 2 80ms±20ms`; `resolve` is asked who a role means, only where one is named.

    Raises: UsageError.
    """
    kind, rest = (words[0], list(words[1:])) if words else ("", [])
    if kind not in KINDS:
        raise UsageError(
            f"There is no fault {kind!r}.", f"Say {', '.join(KINDS)}, list or heal; for example: {EXAMPLES['partition']}"
        )
    reader = _Reader(kind, tuple(nodes), resolve)
    match kind:
        case "partition":
            return reader.partition(rest)
        case "cut":
            return reader.cut(rest)
        case "delay":
            return reader.delay(rest)
        case "skew":
            return reader.skew(rest)
        case _:
            return reader.chance(rest)


def milliseconds(text: str, unit: str = "ms") -> float | None:
    """`80ms`, `+2s`, `1m`; a bare number is in `unit`. None where the text is no duration."""
    match = _DURATION.match(text)
    return float(match[1]) * _UNITS[match[2] or unit] if match else None


def duration_of(option: str, text: str) -> float:
    """What stands behind `--for`, in seconds; a bare number is seconds.

    Raises: UsageError.
    """
    ms = milliseconds(text, "s")
    if ms is None or not 1 <= ms <= 86_400_000:
        raise UsageError(f"{option} cannot be {text!r}.", "It takes a duration up to a day: 500ms, 30s, 5m, 1h.")
    return ms / 1000


@dataclass(frozen=True, slots=True)
class _Reader:
    kind: str
    nodes: tuple[int, ...]
    resolve: Resolve

    def partition(self, words: list[str]) -> Order:
        """Groups divided by `/`; the nodes that nobody named make one more."""
        texts = [text for text in re.split(r"[/\s]+", " ".join(words)) if text]
        groups = [self.members(text) for text in texts]
        named = [node for group in groups for node in group]
        if len(named) != len(set(named)):
            twice = next(node for node in named if named.count(node) > 1)
            raise self.wrong(f"node {twice} stands in two groups")
        if left := [node for node in self.nodes if node not in named]:
            groups.append(left)
        if len(groups) < 2 or not texts:
            raise self.wrong("a partition needs two groups at least")
        requests = tuple(self.link(group, [node for node in self.nodes if node not in group]) for group in groups)
        return Order(self.kind, requests, "partition " + " / ".join(map(_list, groups)))

    def cut(self, words: list[str]) -> Order:
        """One link expression."""
        if len(words) != 1:
            raise self.wrong("a cut takes one link")
        links, text = self.links(words[0])
        return Order(self.kind, tuple(links), f"cut {text}")

    def delay(self, words: list[str]) -> Order:
        """Links and a duration, maybe with a spread."""
        amounts = [word for word in words if _delay_of(word) is not None]
        places = [word for word in words if word not in amounts]
        amount = _delay_of(amounts[0]) if len(amounts) == 1 else None
        if amount is None or len(places) > 1:
            raise self.wrong("a delay takes nodes or a link, and a duration such as 80ms or 80ms±20ms")
        links, text = self.links(places[0] if places else "all")
        more = {"amount": amount[0], "jitter": amount[1]} if amount[1] else {"amount": amount[0]}
        shown = f"{amount[0]:,.10g} ms" + (f" ± {amount[1]:,.10g} ms" if amount[1] else "")
        return Order(self.kind, tuple(link | more for link in links), f"delay {shown} on {text}")

    def chance(self, words: list[str]) -> Order:
        """Links and a percentage, each with a default."""
        amounts = [word for word in words if word.endswith("%")]
        places = [word for word in words if not word.endswith("%")]
        if len(amounts) > 1 or len(places) > 1:
            raise self.wrong(f"{self.kind} takes nodes or a link, and a percentage such as 10%")
        percent = USUAL_PERCENT
        if amounts:
            try:
                percent = float(amounts[0][:-1])
            except ValueError:
                percent = -1.0
        if not 0 < percent <= 100:
            raise self.wrong(f"{amounts[0]!r} is no percentage from 0 to 100")
        links, text = self.links(places[0] if places else "all")
        return Order(self.kind, tuple(link | {"amount": percent} for link in links), f"{self.kind} {percent:g} % on {text}")

    def skew(self, words: list[str]) -> Order:
        """Nodes and a signed duration."""
        amount = milliseconds(words[1]) if len(words) == 2 else None
        if amount is None or amount == 0:
            raise self.wrong("a skew takes nodes and by how much their clocks are wrong, such as +2s or -300ms")
        group = self.members(words[0])
        request = {"op": "fault", "kind": "skew", "from": group, "amount": amount}
        return Order(self.kind, (request,), f"skew {amount:+,.10g} ms on the clock of {_list(group)}")

    def links(self, text: str) -> tuple[list[Request], str]:
        """`1:3` and `1->3` one way, `1<->3` both ways, `1` every link of node 1, `all` every link."""
        match = _LINK.match(text)
        if match is None:
            if text.endswith("-"):
                raise UsageError(
                    f"{text!r} is half a link: the shell took the `>` and what follows it for a file.",
                    f"Write {text[:-1]}:3, or put it in quotes: '{text}>3'.",
                )
            group = self.members(text)
            rest = [node for node in self.nodes if node not in group]
            if not rest:
                return [self.link(group, group)], "every link"
            return [self.link(group, list(self.nodes)), self.link(rest, group)], f"every link of {_list(group)}"
        sources, targets = self.members(match[1]), self.members(match[3])
        if set(sources) == set(targets) and len(sources) == 1:
            raise self.wrong(f"node {sources[0]} has no link to itself")
        if match[2] in ("<->", "↔"):
            both = [self.link(sources, targets), self.link(targets, sources)]
            return both, f"{_list(sources)} <-> {_list(targets)}"
        return [self.link(sources, targets)], f"{_list(sources)} -> {_list(targets)}"

    def link(self, sources: list[int], targets: list[int]) -> Request:
        """The request for one direction."""
        kind = "cut" if self.kind == "partition" else self.kind
        return {"op": "fault", "kind": kind, "from": sources, "to": targets}

    def members(self, text: str) -> list[int]:
        """`0,1`, `leader`, `cluster_sync_2`, `all`; in order, each once."""
        if text in ("all", "*"):
            return list(self.nodes)
        found = {self._node(part) for part in text.split(",")}
        return sorted(found)

    def _node(self, text: str) -> int:
        if text in ROLES:
            return self.resolve(text)
        service = _SERVICE.match(text)
        node = int(service[1]) - 1 if service else int(text) if text.isascii() and text.isdigit() else -1
        if node not in self.nodes:
            raise self.wrong(f"{text!r} is no node. Nodes are 0 to {max(self.nodes)}, leader, holder or all")
        return node

    def wrong(self, what: str) -> UsageError:
        """The error, with an example of how this fault is written."""
        return UsageError(f"{what[0].upper()}{what[1:]}.", f"For example: {EXAMPLES[self.kind]}")


def _delay_of(text: str) -> tuple[float, float] | None:
    """`80ms±20ms` -> (80, 20); None for what is no duration with a unit, for a bare number may be a node."""
    match = _SPREAD.match(text)
    first, second = (match[1], match[2]) if match else (text, "0ms")
    spread = milliseconds(second)
    amount = milliseconds(first)
    if amount is None or spread is None or (match is None and text.isdigit()):
        return None
    return amount, abs(spread)


def _list(nodes: Sequence[int]) -> str:
    return ",".join(map(str, nodes))
