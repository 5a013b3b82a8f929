"""`votesync completion SHELL`: the script that lets a shell complete verbs, options and values."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Annotated

import typer

from votesync_cli import completing
from votesync_cli.errors import UsageError
from votesync_cli.results import Said

PROGRAM, VARIABLE = "votesync", "_VOTESYNC_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

ShellArgument = Annotated[
    str | None,
    typer.Argument(metavar="[bash|zsh|fish]", help="Default: $SHELL.", autocompletion=completing.words(*SHELLS)),
]


def completion(shell: ShellArgument = None) -> Said:
    """Print the script that makes a shell complete verbs, options, nodes and runs after TAB.

    bash: `source <(votesync completion bash)` in ~/.bashrc. zsh: the same with zsh in ~/.zshrc, after compinit.
    fish: `votesync completion fish > ~/.config/fish/completions/votesync.fish`.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # imported there, and there alone

    name = shell or PurePath(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise UsageError(f"There is no completion for the shell {name!r}.", f"Choose {', '.join(SHELLS)}.")
    return Said("completion", get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=name), {"shell": name})
