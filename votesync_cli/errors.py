"""What can go wrong in a verb: each error says in one sentence what is wrong, in another what to do, and with which exit code.

The codes are those of DESIGN section 7: 1 a check or the command failed, 2 usage, 3 inconclusive, 4 the environment,
124 timed out, 130 interrupted.
"""

from __future__ import annotations


class VotesyncError(Exception):
    """Base of every handled error of the command line; `app.py` prints it and ends with `exit_code`."""

    exit_code = 1

    def __init__(self, message: str, hint: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class CheckFailed(VotesyncError):
    """A check said no: the file breaks a rule, a client failed, a node is not well."""

    exit_code = 1


class CommandFailed(VotesyncError):
    """The command could not do what it was asked for."""

    exit_code = 1


class UsageError(VotesyncError):
    """The command was asked in a way that cannot be meant: a wrong option, a wrong value, an unknown node."""

    exit_code = 2


class ComposeFileError(UsageError):
    """The compose file says something that cannot be run; the message begins with `file:line:`."""

    def __init__(self, file: str, line: int, message: str, hint: str) -> None:
        super().__init__(f"{file}:{line}: {message}", hint)
        self.file = file
        self.line = line


class Inconclusive(VotesyncError):
    """There was nothing to check."""

    exit_code = 3


class EnvironmentFault(VotesyncError):
    """The machine is at fault: no Docker Engine, no permission, a port that is taken, a full disk."""

    exit_code = 4


class TimedOut(VotesyncError):
    """What was waited for did not come in time."""

    exit_code = 124


class Interrupted(VotesyncError):
    """Somebody pressed Ctrl-C, and what there was to undo has been undone."""

    exit_code = 130
