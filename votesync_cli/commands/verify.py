"""`votesync verify`: gather the file and the evidence, have them checked, return the report."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from votesync_cli import belongings
from votesync_cli.commands.context import compose_file
from votesync_cli.errors import EnvironmentFault
from votesync_cli.options import Common
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.history import Histories, read_histories
from votesync_cli.verify.reader import Progress
from votesync_cli.verify.verdict import Report

_LARGE = 32 * 1024 * 1024  # bytes that are read before anybody wonders
_BAR_EVERY = 0.1  # seconds

FileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="The file to check; default: the project's shared_data/output.txt.")
]
HistoryOption = Annotated[
    Path | None, typer.Option("--history", metavar="DIR", help="The clients' histories; default: history/ beside the file.")
]


def verify(common: Common, file: FileArgument = None, history: HistoryOption = None) -> Report:
    """Check that a file keeps the rules; exit code 1 where it breaks one, 3 where there is nothing to check."""
    path = file if file is not None else compose_file(common).parent / "shared_data" / belongings.OUTPUT
    evidence = Evidence(histories=_histories(path, history))
    try:
        size = path.stat().st_size
        return check(path, evidence, _bar(size))
    except OSError as error:
        raise _unreadable(path, error) from error


def _histories(file: Path, given: Path | None) -> Histories | None:
    """The histories of a directory (or one file), None where nobody named one and there is none beside the file."""
    place = given if given is not None else file.parent / belongings.HISTORY
    try:
        if given is None and not place.is_dir():
            return None
        paths = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
        return read_histories(paths) if paths else None
    except OSError as error:
        raise _unreadable(place, error) from error


def _bar(size: int) -> Progress | None:
    """Percents on a terminal's stderr, ten times a second at most; None where nobody looks or the file is small."""
    if size < _LARGE or not sys.stderr.isatty():
        return None
    shown = time.monotonic()

    def tell(done: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _BAR_EVERY or done >= size:
            shown = now
            sys.stderr.write("\r\x1b[K" if done >= size else f"\rverify {done * 100 // size:3d} % of {size:,} bytes")
            sys.stderr.flush()

    return tell


def _unreadable(path: Path, error: OSError) -> EnvironmentFault:
    hint = "Name the file: votesync verify FILE." if isinstance(error, FileNotFoundError) else "Look at its permissions."
    return EnvironmentFault(f"{path} cannot be read: {error.strerror or error}.", hint)
