"""The growing table of `tail`: header, rows, happenings, and the header again when it has scrolled away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from votesync_cli.views_rounds import RoundTable
from votesync_cli.views_text import Line, likeness
from votesync_cli.votes_model import Happening, Item

if TYPE_CHECKING:
    from votesync_cli.sampling import Sampler
    from votesync_cli.views import Paper


class TableOutput:
    """Prints items on `paper`. Happenings that are hardly news are left out unless `asked` names them."""

    def __init__(self, paper: Paper, nodes: tuple[int, ...], asked: frozenset[str], zone: tzinfo | None = None) -> None:
        self._paper = paper
        self._nodes = nodes
        self._asked = asked
        self._zone = zone
        self._table: RoundTable | None = None
        self._lines = 0
        self._said: set[tuple[Any, ...]] = set()

    def items(self, items: Sequence[Item]) -> None:
        """Print rows and what stands between them.

        Raises: BrokenPipeError.
        """
        lines = list(self._fitting_table().lines(item for item in items if self._is_news(item)))
        self._print(lines)

    def sampled(self, sampler: Sampler) -> None:
        """Print that not every round is shown, and how many there are."""
        self._print([self._fitting_table().sampled(sampler.rate, sampler.every)])

    def _is_news(self, item: Item) -> bool:
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
