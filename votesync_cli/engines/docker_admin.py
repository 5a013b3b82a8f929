"""Asking a node's admin socket: straight through its mounted directory where kernel and files are ours, else from inside.

`docker exec` starts three processes and a Python for each question; on a busy machine that takes seconds for five
nodes, and slows down the cluster that is asked about. The socket in the mounted directory answers in milliseconds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from node_runtime import ctl
from votesync_cli.engines.base import Finished
from votesync_cli.errors import CommandFailed, TimedOut


def ask_directly(directory: Path, name: str, request: dict[str, object], timeout: float) -> dict[str, object] | None:
    """The node's answer, or None where its socket cannot be reached from here (another kernel, another user).

    Raises: TimedOut where the node has the question and does not answer.
    """
    try:
        return ctl.ask(str(directory), request, timeout)
    except TimeoutError:
        raise TimedOut(
            f"{name} did not answer within {timeout:g} seconds.", "See how it is with `votesync ps`, or give it more time."
        ) from None
    except (OSError, ValueError):
        return None


def ask_inside(run: Callable[[Sequence[str]], Finished], name: str, request: dict[str, object]) -> dict[str, object]:
    """The node's answer by way of a command in its container.

    Raises: CommandFailed where the node does not answer, and whatever `run` raises.
    """
    done = run(["python", "-m", "node_runtime", "ctl", json.dumps(request)])
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    answer = None
    with contextlib.suppress(ValueError, IndexError):
        answer = json.loads(lines[-1])
    if not isinstance(answer, dict):
        said = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split()[-40:]) or f"exit code {done.code}"
        raise CommandFailed(f"{name} does not answer: {said}.", "See how it is with `votesync ps`.")
    return answer
