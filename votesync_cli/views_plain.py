"""What `--plain` says: one fact a line, in words, without signs, boxes or colours. Pure; knows no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from votesync_cli.results import Part, Table
from votesync_cli.views_page import parts_of
from votesync_cli.views_text import spoken


def lines(result: Any) -> Iterator[str]:
    """A result that has no view: in its own words where it has some, else its tables and sentences one after the other."""
    own = getattr(result, "to_plain", None)
    for part in parts_of(result) if own is None else (own(),):
        yield from _part(part)


def _part(part: Part) -> Iterator[str]:
    if isinstance(part, Table):
        for row in part.rows:
            yield row_in_words(part.columns, row)
        return
    for line in part.split("\n"):
        if line.strip():
            yield line if " | " in line else spoken(line.strip())


def row_in_words(columns: tuple[str, ...], row: tuple[str, ...]) -> str:
    """`node 0: state running; role leader`: the cells behind their columns' names, those that are empty left out.

    Of two columns, the first is a name and the second its value.
    """
    if len(columns) == 2:
        return spoken(f"{row[0]}: {row[1]}")
    told = [f"{name} {cell}" for name, cell in zip(columns[1:], row[1:], strict=True) if cell not in {"", "-"}]
    return spoken(f"{columns[0]} {row[0]}: {'; '.join(told)}")
