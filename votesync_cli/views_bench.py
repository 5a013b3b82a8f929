"""The live table of `bench`, on stderr, gone when the load is over."""

from __future__ import annotations

import sys
from types import TracebackType

from votesync_cli.bench_model import Moment
from votesync_cli.views import STYLES, console
from votesync_cli.views_text import sparkline, symbols_for


class LiveTable:
    """Draws one moment over the one before."""

    def __init__(self, seconds: float, *, color: bool) -> None:
        from rich.live import Live

        self._seconds = seconds
        self._symbols = symbols_for(sys.stderr.encoding)
        shown = console(sys.stderr, color=color)
        shown.soft_wrap = False
        self._live = Live(console=shown, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def show(self, moment: Moment) -> None:
        """Draw it."""
        from rich.text import Text

        head, *rows = moment.table().to_text().splitlines()
        text = Text(no_wrap=True, overflow="crop")
        text.append(head + "\n", STYLES["head"])
        text.append("\n".join(rows) + "\n")
        text.append(sparkline(moment.rates, self._symbols), STYLES["yes"])
        text.append(f"\n{moment.sentence()}  of {self._seconds:g} s", STYLES["dim"])
        self._live.update(text, refresh=True)
