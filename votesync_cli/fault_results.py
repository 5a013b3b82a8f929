"""What `votesync fault` returns: what was asked of the nodes and what each said, and the faults at work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from votesync_cli.results import Part, Table

_AMOUNTS = {"delay": "ms", "skew": "ms", "drop": "%", "dup": "%", "reorder": "%"}


@dataclass(frozen=True, slots=True)
class FaultDone:
    """A fault or a healing: `applied` are the nodes that took part in it, `unreached` says why others were not asked."""

    text: str
    applied: tuple[int, ...]
    unreached: Mapping[str, str]
    seconds: float | None = None
    table: Table | None = None

    @property
    def exit_code(self) -> int:
        """1 where no node took it."""
        return 0 if self.applied else 1

    def to_text(self) -> str:
        """What is at work now, where, for how long, and who did not hear of it."""
        where = f" at node{'s' if len(self.applied) > 1 else ''} {', '.join(map(str, self.applied))}" if self.applied else ""
        until = "" if self.seconds is None else f", for {self.seconds:g} s"
        lines = [f"{self.text}{where}{until}." if self.applied else f"No node took it: {self.text}."]
        lines += [f"{service} was not asked: {why}" for service, why in self.unreached.items()]
        return "\n".join(lines)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object."""
        yield {
            "fault": self.text,
            "nodes": list(self.applied),
            "for_s": self.seconds,
            "unreached": dict(self.unreached),
        }


@dataclass(frozen=True, slots=True)
class FaultList:
    """The rules at work: (node, rule) as the nodes tell them."""

    rules: tuple[tuple[int, Mapping[str, Any]], ...]
    unreached: Mapping[str, str]
    exit_code: int = 0

    @property
    def table(self) -> Table | None:
        """One row a fault: rules that are the same at several nodes make one."""
        if not self.rules:
            return None
        merged: dict[tuple[str, str, str, str], list[tuple[int, Any]]] = {}
        for node, rule in self.rules:
            key = (str(rule.get("kind")), _list(rule.get("from")), _targets(rule), amount_of(rule))
            merged.setdefault(key, []).append((node, rule.get("left_ms")))
        rows = tuple(
            (*key, ",".join(sorted({str(node) for node, _ in found}, key=int)), _ends(left for _, left in found))
            for key, found in merged.items()
        )
        return Table(("fault", "from", "to", "amount", "nodes", "ends in"), rows)

    @property
    def page(self) -> tuple[Part, ...]:
        """The table, or that there is none; then who was not asked."""
        unreached = (f"{service} was not asked: {why}" for service, why in self.unreached.items())
        return (self.table or "No faults are at work.", *unreached)

    def to_text(self) -> str:
        """The same as text."""
        return "\n".join(part if isinstance(part, str) else part.to_text() for part in self.page)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a rule and node."""
        for node, rule in self.rules:
            yield {"node": node, **rule}


def amount_of(rule: Mapping[str, Any]) -> str:
    """`80 ± 20 ms`, `10 %`, `-` for a cut."""
    unit = _AMOUNTS.get(str(rule.get("kind")))
    if unit is None:
        return "-"
    spread = f" ± {rule['jitter']:,.10g}" if rule.get("jitter") else ""
    amount = rule.get("amount", 0)
    return f"{amount:+,.10g} {unit}" if rule.get("kind") == "skew" else f"{amount:,.10g}{spread} {unit}"


def told(rule: Mapping[str, Any]) -> str:
    """`delay from 0 to 1, 40 ms, ends in 12.0 s`."""
    from_, to = (rule.get(name) for name in ("from", "to"))
    ways = f" from {_list(from_)}" if from_ else ""
    ways = "" if rule.get("kind") == "skew" else ways + (f" to {_list(to)}" if to else "")
    amount = amount_of(rule)
    ends = f", ends in {_ends(iter([rule['left_ms']]))}" if rule.get("left_ms") is not None else ""
    return f"{rule.get('kind')}{ways}{'' if amount == '-' else f', {amount}'}{ends}"


def _targets(rule: Mapping[str, Any]) -> str:
    return "-" if rule.get("kind") == "skew" else _list(rule.get("to"))


def _list(nodes: object) -> str:
    return ",".join(map(str, nodes)) if isinstance(nodes, list) else "-"


def _ends(lefts: Iterator[Any]) -> str:
    known = list(lefts)
    if any(left is None for left in known):
        return "never"
    return f"{max(known) / 1000:.1f} s"
