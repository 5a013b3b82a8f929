"""A diagram that scrolls over the whole terminal; what was there before comes back in the end."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import tty

from votesync_cli.scrolling import KEYS, Scroll
from votesync_cli.timeline import Timeline
from votesync_cli.views import STYLES, console
from votesync_cli.views_text import Line, Symbols
from votesync_cli.views_timeline import Drawing, Row

_ESCAPES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[5~": "pageup", b"\x1b[6~": "pagedown", b"\x1b[H": "home", b"\x1b[F": "end",
    b"\x1bOA": "up", b"\x1bOB": "down", b"\x1bOH": "home", b"\x1bOF": "end", b"\x1b[1~": "home", b"\x1b[4~": "end",
    b"\n": "enter", b"\r": "enter",
}  # fmt: skip


def scroll(picture: Timeline, symbols: Symbols, *, color: bool) -> None:
    """Show it until somebody presses `q`. Needs stdin and stdout to be terminals."""
    from rich.live import Live

    keys = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        with Live(console=console(sys.stdout, color=color), screen=True, auto_refresh=False) as live:
            _loop(live, picture, symbols)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, keys)


def _loop(live: object, picture: Timeline, symbols: Symbols) -> None:
    size, head, rows, seen = (0, 0), [], [], Scroll(0, 1)
    key = ""
    while key != "q":
        now = tuple(shutil.get_terminal_size())
        if now != size:
            share = seen.top / seen.count if seen.count else 0.0
            size = (now[0], now[1])
            drawing = Drawing(size[0], symbols)
            head, rows = drawing.head(picture), drawing.rows(picture)
            seen = _scroll_of(rows, max(1, size[1] - len(head) - 1)).to(int(share * len(rows)))
            key = " redraw"
        if key:
            _draw(live, head, rows, seen, size[0])
        key = _key(0.25)
        seen = seen.press(key)


def _scroll_of(rows: list[Row], height: int) -> Scroll:
    rounds = [place for place, row in enumerate(rows) if row.begins is not None]
    return Scroll(len(rows), height, rounds, [place for place, row in enumerate(rows) if row.violated])


def _draw(live: object, head: list[Line], rows: list[Row], seen: Scroll, width: int) -> None:
    from rich.live import Live
    from rich.text import Text

    assert isinstance(live, Live)
    lines = [*head, *(row.line for row in rows[seen.top : seen.bottom])]
    foot = f" {seen.bottom:,} of {seen.count:,}  {KEYS}"
    text = Text(no_wrap=True, overflow="crop")
    for line in (*lines, *([[]] * (seen.height - (seen.bottom - seen.top)))):
        for part, style in (*line, ("\n", "")):
            text.append(part, STYLES[style])
    text.append(foot[:width].ljust(width), "reverse")
    live.update(text, refresh=True)


def _key(wait: float) -> str:
    """The key that is pressed within `wait` seconds: a name, a character, or nothing; `q` where stdin has ended."""
    if not select.select([sys.stdin], [], [], wait)[0]:
        return ""
    data = os.read(sys.stdin.fileno(), 16)
    if data in (b"", b"\x04", b"\x1b"):
        return "q"
    return _ESCAPES.get(data, data.decode(errors="replace")[-1:])
