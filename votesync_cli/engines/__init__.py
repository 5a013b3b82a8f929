"""Which engine runs the services: the one that was asked for, the one that this project runs on, or docker where it answers.

`up` writes the choice down under `.votesync/`, so that the verbs after it look at the same place.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from votesync_cli.belongings import give, write_file
from votesync_cli.engines.base import Engine
from votesync_cli.errors import EnvironmentFault, VotesyncError

DOCKER_ANSWERS_WITHIN = 2.0  # seconds


def select(choice: str, project: str, state_dir: Path, say: Callable[[str], None]) -> Engine:
    """The engine to use; `say` gets one line on which it is and why, unless it was asked for.

    `choice` is auto, docker or local. Raises: EnvironmentFault where docker is asked for and does not answer.
    """
    if choice == "auto":
        noted = noted_engine(project, state_dir)
        if noted is not None:
            return open_engine(noted)
        try:
            engine = open_engine("docker")
        except VotesyncError as error:
            say(f"Using the local engine (processes on loopback), since docker cannot be used: {error.message}")
            return open_engine("local")
        say("Using the docker engine, since its daemon answers.")
        return engine
    return open_engine(choice)


def open_engine(name: str) -> Engine:
    """The engine of this name.

    Raises: EnvironmentFault where docker does not answer.
    """
    if name == "docker":
        from votesync_cli.engines.docker import DockerEngine

        return DockerEngine.connect(DOCKER_ANSWERS_WITHIN)
    from votesync_cli.engines.local import LocalEngine

    return LocalEngine()


@contextlib.contextmanager
def alone(project: str, state_dir: Path) -> Iterator[None]:
    """Hold off a second `up` of this project meanwhile: each would take back, at its end, what the other one made.

    Raises: EnvironmentFault where one is at work.
    """
    from votesync_cli.engines.local_state import busy, locked

    lock = state_dir / f"up-{project}"
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # whoever writes there next says so in better words
            if not state_dir.exists():
                state_dir.mkdir(parents=True)
                give(state_dir)
                held.callback(_remove_empty, state_dir)
        if os.access(state_dir, os.W_OK | os.X_OK):
            held.enter_context(locked(lock, 0.0, busy(project)))
            held.callback(lock.unlink, missing_ok=True)
        yield


def _remove_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):  # something is kept there by now
        directory.rmdir()


def noted_engine(project: str, state_dir: Path) -> str | None:
    """The engine that `up` noted for this project, or None."""
    with contextlib.suppress(OSError):
        text = _note(project, state_dir).read_text(encoding="utf-8").strip()
        if text in {"docker", "local"}:
            return text
    return None


def note_engine(project: str, state_dir: Path, name: str | None) -> None:
    """Note the engine for the verbs to come; None forgets it.

    Raises: EnvironmentFault.
    """
    note = _note(project, state_dir)
    if name is not None:
        write_file(note, name + "\n")
        return
    try:
        note.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{note} cannot be removed: {error.strerror}.", "Make its directory writable for you.") from None


def _note(project: str, state_dir: Path) -> Path:
    return state_dir / f"engine-{project}"
