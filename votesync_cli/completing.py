"""What a shell offers after TAB: services and nodes of the compose file, words, names of kept runs. Cheap, and never an error.

Nothing is asked of a cluster, and the compose file is only looked through, for a TAB must be answered at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import typer

from votesync_cli.cluster import DEFAULT_FILE

MOST = 1024 * 1024  # bytes of a compose file that are looked at
RUNS = Path(".votesync/runs")
_SERVICE = re.compile(r"(?m)^(?: {2}| {4}|\t)([\w.-]+):[ \t]*(?:#.*)?$")

Completer = Callable[[typer.Context, str], list[str]]


def words(*known: str) -> Completer:
    """Offers these."""

    def offered(ctx: typer.Context, incomplete: str) -> list[str]:
        return _beginning(known, incomplete)

    return offered


def listed(*known: str) -> Completer:
    """Offers these, in a list with commas too: `kill,pa` becomes `kill,pause`."""

    def offered(ctx: typer.Context, incomplete: str) -> list[str]:
        done, comma, last = incomplete.rpartition(",")
        taken = done.split(",")
        return [f"{done}{comma}{word}" for word in _beginning(known, last) if word not in taken]

    return offered


def nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """A node: its id, its service, or its part."""
    found = [name for name in _services(ctx) if not name.startswith("client_")]
    return _beginning([*map(str, range(len(found))), "leader", "holder", *found], incomplete)


def services(ctx: typer.Context, incomplete: str) -> list[str]:
    """A service, or a node's id."""
    found = list(_services(ctx))
    ids = range(sum(not name.startswith("client_") for name in found))
    return _beginning([*map(str, ids), *found], incomplete)


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """A kept run."""
    place = _compose_file(ctx).parent / RUNS
    try:
        names = sorted((path.name for path in place.iterdir() if path.is_dir()), reverse=True)
    except OSError:
        return []
    return _beginning([*(["latest"] if names and "latest" not in names else []), *names], incomplete)


def runs_words(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `votesync runs` takes next: what to do, then a run."""
    match list(ctx.params.get("what") or []):
        case []:
            return _beginning(["list", "show", "keep", "pack", "prune"], incomplete)
        case ["show" | "pack"]:
            return runs(ctx, incomplete)
        case _:
            return []


def fault_words(ctx: typer.Context, incomplete: str) -> list[str]:
    """What `votesync fault` takes next: what to do, then nodes, or what to heal."""
    from votesync_cli.fault_words import KINDS

    said: list[str] = ctx.params.get("what") or []
    match list(said):
        case []:
            return _beginning([*KINDS, "list", "heal"], incomplete)
        case ["heal", *_]:
            return _beginning(KINDS, incomplete)
        case ["list", *_]:
            return []
        case _:
            many = sum(not name.startswith("client_") for name in _services(ctx))
            return _beginning([*map(str, range(many)), "leader", "holder", "all"], incomplete)


def _beginning(known: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in known if word.startswith(incomplete)]


def _services(ctx: typer.Context) -> Iterator[str]:
    """The names under `services:`; none where the file cannot be read."""
    try:
        with _compose_file(ctx).open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(MOST)
    except OSError:
        return
    section = re.search(r"(?m)^services:[ \t]*(?:#.*)?\n((?:[ \t#].*\n|\n)*)", text + "\n")
    if section is not None:
        lead = min((len(match[0]) - len(match[0].lstrip()) for match in _SERVICE.finditer(section[1])), default=0)
        for match in _SERVICE.finditer(section[1]):
            if len(match[0]) - len(match[0].lstrip()) == lead:
                yield match[1]


def _compose_file(ctx: typer.Context) -> Path:
    """The compose file that is named before the word, else the one here."""
    context: typer.Context | None = ctx
    while context is not None:
        for name in ("common_file", "file"):
            given = context.params.get(name)
            if given:
                return Path(given)
        context = context.parent  # type: ignore[assignment]  # the contexts of a Typer app are Typer's
    return Path(DEFAULT_FILE)
