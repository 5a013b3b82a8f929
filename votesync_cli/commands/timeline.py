"""`votesync timeline`: the run as a space-time diagram, on the terminal or in a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from votesync_cli import belongings, runs
from votesync_cli.commands.context import name_of, say
from votesync_cli.commands.gathering import (
    HistoryOption,
    RunOption,
    Sources,
    VotesOption,
    gather,
    need_votes,
    resolved,
    sources,
)
from votesync_cli.compose import template_file
from votesync_cli.errors import EnvironmentFault, Inconclusive, UsageError
from votesync_cli.options import Common
from votesync_cli.recorded import Recorded
from votesync_cli.timeline import Choice, Timeline
from votesync_cli.timeline import timeline as drawn
from votesync_cli.timeline_html import html as as_html
from votesync_cli.timeline_shiviz import shiviz as as_shiviz
from votesync_cli.timeline_svg import svg as as_svg
from votesync_cli.timeline_verdict import failures, lines_of, mark, offsets_of

MANY = 300  # rounds above which one flat picture is hard to read

RoundsOption = Annotated[
    str | None, typer.Option("--rounds", metavar="A..B", help="Only these rounds: 12, 10..20, 10.., or ..20.")
]
LastOption = Annotated[int | None, typer.Option("-n", "--last", metavar="N", help="Only the last N rounds.")]
ClientsOption = Annotated[bool, typer.Option("--clients", help="A lane for each client's session too.")]
VerdictOption = Annotated[
    Path | None, typer.Option("--verdict", metavar="FILE", help="What `verify --json` printed: its violations are marked.")
]
SvgOption = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw it into an SVG file.")]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write one HTML page: zoom, point, filter, jump.")
]
ShivizOption = Annotated[Path | None, typer.Option("--shiviz", metavar="FILE", help="Write it in the log format of ShiViz.")]


def timeline(
    common: Common,
    rounds: RoundsOption = None,
    last: LastOption = None,
    clients: ClientsOption = False,
    svg: SvgOption = None,
    html: HtmlOption = None,
    shiviz: ShivizOption = None,
    verdict: VerdictOption = None,
    run: RunOption = None,
    votes: VotesOption = None,
    history: HistoryOption = None,
) -> Timeline | int:
    """Draw the run: a lane a node, arrows for ballots, votes and grants, a bar where a node holds the permission.

    On a terminal it scrolls (q ends it). It reads what was recorded, also after the cluster is gone.
    """
    run = resolved(common, run)
    chosen = sources(common, run, votes, history)
    found = gather(common, chosen)
    need_votes(found)
    failed = _failures(verdict) if verdict is not None else _kept_failures(run)
    picture = drawn(found, _choice(found, rounds, last, clients=clients))
    if not picture.marks:
        raise Inconclusive("The vote logs say nothing of these rounds.", _spoken_of(found))
    mark(picture, found, failed or [], _offsets(chosen, lines_of(failed or [])))
    title = f"votesync: {run.name if run is not None else name_of(common)}"
    if svg is None and html is None and shiviz is None:
        return _shown(picture, common)
    if svg is not None:
        _write(svg, as_svg(picture, title))
    if html is not None:
        template = template_file("timeline.html").read_text(encoding="utf-8")
        _write(html, [as_html(picture, template, title, judged=failed is not None)])
    if shiviz is not None:
        _write(shiviz, as_shiviz(picture))
    if svg is not None and len(picture.rounds) > MANY:
        say(f"The SVG has {len(picture.rounds):,} rounds: --rounds A..B draws some of them, and --html is made for many.")
    return 0


# --- what is asked for ---


def _choice(found: Recorded, rounds: str | None, last: int | None, *, clients: bool) -> Choice:
    """Which rounds.

    Raises: UsageError.
    """
    if rounds is not None and last is not None:
        raise UsageError("--rounds and --last exclude each other.", "Give one of them.")
    if last is not None:
        if last < 1:
            raise UsageError(f"--last takes 1 or more, not {last}.", "Say for example: --last 20")
        known = sorted({said.round for said in found.said if said.kind in ("ballot", "vote") and said.round is not None})
        return Choice(known[-last] if len(known) >= last else None, None, clients)
    if rounds is None:
        return Choice(None, None, clients)
    match = re.fullmatch(r"(\d{1,15})?(\.\.|-)?(\d{1,15})?", rounds)
    if match is None or (match[1] is None and match[3] is None):
        raise UsageError(f"--rounds takes A..B, not {rounds!r}.", "Say for example: --rounds 10..20")
    first = int(match[1]) if match[1] else None
    upto = int(match[3]) if match[3] else first if match[2] is None else None
    return Choice(first, upto, clients)


def _spoken_of(found: Recorded) -> str:
    known = [said.round for said in found.said if said.round is not None]
    return f"They speak of rounds {min(known)} to {max(known)}." if known else "Nothing was proposed in them."


def _failures(path: Path) -> list[Mapping[str, Any]]:
    """What failed in the verdict.

    Raises: UsageError, EnvironmentFault.
    """
    try:
        return failures(path.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}.", "Name what `verify --json` printed.") from error
    except ValueError:
        raise UsageError(f"{path} is no verdict.", "Make one: votesync verify --json > verdict.jsonl") from None


def _kept_failures(run: Path | None) -> list[Mapping[str, Any]] | None:
    """What failed when this run was verified; None where it never was."""
    rows = runs.verdict_of(run).get("verify") if run is not None else None
    return [row for row in rows if isinstance(row, dict) and row.get("status") == "FAIL"] if isinstance(rows, list) else None


def _offsets(chosen: Sources, lines: set[int]) -> dict[int, int]:
    if not lines or chosen.output is None:
        return {}
    with chosen.output.open("rb") as stream:
        return offsets_of(stream, lines)


# --- where it goes ---


def _write(path: Path, parts: Iterable[str]) -> None:
    belongings.write_file(path, "".join(parts))
    say(f"Wrote {path} ({path.stat().st_size:,} bytes).")


def _shown(picture: Timeline, common: Common) -> Timeline | int:
    """The picture, to be printed; 0 where it has been scrolled through."""
    if common.json or not common.redraw or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return picture
    from votesync_cli.views_scroll import scroll
    from votesync_cli.views_text import symbols_for

    scroll(picture, symbols_for(sys.stdout.encoding), color=common.color)
    return 0
