"""Results and votes -> the terminal. The only importer of rich, which is loaded when something is drawn.

Colours tell nothing that the marks and words do not tell too, and those that are used together (cyan, yellow, bold
magenta) are told apart by the colour-blind.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

from votesync_cli.views_text import ASCII, Line, Symbols, symbols_for

if TYPE_CHECKING:
    from rich.console import Console

    from votesync_cli.board import Board
    from votesync_cli.results import Table

STYLES = {
    "": "",
    "head": "bold",
    "dim": "dim",
    "number": "",
    "leader": "bold",
    "note": "italic",
    "yes": "cyan",
    "late": "yellow",
    "no": "bold magenta",
    "silent": "dim",
    "good": "bold cyan",
    "bad": "bold magenta",
    "event": "yellow",
}

GAP = "  "
LEAST_LAST = 24  # columns below which the last column of a table is not folded any more


class Drawable(Protocol):
    """A result that is a table."""

    @property
    def table(self) -> Table | None:
        """The table, or None."""
        ...


def show(result: Drawable) -> None:
    """Draw a result's table on the terminal, and a paragraph a row where it is too narrow; nothing is ever cut."""
    table = result.table
    if table is None:
        return
    *firm, last = (max(map(len, column)) for column in zip(table.columns, *table.rows, strict=True))
    if sum(firm) + len(GAP) * len(firm) + min(last, LEAST_LAST) <= shutil.get_terminal_size().columns:
        _show_rows(table)
    else:
        _show_paragraphs(table)


def _show_rows(table: Table) -> None:
    """One row a line; only the last column is folded."""
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style=STYLES["head"])
    for name in table.columns:
        justify: Literal["left", "right"] = "right" if name in table.right else "left"
        drawn.add_column(name.upper(), justify=justify, overflow="fold", no_wrap=name != table.columns[-1])
    for row in table.rows:
        drawn.add_row(*(Text(cell, style=_cell_style(cell)) for cell in row))
    console(sys.stdout).print(drawn, soft_wrap=False)


def _show_paragraphs(table: Table) -> None:
    """One paragraph a row: each cell behind its column's name, those that are empty left out."""
    from rich.text import Text

    width, terminal = shutil.get_terminal_size().columns, console(sys.stdout)
    for row in table.rows:
        lines = [Text()]
        told = ((name, cell) for name, cell in zip(table.columns, row, strict=True) if cell not in {"", "-"})
        for name, cell in told:
            item = Text.assemble((name.upper(), STYLES["dim"]), " ", (cell, _cell_style(cell)))
            if lines[-1] and len(lines[-1]) + len(GAP) + len(item) > width:
                lines.append(Text(GAP))
            elif lines[-1]:
                lines[-1].append(GAP)
            lines[-1].append_text(item)
        for line in lines:
            terminal.print(line)


_WELL = frozenset({"healthy", "leader", "ok", "PASS"})
_ILL = frozenset({"unhealthy", "dead", "unreachable", "MISSING", "FAIL", "recovering", "candidate"})
_FAINT = frozenset({"-", "absent", "NOT CHECKED"})


def _cell_style(cell: str) -> str:
    """Words that mean the same in every table look the same."""
    if cell in _WELL:
        return STYLES["good"]
    if cell in _ILL or cell.startswith("exited ("):
        return STYLES["bad"]
    return STYLES["dim"] if cell in _FAINT else ""


def console(stream: TextIO) -> Console:
    """A rich console that adds nothing of its own."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


class Paper:
    """Where the lines of a growing table go: a terminal, with colours and a width, or whatever stdout is, whole."""

    def __init__(self, stream: TextIO, *, color: bool, plain: bool) -> None:
        self._stream = stream
        self._terminal = stream.isatty() and not plain
        self._console = console(stream) if self._terminal and color else None
        self.symbols: Symbols = ASCII if plain else symbols_for(stream.encoding)

    @property
    def width(self) -> int | None:
        """Columns of the terminal; None where lines may be as long as they like."""
        return shutil.get_terminal_size().columns if self._terminal else None

    @property
    def height(self) -> int | None:
        """Lines of the terminal; None where there is none."""
        return shutil.get_terminal_size().lines if self._terminal else None

    def print(self, lines: Iterable[Line]) -> None:
        """Print lines; nothing is held back.

        Raises: BrokenPipeError where nobody reads any more.
        """
        if self._console is None:
            text = "".join("".join(part for part, _ in line).rstrip() + "\n" for line in lines)
            self._stream.write(text)
        else:
            from rich.text import Text

            for line in lines:
                self._console.print(Text.assemble(*((part, STYLES[style]) for part, style in line)), overflow="ignore")
        self._stream.flush()


class Screen:
    """The whole terminal, for pictures that replace one another; what was there before comes back in the end."""

    def __init__(self, *, color: bool) -> None:
        from rich.live import Live

        self._color = color
        self._symbols = symbols_for(sys.stdout.encoding)
        live = Live(console=console(sys.stdout), screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live = live
        self._keys: list[Any] | None = None

    def __enter__(self) -> Screen:
        """Take the screen, and the keys one at a time where stdin is a terminal."""
        import termios
        import tty

        if sys.stdin.isatty():
            self._keys = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give both back."""
        import termios

        self._live.stop()
        if self._keys is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._keys)

    def show(self, board: Board) -> None:
        """Draw a board over the whole screen."""
        from rich.text import Text

        from votesync_cli.views_top import Picture

        width, height = shutil.get_terminal_size()
        lines = Picture(width, self._symbols).lines(board, height)[:height]
        text = Text(no_wrap=True, overflow="crop")
        for number, line in enumerate(lines):
            for part, style in (*line, ("\n" if number + 1 < len(lines) else "", "")):
                text.append(part, STYLES[style] if self._color else "")
        self._live.update(text, refresh=True)

    def is_left(self) -> bool:
        """Whether somebody pressed `q`."""
        import select

        while self._keys is not None and select.select([sys.stdin], [], [], 0)[0]:
            if os.read(sys.stdin.fileno(), 1) in (b"q", b"Q", b""):
                return True
        return False


def reader_is_gone(stream: TextIO) -> bool:
    """Whether stdout is a pipe that nobody reads any more, which a write would only find out when there is something to say."""
    import select

    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):  # no descriptor, or no poll here: the next write will tell
        return False


def wants_color(chosen: bool) -> bool:
    """Whether colours are wanted: not with --no-color, NO_COLOR or a terminal that has none."""
    return chosen and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
