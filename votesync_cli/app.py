"""The command line: which verbs there are, one place that catches what goes wrong, and one that prints what came out.

A verb lives in `commands/<verb>.py`, as a function of the verb's name that returns a result (`results.Result`), an exit
code, or None; it is imported when it is called for, so that `--help` stays quick.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TextIO, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from votesync_cli.errors import VotesyncError
from votesync_cli.options import (
    Common,
    EngineOption,
    FileOption,
    JsonOption,
    NoColorOption,
    PlainOption,
    ProjectOption,
    common_parameters,
    engine_choice,
    take_common,
)


class Verb(NamedTuple):
    """A verb as `--help` shows it. `short_file`: whether -f is --file (`tail -f` follows).

    `signed_words`: its words may begin with a minus (`fault skew 3 -2s`), so what is no option is taken as a word.
    """

    help: str
    short_file: bool = True
    signed_words: bool = False


VERBS = {
    "generate": Verb("Write compose.yml."),
    "up": Verb("Start a cluster and wait until it has formed."),
    "down": Verb("Stop and remove what belongs to the project."),
    "ps": Verb("Show the services."),
    "status": Verb("Show what each node says: role, term, decided, written, lag, queue."),
    "tail": Verb("Show the votes as they happen.", short_file=False),
    "top": Verb("Show the whole cluster live: nodes, turns, links, rates, faults."),
    "who": Verb("Say who may write now, and who waits."),
    "explain": Verb("Say why a block stands here: its life from the client to the file."),
    "timeline": Verb("Draw the run as a space-time diagram."),
    "report": Verb("Make one page of a run: verdict, plots, votes, faults, fairness."),
    "wait": Verb("Wait until every client has finished."),
    "send": Verb("Send lines, from arguments or standard input, through a node."),
    "bench": Verb("Put load on the running cluster; say how fast it is."),
    "verify": Verb("Check that a file keeps the rules."),
    "kill": Verb("Kill a node at once (SIGKILL)."),
    "stop": Verb("Stop a node gently (SIGTERM)."),
    "start": Verb("Start a node that was stopped or killed."),
    "pause": Verb("Freeze a node without ending it."),
    "unpause": Verb("Let a frozen node go on."),
    "restart": Verb("Stop a node and start it again."),
    "fault": Verb("Make links and clocks fail: partition, cut, delay, drop, dup, reorder, skew.", signed_words=True),
    "chaos": Verb("Break things at random under load, heal them, and judge the result."),
    "runs": Verb("List the runs that are kept; show, keep, pack or prune them."),
    "completion": Verb("Print what makes bash, zsh or fish complete votesync's words."),
    "doctor": Verb("Say what this machine lacks, and the command that mends it."),
}


class _Verbs(TyperGroup):
    """The verbs, imported one at a time."""

    _only_named = False

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of `VERBS`."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb as a Typer command, or None where there is none of that name."""
        if self._only_named and cmd_name in VERBS:
            return TyperCommand(cmd_name, help=VERBS[cmd_name].help)
        return _command(cmd_name) if cmd_name in VERBS else None

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The verbs and options that begin so, told from the table: no verb is imported for its name."""
        self._only_named = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._only_named = False

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list for `--help`, from the table above: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.help) for name, verb in VERBS.items()])


app = typer.Typer(
    cls=_Verbs,
    name="votesync",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"votesync {version('votesync')}")
        except PackageNotFoundError:
            typer.echo("votesync, from a checkout")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    project: ProjectOption = None,
    file: FileOption = None,
    engine: EngineOption = None,
    json: JsonOption = False,
    no_color: NoColorOption = False,
    plain: PlainOption = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Nodes vote on the order of messages and write one shared file. Start with: votesync up"""
    del version  # its callback has done what there is to do
    try:
        ctx.obj = Common(project, file, engine_choice(engine), json, not no_color, plain)
    except VotesyncError as error:
        raise typer.Exit(report(error, sys.stderr)) from None


def _command(name: str) -> Any:
    """Import a verb and make a command of it."""
    try:
        module = importlib.import_module(f"votesync_cli.commands.{name}")
    except ModuleNotFoundError as error:
        hint = "Install votesync again."
        missing = VotesyncError(f"The verb {name} cannot be loaded: there is no {error.name}.", hint, 1)
        raise SystemExit(report(missing, sys.stderr)) from None
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    settings = {"ignore_unknown_options": VERBS[name].signed_words}
    single.command(name, context_settings=settings)(_guarded(getattr(module, name), VERBS[name]))
    return typer.main.get_command(single)


def _guarded(function: Callable[..., Any], verb: Verb) -> Callable[..., Any]:
    """The function with `common` spread into options, its errors caught and its result printed."""
    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "common"
    ]
    with_common = "common" in hints

    @functools.wraps(function)
    def call(ctx: typer.Context, **values: Any) -> None:
        raise typer.Exit(run_verb(function, with_common, values, ctx.obj or Common()))

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    shared = common_parameters(short_file=verb.short_file) if with_common else []
    parameters = [context, *own, *shared]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what `inspect.signature` looks for first
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def run_verb(function: Callable[..., Any], with_common: bool, values: dict[str, Any], defaults: Common) -> int:
    """Call a verb and print what it returns; the only place that catches. Returns the exit code."""
    common = defaults
    try:
        if with_common:
            common = take_common(values, defaults)
            values["common"] = common
        outcome = function(**values)
        if outcome is None or isinstance(outcome, int):
            return int(outcome or 0)
        _print(outcome, common)
        return int(outcome.exit_code)
    except VotesyncError as error:
        return report(error, sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _hush()
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001  # the last resort: whatever it is, nobody wants a traceback on the screen
        if _is_interrupt(error):
            return 130
        return _unexpected(traceback.format_exc(), common)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether this came of Ctrl-C: a second one while a lock is being taken again surfaces as the lock's complaint."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _print(result: Any, common: Common) -> None:
    """Print a result: JSON Lines, or as `views` shows it."""
    if common.json:
        import json

        for row in result.to_json():
            sys.stdout.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    else:
        from votesync_cli import views

        views.show(result, common)
    sys.stdout.flush()


def report(error: VotesyncError, stream: TextIO) -> int:
    """Say what is wrong and what to do; returns the exit code."""
    stream.write(f"votesync: {error.message}\n{error.hint}\n" if error.hint else f"votesync: {error.message}\n")
    return error.exit_code


def _unexpected(text: str, common: Common) -> int:
    """Keep the traceback in a file and say where."""
    start = common.file.parent if common.file is not None else Path()
    name = f"crash-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
    last = text.strip().splitlines()[-1]
    for directory in (start / ".votesync", Path(os.environ.get("TMPDIR", "/tmp"))):
        try:
            directory.mkdir(exist_ok=True)
            (directory / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        sys.stderr.write(f"votesync: something went wrong that should not: {last}\nPlease report it with {directory / name}.\n")
        return 1
    sys.stderr.write(f"votesync: something went wrong that should not: {last}\nPlease report it.\n")
    return 1


def _hush() -> int:
    """Whoever read our output has gone: point stdout nowhere, so that the interpreter's last flush says nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def main() -> None:
    """The entry point `votesync`."""
    if "_VOTESYNC_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # imported there, and there alone

        completion_init()
    try:
        app(prog_name="votesync")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(_hush())
