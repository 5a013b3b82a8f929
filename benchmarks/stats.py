"""Medians and spreads of a few repetitions. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """The median of some values, the least and the greatest of them."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of the values, or None where there are none."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def short(value: float | None, digits: int = 3) -> str:
    """A number in so many digits, as people write it: `0.142`, `5.1`, `1,240`, `402 k`, `1.08 M`."""
    if value is None:
        return "–"
    for unit, name in ((1e6, " M"), (1e4, " k")):
        if abs(value) >= unit:
            return _digits(value / (1e6 if name == " M" else 1e3), digits) + name
    return _digits(value, digits)


def _digits(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:,.{max(0, digits - whole)}f}"


def spread_text(found: Spread | None, scale: float = 1.0) -> str:
    """`5,120 (4,980–5,300)`; one number where there is no spread."""
    if found is None:
        return "–"
    middle = short(found.median * scale)
    if found.least == found.most:
        return middle
    return f"{middle} ({short(found.least * scale)}–{short(found.most * scale)})"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = ["| " + " | ".join(columns) + " |", "| --- " + "| ---: " * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
