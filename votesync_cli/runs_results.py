"""What `votesync runs` returns: the list of runs, one run in full, what was packed and what was pruned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from votesync_cli import runs
from votesync_cli.belongings import OUTPUT
from votesync_cli.results import Part, Table
from votesync_cli.runs import Run
from votesync_cli.runs_prune import Choice

_OWN = frozenset({"votesync", "format", "gathering", "moment", "size", "begins_at", "final"})  # what only a program has use for


def size_text(size: int) -> str:
    """`812 B`, `1.2 MB`: powers of 1000."""
    amount, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.95 else f"{amount:.1f} {unit}"


@dataclass(frozen=True, slots=True)
class Listed:
    """One run in the list; `verdict` is PASS, FAIL, INCONCLUSIVE or empty, `size` bytes on the disk."""

    run: Run
    verdict: str
    size: int
    latest: bool

    @classmethod
    def of(cls, run: Run, newest: Run | None) -> Listed:
        """Look at its files."""
        verdict = str(runs.verdict_of(run.path).get("verdict") or "")
        return cls(run, verdict, runs.disk_size(run.path), newest is not None and run.name == newest.name)

    def cells(self) -> tuple[str, ...]:
        """The row of this run."""
        run = self.run
        messages = "-" if run.messages is None else f"{run.messages:,}"
        state = f"{run.state}*" if run.missing else run.state
        return (run.name, run.project, str(run.nodes), run.engine, state, messages, self.verdict or "-", size_text(self.size))

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        run = self.run
        told = {key: value for key, value in run.to_json().items() if key not in _OWN}
        return {**told, "state": run.state, "verdict": self.verdict or None, "bytes": self.size, "latest": self.latest}


@dataclass(frozen=True, slots=True)
class RunList:
    """All runs of a directory, oldest first."""

    place: str
    rows: tuple[Listed, ...]
    exit_code: int = 0

    @property
    def table(self) -> Table | None:
        """One row a run."""
        columns = ("run", "project", "nodes", "engine", "state", "messages", "verdict", "size")
        cells = tuple(row.cells() for row in self.rows)
        return Table(columns, cells, frozenset({"nodes", "messages", "size"})) if self.rows else None

    @property
    def page(self) -> tuple[Part, ...]:
        """The table and what its marks mean."""
        if self.table is None:
            return (f"No run is kept in {self.place}. `votesync up` opens one and `votesync down` fills it.",)
        more = ["* not everything was kept: votesync runs show RUN"] if any(row.run.missing for row in self.rows) else []
        more += [f"latest is {row.run.name}." for row in self.rows[:-1] if row.latest]
        return (self.table, *more)

    def to_text(self) -> str:
        """The same as text."""
        return _text(self.page)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a run."""
        return (row.to_json() for row in self.rows)


@dataclass(frozen=True, slots=True)
class RunShown:
    """One run: what it was, what was said of it, what was broken, which files there are. `files`: (name, bytes)."""

    listed: Listed
    settings: Mapping[str, Any]
    verdict: Mapping[str, Any]
    deeds: Sequence[Mapping[str, Any]]
    files: tuple[tuple[str, int], ...]
    word: str
    exit_code: int = 0
    table: Table | None = None

    @property
    def page(self) -> tuple[Part, ...]:
        """Facts, what was not kept, the files by kind, and what to do with them."""
        run = self.listed.run
        head = (
            f"Run {run.name} of project {run.project}: {run.nodes} nodes and {run.clients} clients on the {run.engine} engine."
        )
        missing = [f"Not kept: {what}." for what in run.missing]
        kinds = Table(("what", "files", "bytes"), tuple(self._kinds()), frozenset({"files", "bytes"}))
        verbs = ("explain 2", "timeline", "tail", "verify") if run.kept is not None else ()
        ways = [f"  votesync {verb} --run {self.word}" for verb in verbs]
        return (head, Table(("fact", "value"), tuple(self._facts())), *missing, "", kinds, *(["Next:", *ways] if ways else ()))

    def _facts(self) -> Iterator[tuple[str, str]]:
        run = self.listed.run
        yield "state", _STATES[run.state]
        yield "started", str(runs.said(run.started))
        for name, at in (("kept", run.kept), ("ended", run.ended)):
            if at is not None:
                yield name, str(runs.said(at))
        if run.continues:
            yield "goes on with", f"the file of run {run.continues}"
        if run.messages is not None:
            yield "messages", f"{run.messages:,} in {run.rounds or 0:,} rounds"
        asked = self.settings.get("asked")
        if isinstance(asked, dict) and asked:
            yield "up was told", ", ".join(f"{name} {value}" for name, value in asked.items())
        yield "verdict", self._verdict()
        yield from self._judgements()
        for deed in self.deeds:
            yield "broken or mended", f"{deed.get('verb')} {deed.get('what')}"

    def _verdict(self) -> str:
        said = self.verdict
        if not said:
            return "none: run votesync verify"
        text = f"{said.get('verdict')}, by {said.get('by')} at {said.get('at')}"
        whole = dict(self.files).get(OUTPUT)
        checked = next((row["size"] for row in _rows(said, "verify") if "size" in row), None)
        return f"{text}, when the file had {checked:,} bytes" if checked is not None and whole not in (None, checked) else text

    def _judgements(self) -> Iterator[tuple[str, str]]:
        rules = [row for row in _rows(self.verdict, "verify") if "rule" in row]
        for status in ("FAIL", "PASS", "NOT CHECKED"):
            names = [str(row["rule"]) for row in rules if row.get("status") == status]
            if names:
                yield status, ", ".join(names)
        last = next((row for row in _rows(self.verdict, "chaos") if "seed" in row), None)
        if last is not None:
            yield "chaos", f"{last.get('verdict')}: seed {last['seed']}, {last.get('faults')} faults in {last.get('seconds')} s"
            yield from (("chaos found", str(what)) for what in (*last.get("wrong", ()), *last.get("doubts", ())))

    def _kinds(self) -> Iterator[tuple[str, ...]]:
        counts: dict[str, tuple[int, int]] = {}
        for name, size in self.files:
            kind, below, _ = name.partition("/")
            count, total = counts.get(kind + below, (0, 0))
            counts[kind + below] = count + 1, total + size
        return ((kind, f"{count:,}", f"{size:,}") for kind, (count, size) in counts.items())

    def to_text(self) -> str:
        """The same as text."""
        return _text(self.page)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object."""
        files = [{"name": name, "bytes": size} for name, size in self.files]
        yield {
            **self.listed.to_json(), "settings": dict(self.settings), "verdicts": dict(self.verdict),
            "deeds": [dict(deed) for deed in self.deeds], "files": files,
        }  # fmt: skip


_STATES = {
    "open": "open: its cluster was not removed yet",
    "kept": "kept: its cluster is gone, its evidence is here",
    "half": "half: the gathering was cut off, so what is here may not fit together",
    "lost": "lost: its cluster went away without `votesync down`, so nothing was gathered",
}


@dataclass(frozen=True, slots=True)
class Pruned:
    """Runs that were removed, or would be (`done` False)."""

    chosen: tuple[Choice, ...]
    kept: int
    done: bool
    exit_code: int = 0
    table: Table | None = None

    def to_text(self) -> str:
        """A line a run, and what to say to have it done."""
        verb = "removed" if self.done else "would remove"
        lines = []
        for choice in self.chosen:
            name, size = choice.run.name, size_text(choice.size)
            lines.append(f"{verb} {name} ({size})" if choice.goes else f"keeps {name}: {choice.why}")
        gone = sum(choice.goes for choice in self.chosen)
        size = size_text(sum(choice.size for choice in self.chosen if choice.goes))
        sentence = f"{verb.capitalize()} {gone} of {self.kept} runs, {size}."
        lines.append(sentence if self.done or not gone else f"{sentence} Say it again with --yes to have it done.")
        return "\n".join(lines)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a run."""
        for choice in self.chosen:
            removed = choice.goes and self.done
            yield {"run": choice.run.name, "goes": choice.goes, "removed": removed, "why": choice.why, "bytes": choice.size}


def _rows(verdict: Mapping[str, Any], by: str) -> list[Mapping[str, Any]]:
    rows = verdict.get(by)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _text(page: Sequence[Part]) -> str:
    return "\n".join(part if isinstance(part, str) else part.to_text() for part in page)
