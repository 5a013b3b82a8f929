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

from votesync_cli.views_page import folded
from votesync_cli.views_text import Line, Symbols, symbols_for

if TYPE_CHECKING:
    from datetime import tzinfo

    from rich.console import Console

    from votesync_cli.board import Board
    from votesync_cli.results import Result

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

class Look(Protocol):
    """How somebody wants things shown (`options.Common`)."""

    @property
    def color(self) -> bool:
        """Whether in colours."""
        ...

    @property
    def plain(self) -> bool:
        """Whether in words alone."""
        ...

    @property
    def redraw(self) -> bool:
        """Whether what is on the screen may be drawn over."""
        ...


def show(result: Result, look: Look, stream: TextIO | None = None) -> None:
    """Print a result as it is wanted: in words alone, drawn to the terminal's width, or whole where nobody looks.

    Raises: BrokenPipeError where nobody reads any more.
    """
    paper = Paper(stream or sys.stdout, color=look.color)
    view = _view(getattr(result, "view", ""))
    if look.plain:
        from votesync_cli import views_plain

        paper.speak(view.spoken(result) if view else views_plain.lines(result))
    elif view:
        paper.print(view.page(result, paper.width, paper.symbols))
    elif paper.width is None:
        paper.say(result.to_text().splitlines())
    else:
        from votesync_cli import views_page

        paper.print(views_page.lines(views_page.parts_of(result), paper.width, paper.symbols))


class View(Protocol):
    """A module that knows how one kind of result looks."""

    def page(self, result: Any, width: int | None, symbols: Symbols) -> Iterable[Line]:
        """Its lines on so many columns (None: as wide as it gets)."""
        ...

    def spoken(self, result: Any) -> Iterable[str]:
        """Its facts in words, one a line."""
        ...


def _view(name: str) -> View | None:
    match name:
        case "explain":
            from votesync_cli import views_explain as explain

            return explain
        case "timeline":
            from votesync_cli import views_timeline as timeline

            return timeline
        case "top":
            from votesync_cli import views_top as top

            return top
        case _:
            return None


def console(stream: TextIO, *, color: bool = True) -> Console:
    """A rich console that adds nothing of its own."""
    from rich.console import Console

    system: Literal["auto"] | None = "auto" if color else None
    return Console(file=stream, color_system=system, highlight=False, markup=False, emoji=False, soft_wrap=True)


class Paper:
    """Where the lines of a growing table go: a terminal, with colours and a width, or whatever stdout is, whole."""

    def __init__(self, stream: TextIO, *, color: bool) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._console = console(stream) if self._terminal and color else None
        self.symbols: Symbols = symbols_for(stream.encoding)

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
            self.say("".join(part for part, _ in line).rstrip() for line in lines)
        else:
            from rich.text import Text

            for line in lines:
                self._console.print(Text.assemble(*((part, STYLES[style]) for part, style in line)), overflow="ignore")
        self._stream.flush()

    def speak(self, lines: Iterable[str]) -> None:
        """Print sentences; on a terminal they are folded at words, for it would break them anywhere.

        Raises: BrokenPipeError.
        """
        width = self.width
        self.say(lines if width is None else (part for line in lines for part in folded(line, width)))

    def say(self, lines: Iterable[str]) -> None:
        """Print lines of text as they are.

        Raises: BrokenPipeError.
        """
        self._stream.write("".join(line + "\n" for line in lines))
        self._stream.flush()


def live(look: Look) -> Screen | Teller:
    """Where pictures that replace one another go: the whole terminal, or sentences where nothing may be drawn over."""
    return Screen(color=look.color) if look.redraw else Teller(Paper(sys.stdout, color=False))


class Teller:
    """The first board in words, then what changes, one line an event."""

    def __init__(self, paper: Paper, zone: tzinfo | None = None) -> None:
        self._paper = paper
        self._zone = zone
        self._before: Board | None = None

    def __enter__(self) -> Teller:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was taken, so nothing is given back."""

    def show(self, board: Board) -> None:
        """Say what is new of it."""
        from votesync_cli import views_top

        before, self._before = self._before, board
        told = views_top.spoken(board, self._zone) if before is None else views_top.changes(before, board, self._zone)
        self._paper.speak(told)

    def is_left(self) -> bool:
        """Never: Ctrl-C ends it, keys are not taken."""
        return False


class Screen:
    """The whole terminal, for pictures that replace one another; what was there before comes back in the end."""

    def __init__(self, *, color: bool) -> None:
        from rich.live import Live

        self._symbols = symbols_for(sys.stdout.encoding)
        shown = console(sys.stdout, color=color)
        self._live = Live(console=shown, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
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
                text.append(part, STYLES[style])
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

