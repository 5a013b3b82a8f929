"""Kept runs on disk: `.votesync/runs/<UTC time>/`, what marks such a directory as ours, and which run a word means.

A run is a directory with `run.json`, its marker and summary; without one, a directory is somebody else's. `up` opens a run,
`down` fills it and ends it. `latest` is a relative link to the newest one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from votesync_cli.belongings import OUTPUT, give, write_file
from votesync_cli.errors import EnvironmentFault, UsageError

RUNS = "runs"
LATEST = "latest"
MARKER = "run.json"
COMPOSE = "compose.yml"
SETTINGS = "settings.json"
VERDICT = "verdict.json"
DEEDS = "faults.jsonl"
VOTES = "votes"
CLIENTS = "clients"
HISTORY = "history"
JOURNALS = "journals"
CHAOS = "chaos"
LOCK = ".lock"
DRAFT = ".new-"  # what is being gathered has a name that begins so
GATHERED = (VOTES, CLIENTS, HISTORY, JOURNALS, CHAOS, OUTPUT)  # what is copied from the cluster and from the project
LOG_OF = "the log of"  # how a service's log is called among what is missing
REPORT = "report.html"
OURS = frozenset({MARKER, COMPOSE, SETTINGS, VERDICT, DEEDS, REPORT, LOCK, *GATHERED})

_FORMAT = 1
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)(?:-(\d{1,6}))?\Z")
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Run:
    """What `run.json` says. `kept` is when evidence was gathered last, `ended` when the cluster was removed.

    `gathering`: the evidence was being replaced, so what lies there may not fit together. `moment` is (boot, monotonic
    microseconds) when output.txt had `size` bytes, for which the other evidence speaks. `missing` says what was not kept,
    and why. `chaos` names records under `.votesync/chaos/`. `continues` is the run whose file this one went on with,
    when it had `begins_at` bytes. `final`: the evidence was gathered right before the cluster was removed.
    """

    path: Path
    project: str
    engine: str
    nodes: int
    clients: int
    started: datetime
    kept: datetime | None = None
    ended: datetime | None = None
    gathering: bool = False
    messages: int | None = None
    rounds: int | None = None
    moment: tuple[str, int] = ("", 0)
    size: int | None = None
    missing: tuple[str, ...] = ()
    chaos: tuple[str, ...] = ()
    continues: str = ""
    begins_at: int = 0
    final: bool = False

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.name

    @property
    def state(self) -> str:
        """open (its cluster was not removed yet), kept, half (a gathering was cut off), or lost (ended with no evidence)."""
        if self.gathering:
            return "half"
        if self.ended is None:
            return "open"
        return "kept" if self.kept is not None else "lost"

    def to_json(self) -> dict[str, Any]:
        """What stands in `run.json`."""
        return {
            "votesync": "run", "format": _FORMAT, "run": self.name, "project": self.project, "engine": self.engine,
            "nodes": self.nodes, "clients": self.clients, "started": said(self.started), "kept": said(self.kept),
            "ended": said(self.ended), "gathering": self.gathering, "messages": self.messages, "rounds": self.rounds,
            "moment": list(self.moment), "size": self.size, "missing": list(self.missing), "chaos": list(self.chaos),
            "continues": self.continues, "begins_at": self.begins_at,
            "final": self.final,
        }  # fmt: skip


def now() -> datetime:
    """The time as a run notes it, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def said(at: datetime | None) -> str | None:
    """`2026-11-24T02:31:07Z`."""
    return at.astimezone(UTC).strftime(_MOMENT) if at is not None else None


def place(state_dir: Path) -> Path:
    """Where a project's runs are kept."""
    return state_dir / RUNS


def name_of(at: datetime) -> str:
    """`2026-11-24T02-31-07Z`: a name that every file system and shell takes as it is."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")


def is_name(text: str) -> bool:
    """Whether this is how a run is called."""
    return _NAME.match(text) is not None


def make(runs: Path, at: datetime) -> Path:
    """Make a directory for a run; a suffix where the name is taken.

    Raises: EnvironmentFault.
    """
    try:
        for directory in (runs.parent, runs):
            if not directory.is_dir():
                directory.mkdir(parents=True)
                give(directory)
        number = 1
        while True:
            path = runs / (name_of(at) if number == 1 else f"{name_of(at)}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
                continue
            give(path)
            return path
    except OSError as error:
        raise EnvironmentFault(f"{runs} cannot be written: {error.strerror}.", "Make it writable for you.") from None


def read(path: Path) -> Run | None:
    """The run in this directory, or None where no marker says that it is one."""
    try:
        marker = path / MARKER
        if marker.is_symlink():
            return None
        data = json.loads(marker.read_text(encoding="utf-8"))
        return _from_json(path, data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def write(run: Run) -> Run:
    """Write the marker, whole or not at all.

    Raises: EnvironmentFault.
    """
    write_file(run.path / MARKER, json.dumps(run.to_json(), indent=1, ensure_ascii=False) + "\n")
    return run


def listed(runs: Path) -> list[Run]:
    """All runs that are kept there, oldest first. Links are not followed, and what has no marker is passed over."""
    try:
        with os.scandir(runs) as entries:
            names = [entry.name for entry in entries if is_name(entry.name) and entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    found = (read(runs / name) for name in sorted(names, key=_order))
    return [run for run in found if run is not None]


def open_runs(runs: Path, project: str) -> list[Run]:
    """The runs of this project that have not ended, oldest first; the last one is that of the cluster that runs."""
    return [run for run in listed(runs) if run.project == project and run.ended is None]


def point_latest(runs: Path) -> None:
    """Let `latest` lead to the newest run. Where links cannot be made there is none: the newest run is found without it.

    A file or directory of this name that is no link is left alone.
    """
    link, found = runs / LATEST, listed(runs)
    if link.exists() and not link.is_symlink():
        return
    with contextlib.suppress(OSError):
        if not found:
            link.unlink(missing_ok=True)
            return
        draft = runs / f".{LATEST}-{os.getpid()}"
        draft.unlink(missing_ok=True)
        draft.symlink_to(found[-1].name)
        draft.replace(link)


def latest(runs: Path) -> Run | None:
    """The run that `latest` leads to, else the newest."""
    with contextlib.suppress(OSError):
        target = Path(os.readlink(runs / LATEST))
        run = read(runs / target.name) if is_name(target.name) else None
        if run is not None:
            return run
    return next(iter(reversed(listed(runs))), None)


def find(text: str, runs: Path) -> Run:
    """The run that is meant: `latest`, a name, or the beginning of exactly one.

    Raises: UsageError.
    """
    known = listed(runs)
    if not known:
        raise UsageError(f"No run is kept in {runs}.", "`votesync up` opens one and `votesync down` fills it.")
    if text == LATEST and (newest := latest(runs)) is not None:
        return newest
    exact = [run for run in known if run.name == text]
    fitting = exact or [run for run in known if text and run.name.startswith(text)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(run.name for run in (fitting or known)[-5:])
    if fitting:
        raise UsageError(f"{text!r} is the beginning of {len(fitting)} runs.", f"Say more of it: {names}.")
    raise UsageError(f"There is no run {text!r}.", f"Say latest, or one of: {names}.")


def before(run: Run) -> list[Run]:
    """The runs whose file this one goes on with, oldest first, as far back as their vote logs tell of all of it.

    Where a log is missing, or the file has grown while nobody kept anything, that a node said nothing would prove nothing.
    """
    found = [run]
    while is_name(found[0].continues):
        earlier = read(run.path.parent / found[0].continues)
        if earlier is None or not has_all_votes(earlier) or earlier.size != found[0].begins_at or earlier in found:
            break
        found.insert(0, earlier)
    return found[:-1]


def has_all_votes(run: Run) -> bool:
    """Whether the vote logs of all nodes were kept, to their ends."""
    logs = len(list((run.path / VOTES).glob("*.log")))
    return run.state == "kept" and run.final and logs == run.nodes and not any(w.startswith(LOG_OF) for w in run.missing)


# --- what belongs to a run ---


def verdict_of(path: Path) -> Mapping[str, Any]:
    """What `verify` and `chaos` said last, as in `verdict.json`; empty where neither has."""
    try:
        data = json.loads((path / VERDICT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def note_verdict(run: Run, by: str, rows: list[dict[str, Any]], at: datetime) -> None:
    """Write down what `verify` or `chaos` said; `rows` is what it prints with --json. The other one's words stay.

    Raises: EnvironmentFault.
    """
    before = {key: value for key, value in verdict_of(run.path).items() if key in {"verify", "chaos"}}
    word = next((row["verdict"] for row in reversed(rows) if "verdict" in row), "INCONCLUSIVE")
    data = {"verdict": word, "by": by, "at": said(at), **before, by: [_without_places(row) for row in rows]}
    write_file(run.path / VERDICT, json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n")


def _without_places(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that names no directory of this machine: what is packed is for others."""
    return {key: os.path.basename(value) if key in {"file", "record"} else value for key, value in row.items()}


def note_deed(run: Run, deed: Mapping[str, Any]) -> None:
    """Add a line on what somebody broke or mended by hand.

    Raises: OSError.
    """
    path = run.path / DEEDS
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(deed, ensure_ascii=False) + "\n")
    give(path)


def files_of(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file below a directory, in order of its name relative to it; links are not followed."""
    for root, directories, names in os.walk(path):
        directories[:] = sorted(name for name in directories if not name.startswith(DRAFT))
        for name in sorted(names):
            file = Path(root) / name
            with contextlib.suppress(OSError):
                status = file.lstat()
                if not file.is_symlink() and file.is_file():
                    yield file.relative_to(path).as_posix(), status


def disk_size(path: Path) -> int:
    """Bytes that the run takes on the disk."""
    return sum(status.st_blocks * 512 for _, status in files_of(path))


def _order(name: str) -> tuple[str, int]:
    match = _NAME.match(name)
    return (match[1], int(match[2] or 1)) if match else (name, 0)


def _from_json(path: Path, data: Mapping[str, Any]) -> Run:
    if data["votesync"] != "run" or data["format"] != _FORMAT:
        raise ValueError("not the marker of a run")
    boot, mono = data["moment"]
    counts = {name: None if data.get(name) is None else int(data[name]) for name in ("messages", "rounds", "size")}
    started = _moment(data["started"])
    if started is None:
        raise ValueError("a run began at some time")
    return Run(
        path=path, project=str(data["project"]), engine=str(data["engine"]), nodes=int(data["nodes"]),
        clients=int(data["clients"]), started=started, kept=_moment(data.get("kept")), ended=_moment(data.get("ended")),
        gathering=bool(data.get("gathering")), moment=(str(boot), int(mono)), continues=str(data.get("continues") or ""),
        begins_at=int(data.get("begins_at") or 0), final=bool(data.get("final")),
        missing=tuple(map(str, data.get("missing") or ())), chaos=tuple(map(str, data.get("chaos") or ())), **counts,
    )  # fmt: skip


def _moment(text: object) -> datetime | None:
    return datetime.strptime(str(text), _MOMENT).replace(tzinfo=UTC) if text is not None else None
