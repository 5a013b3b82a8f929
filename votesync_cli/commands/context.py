"""What every verb begins with: the project that is meant, the engine it runs on, and somewhere to say how it goes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from votesync_cli import engines
from votesync_cli.cluster import DEFAULT_FILE, project_name
from votesync_cli.compose import ComposeProject, load
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.errors import CommandFailed, UsageError, VotesyncError
from votesync_cli.options import Common

T = TypeVar("T")

POLL = 0.2  # seconds between two looks at something that is waited for


def say(text: str) -> None:
    """One line of progress, on stderr: data alone goes to stdout. That nobody reads it any more stops no work."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def compose_file(common: Common) -> Path:
    """The compose file that is meant, whether it exists or not; absolute."""
    return (common.file or Path(DEFAULT_FILE)).absolute()


def name_of(common: Common) -> str:
    """The project's name.

    Raises: UsageError.
    """
    return project_name(common.project, os.environ, compose_file(common).parent.resolve().name)


def read_project(common: Common) -> ComposeProject:
    """Read the compose file.

    Raises: UsageError, ComposeFileError, EnvironmentFault.
    """
    return load(compose_file(common), name_of(common))


def read_or_bare(common: Common) -> ComposeProject:
    """The project; without services where the file is missing or broken, for `down` must find what runs all the same."""
    try:
        return read_project(common)
    except UsageError as error:
        file = compose_file(common)
        if file.exists():
            say(f"{error.message} Going on without the file.")
        return ComposeProject(name=name_of(common), directory=file.parent.resolve(), file=file, services=())


@contextlib.contextmanager
def open_engine(common: Common, project: ComposeProject) -> Iterator[Engine]:
    """The engine that this project runs on, closed in the end.

    Raises: EnvironmentFault.
    """
    engine = engines.select(common.engine or "auto", project.name, project.state_dir, say)
    try:
        yield engine
    finally:
        engine.close()


def existing(engine: Engine, project: ComposeProject, name: str) -> Observed:
    """A service as it runs.

    Raises: CommandFailed where it does not exist.
    """
    for observed in engine.observe(project):
        if observed.service == name:
            return observed
    raise CommandFailed(
        f"{name} of project {project.name} does not exist on the {engine.name} engine.", "Start it with `votesync up`."
    )


def each(items: Sequence[str], ask: Callable[[str], T]) -> dict[str, T | VotesyncError]:
    """Ask something of several services at once; what goes wrong with one is its answer."""
    from concurrent.futures import ThreadPoolExecutor

    def asked(item: str) -> T | VotesyncError:
        try:
            return ask(item)
        except VotesyncError as error:
            return error

    if not items:
        return {}
    with ThreadPoolExecutor(min(8, len(items))) as pool:
        return dict(zip(items, pool.map(asked, items), strict=True))


def last_lines(engine: Engine, project: ComposeProject, name: str, count: int = 10) -> list[str]:
    """The last lines that a service wrote; none where the engine cannot say."""
    from collections import deque

    try:
        kept = deque((line.line for line in engine.logs(project, [name], follow=False, since=None)), maxlen=count)
    except VotesyncError:
        return []
    return list(kept)
