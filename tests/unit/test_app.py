"""The one place that catches: what a verb raises becomes an exit code."""

from __future__ import annotations

import pytest

from votesync_cli.app import run_verb
from votesync_cli.errors import TimedOut, UsageError
from votesync_cli.options import Common


def interrupted_twice() -> None:
    """What `Condition.wait` raises when Ctrl-C comes twice: its lock is no longer held when it should be given back."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise RuntimeError("release unlocked lock")  # noqa: B904  # the chain is what this is about


def raising(error: BaseException) -> int:
    def verb() -> None:
        raise error

    return run_verb(verb, False, {}, Common())


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("a", "b"), 2), (TimedOut("a", "b"), 124), (KeyboardInterrupt(), 130)],
    ids=["usage", "time", "Ctrl-C"],
)
def test_an_error_becomes_its_exit_code(error: BaseException, code: int) -> None:
    assert raising(error) == code


def test_a_second_ctrl_c_is_no_crash() -> None:
    assert run_verb(interrupted_twice, False, {}, Common()) == 130
