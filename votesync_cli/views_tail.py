"""What `tail` prints: a growing table (header, rows, happenings, the header again when it has scrolled away), or sentences."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from votesync_cli.views import Look, Paper
from votesync_cli.views_rounds import RoundTable, spoken_round
from votesync_cli.views_text import Line, clock, fold, likeness, sentence, spoken
from votesync_cli.votes_model import Happening, Item

if TYPE_CHECKING:
    from votesync_cli.sampling import Sampler


class News:
    """Tells what is news. Happenings that are hardly that are left out unless `asked` names them."""

    def __init__(self, asked: frozenset[str]) -> None:
        self._asked = asked
        self._said: set[tuple[Any, ...]] = set()

    def __call__(self, item: Item) -> bool:
        """Whether to print it: not what is hardly news, nor what a node says again before the next round."""
        if not isinstance(item, Happening):
            self._said.clear()
            return True
        if item.event not in self._asked and item.is_minor:
            return False
        key = (*likeness(item), item.node)
        again = key in self._said
        self._said.add(key)
        return not again


def output(look: Look, nodes: tuple[int, ...], asked: frozenset[str]) -> SpokenOutput | TableOutput:
    """What prints on stdout as it is wanted."""
    paper = Paper(sys.stdout, color=look.color)
    return SpokenOutput(paper, asked) if look.plain else TableOutput(paper, nodes, asked)


class SpokenOutput:
    """Prints items in words, one a line."""

    def __init__(self, paper: Paper, asked: frozenset[str], zone: tzinfo | None = None) -> None:
        self._paper = paper
        self._is_news = News(asked)
        self._zone = zone

    def items(self, items: Sequence[Item]) -> None:
        """Print rounds and what happened between them.

        Raises: BrokenPipeError.
        """
        between: list[Happening] = []
        for item in filter(self._is_news, items):
            if isinstance(item, Happening):
                between.append(item)
            else:
                self._happened(between)
                between = []
                self._paper.speak([spoken_round(item, self._zone)])
        self._happened(between)

    def sampled(self, sampler: Sampler) -> None:
        """Print that not every round is told, and how many there are."""
        shown = f"telling 1 of {sampler.every}" if sampler.every > 1 else "telling all again"
        self._paper.speak([f"{round(sampler.rate):,} rounds a second, {shown}"])

    def _happened(self, items: Sequence[Happening]) -> None:
        self._paper.speak(f"{clock(one.happening.ts, self._zone)[:8]} {spoken(sentence(one))}" for one in fold(items))


class TableOutput:
    """Prints items on `paper`."""

    def __init__(self, paper: Paper, nodes: tuple[int, ...], asked: frozenset[str], zone: tzinfo | None = None) -> None:
        self._paper = paper
        self._nodes = nodes
        self._is_news = News(asked)
        self._zone = zone
        self._table: RoundTable | None = None
        self._lines = 0

    def items(self, items: Sequence[Item]) -> None:
        """Print rows and what stands between them.

        Raises: BrokenPipeError.
        """
        lines = list(self._fitting_table().lines(item for item in items if self._is_news(item)))
        self._print(lines)

    def sampled(self, sampler: Sampler) -> None:
        """Print that not every round is shown, and how many there are."""
        self._print([self._fitting_table().sampled(sampler.rate, sampler.every)])

    def _fitting_table(self) -> RoundTable:
        """The layout for the terminal as it is now; a new one begins with its header."""
        table = RoundTable(self._nodes, self._paper.width, self._paper.symbols, self._zone)
        if table != self._table:
            first, self._table = self._table is None, table
            self._paper.print([*([table.legend()] if first else []), *table.header()])
            self._lines = 0
        return table

    def _print(self, lines: Sequence[Line]) -> None:
        """Print lines, with the header again once a screenful."""
        height = self._paper.height
        table = self._fitting_table()
        out: list[Line] = []
        for line in lines:
            if height is not None and self._lines >= max(10, height - 4):
                out += table.header()
                self._lines = 0
            out.append(line)
            self._lines += 1
        self._paper.print(out)
