"""The options that several verbs share, each declared once, and `Common`: those that every verb takes.

A verb is a function whose first parameter is `common: Common`; `app.py` spreads it into the options below.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from votesync_cli import completing

EngineChoice = Literal["auto", "docker", "local"]


@dataclass(frozen=True, slots=True)
class Common:
    """What every verb is told. `file` is the compose file, `engine` None where nobody chose, `json` for JSON Lines.

    How things look is decided here for all of them: `plain` is words alone, and `redraw` whether what is on the screen
    may be drawn over.
    """

    project: str | None = None
    file: Path | None = None
    engine: EngineChoice | None = None
    json: bool = False
    color: bool = True
    plain: bool = False
    redraw: bool = True


ProjectOption = Annotated[
    str | None, typer.Option("-p", "--project-name", metavar="NAME", help="The project; default: the directory's name.")
]
FileOption = Annotated[
    Path | None, typer.Option("-f", "--file", metavar="FILE", help="The compose file; default: compose.yml here.")
]
LongFileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="The compose file; default: compose.yml here.")
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="auto|docker|local",
        help="What runs the services; default: auto.",
        autocompletion=completing.words("auto", "docker", "local"),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON Lines.")]
NoColorOption = Annotated[bool, typer.Option("--no-color", help="No colours (NO_COLOR does the same).")]
PlainOption = Annotated[
    bool, typer.Option("--plain", help="Words alone, one fact a line, for screen readers (or VOTESYNC_PLAIN=1).")
]

NodeArgument = Annotated[
    str,
    typer.Argument(
        metavar="NODE",
        help="A node's id, a service's name, leader, or holder (who may write now).",
        autocompletion=completing.nodes,
    ),
]
TimeoutOption = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait at most.")]

NodesOption = Annotated[int | None, typer.Option("--nodes", "-N", metavar="N", help="How many nodes, 1 to 64; default: 5.")]
MessagesOption = Annotated[int | None, typer.Option("--messages", metavar="N", help="Messages each client sends; default: 50.")]
RateOption = Annotated[
    float | None, typer.Option("--rate", metavar="R", help="Messages a second each client sends; 0: no limit.")
]
InFlightOption = Annotated[
    int | None, typer.Option("--in-flight", metavar="N", help="Messages a client may have unacknowledged; default: 1.")
]
WriterOption = Annotated[
    str | None,
    typer.Option(
        "--writer",
        metavar="turns|winner",
        help="Who writes a round: each node its own, or the winner all.",
        autocompletion=completing.words("turns", "winner"),
    ),
]
RoundWindowOption = Annotated[
    float | None, typer.Option("--round-window", metavar="MS", help="How long a round waits for messages; default: 10.")
]
ElectionMinOption = Annotated[
    float | None, typer.Option("--election-min", metavar="MS", help="Least election timeout; default: 400.")
]
ElectionMaxOption = Annotated[
    float | None, typer.Option("--election-max", metavar="MS", help="Greatest election timeout; default: 800.")
]
HeartbeatOption = Annotated[
    float | None, typer.Option("--heartbeat", metavar="MS", help="How often a leader is heard at least; default: 80.")
]
BaseImageOption = Annotated[
    str | None,
    typer.Option("--base-image", metavar="IMAGE", help="Any image with Python 3.11 or newer; or VOTESYNC_BASE_IMAGE."),
]
PublishOption = Annotated[
    int | None, typer.Option("--publish", metavar="PORT", help="Publish node i on 127.0.0.1:PORT+i; default: nothing.")
]
FaultsOption = Annotated[
    bool | None, typer.Option("--faults/--no-faults", help="Let faults be injected into the nodes' links.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Write the compose file over one that was edited or is not ours.")]


def common_parameters(*, short_file: bool) -> list[inspect.Parameter]:
    """The parameters that stand for `Common` in a verb's signature."""
    kinds: list[tuple[str, object, object]] = [
        ("project", ProjectOption, None),
        ("file", FileOption if short_file else LongFileOption, None),
        ("engine", EngineOption, None),
        ("json", JsonOption, False),
        ("no_color", NoColorOption, False),
        ("plain", PlainOption, False),
    ]
    return [
        inspect.Parameter(f"common_{name}", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, kind, default in kinds
    ]


def take_common(values: dict[str, object], defaults: Common) -> Common:
    """Take the parameters of `common_parameters` out of `values`; `defaults` is what stood before the verb.

    Raises: UsageError for an engine that there is not.
    """
    project, file, engine, json, no_color, spoken = (
        values.pop(f"common_{name}") for name in ("project", "file", "engine", "json", "no_color", "plain")
    )
    plain = bool(spoken) or defaults.plain or os.environ.get("VOTESYNC_PLAIN", "").lower() not in _NO
    dumb = os.environ.get("TERM") == "dumb"
    return Common(
        project=project if isinstance(project, str) else defaults.project,
        file=file if isinstance(file, Path) else defaults.file,
        engine=engine_choice(engine) if isinstance(engine, str) else defaults.engine,
        json=bool(json) or defaults.json,
        color=defaults.color and not no_color and not os.environ.get("NO_COLOR") and not dumb and not plain,
        plain=plain,
        redraw=not dumb and not plain,
    )


_NO = frozenset({"", "0", "no", "false", "off"})


def engine_choice(text: str | None) -> EngineChoice | None:
    """The engine that is meant.

    Raises: UsageError.
    """
    from votesync_cli.errors import UsageError

    match text:
        case None | "auto" | "docker" | "local":
            return text
        case _:
            raise UsageError(f"There is no engine {text!r}.", "Choose auto, docker or local.")


# how an option of `generate` and `up` is called -> the field of `ClusterSpec` that it sets
_SPEC_FIELDS = {
    "nodes": "nodes",
    "messages": "messages",
    "rate": "rate",
    "in_flight": "in_flight",
    "writer": "writer",
    "round_window": "round_window_ms",
    "election_min": "election_min_ms",
    "election_max": "election_max_ms",
    "heartbeat": "heartbeat_ms",
    "base_image": "base_image",
    "publish": "publish",
    "faults": "faults",
}


def asked_of(values: Mapping[str, object]) -> dict[str, object]:
    """Out of a verb's parameters, those that shape the cluster, by the names of `ClusterSpec`; None: not asked for."""
    return {field: values[name] for name, field in _SPEC_FIELDS.items()}
