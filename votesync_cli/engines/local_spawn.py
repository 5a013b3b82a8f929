"""Starting a service so that it outlives this program, and learning later how it ended.

A service runs under a supervisor, which is a shell of a few lines: it starts the service's process, waits for it, and
writes the exit code into a file. Why a shell: somebody has to be the parent to learn an exit code, the CLI is gone by
then, and a shell costs about 150 KB where a second Python would cost as much as the node itself. SIGKILL of the node shows
as 137, the way docker shows it.

The supervisor is in a session of its own without a terminal, so closing the terminal reaches neither of the two. The
shell that makes the session starts the supervisor in the background and ends at once: the supervisor is then nobody's
child here, and no zombie stays behind in a program that goes on (a test, a library's user).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from votesync_cli.engines.local_processes import MARK, PART
from votesync_cli.errors import EnvironmentFault

# $1 = MARK=… (for `ps`), $2 = the file for the exit code, the rest = the command. Descriptor 1 is a pipe to whoever
# asked, 2 the log. SIGPIPE is ignored only after the service was forked, so the service does not inherit that; nobody
# reading any more must not end the supervisor. A signal interrupts `wait`: it goes on as long as the child lives.
_SUPERVISOR = f"""
exit_file=$2
shift 2
{{
  {PART}=1 "$@" >&2 &
  child=$!
  trap '' PIPE
  trap : HUP TERM
  echo "service=$child" 2>/dev/null
  exec >/dev/null 2>&1
  wait "$child"
  code=$?
  while [ "$code" -gt 128 ] && kill -0 "$child"; do
    wait "$child"
    code=$?
  done
  echo "$code" >"$exit_file"
}} &
echo "supervisor=$!"
"""


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    mark: str,
    log: Path,
    exit_file: Path,
    user: tuple[int, int] | None,
    keep: Sequence[int] = (),
) -> tuple[int, int]:
    """Start the command under a supervisor; returns the pids of the supervisor and of the command's own process.

    Its output is appended to `log`; its working directory is the log's. `user` (uid, gid) is whom to run as, where
    this program is root and its caller is not. `keep` are descriptors that both processes inherit.

    Raises: EnvironmentFault where the machine cannot start it.
    """
    try:
        with log.open("ab", buffering=0) as output:
            if user is not None:
                os.fchown(output.fileno(), *user)
            made = subprocess.run(
                ["/bin/sh", "-c", _SUPERVISOR, "votesync-local", f"{MARK}={mark}", str(exit_file), *command],
                env={**environment, MARK: mark},
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
                pass_fds=keep,
                check=True,
                **as_user(user),
            )
        pids = dict(word.split("=") for word in made.stdout.decode("ascii").split())
        return int(pids["supervisor"]), int(pids["service"])
    except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
        raise EnvironmentFault(
            f"A process for {log.stem} cannot be started: {error}.",
            "Look at the limits of this user (ulimit -u -n) and free some memory.",
        ) from None


def as_user(user: tuple[int, int] | None) -> dict[str, Any]:
    """What `subprocess` needs to run a program as this (uid, gid), and with no group besides."""
    return {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}


def exit_code(exit_file: Path) -> int | None:
    """What the supervisor wrote; None while it has not."""
    try:
        text = exit_file.read_text("ascii")
    except FileNotFoundError:
        return None
    return int(text) if text.endswith("\n") and text.strip().isdigit() else None
