"""Removing old runs: only directories that votesync made, only what it put there, and only when told.

A run that is open, and the one that `latest` leads to, stay unless that is asked for. Links are removed, never followed.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from votesync_cli import runs
from votesync_cli.errors import EnvironmentFault, UsageError

_AGE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(s|m|h|d|w)?\Z")
_GRAVE = ".removing-"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class Choice:
    """One run and what is to become of it: it goes, or `why` it stays though its age would have it gone."""

    run: runs.Run
    size: int
    why: str = ""

    @property
    def goes(self) -> bool:
        """Whether it is to be removed."""
        return not self.why


def age_of(text: str) -> timedelta:
    """`30m`, `12h`, `7d`, `2w`; a bare number is days.

    Raises: UsageError.
    """
    match = _AGE.match(text)
    if match is None:
        raise UsageError(f"--older-than cannot be {text!r}.", "It takes an age: 12h, 7d, 2w.")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2] or "d"])


def choose(
    directory: Path, now: datetime, *, keep: int | None, older_than: timedelta | None, even_latest: bool
) -> tuple[Choice, ...]:
    """The runs that are beyond the newest `keep` and older than `older_than` (both, where both are given), oldest first."""
    known = runs.listed(directory)
    beyond = known if keep is None else known[: max(0, len(known) - keep)]
    old = [run for run in beyond if older_than is None or now - (run.ended or run.started) > older_than]
    newest = runs.latest(directory)
    return tuple(Choice(run, runs.disk_size(run.path), _reason(run, newest, even_latest=even_latest)) for run in old)


def _reason(run: runs.Run, newest: runs.Run | None, *, even_latest: bool) -> str:
    if run.state == "open":
        return "it is open: its cluster was not removed"
    if newest is not None and run.name == newest.name and not even_latest:
        return "it is the latest one (--even-latest)"
    strange = sorted(entry.name for entry in run.path.iterdir() if not _is_ours(entry.name))
    return f"it holds {strange[0]}, which votesync did not put there" if strange else ""


def _is_ours(name: str) -> bool:
    return name in runs.OURS or name.startswith((runs.DRAFT, f".{runs.MARKER}.", f".{runs.VERDICT}."))


def remove(chosen: Sequence[Choice], directory: Path) -> None:
    """Remove those that go.

    A run loses its name first, so that one that is half removed is none. Raises: EnvironmentFault.
    """
    for left in directory.glob(f"{_GRAVE}*"):
        if not left.is_symlink() and runs.is_name(left.name.removeprefix(_GRAVE)):
            shutil.rmtree(left, ignore_errors=True)  # of a removal that was cut off
    for choice in chosen:
        path = choice.run.path
        if not choice.goes:
            continue
        try:
            if path.is_symlink() or runs.read(path) is None or path.parent != directory:
                continue  # it is not any more what was chosen
            grave = path.with_name(_GRAVE + path.name)
            path.rename(grave)
            shutil.rmtree(grave)
        except OSError as error:
            raise EnvironmentFault(f"{path} cannot be removed: {error.strerror}.", "Look at its permissions.") from None
    runs.point_latest(directory)
