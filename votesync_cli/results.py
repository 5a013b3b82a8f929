"""What the verbs return: frozen values that turn into plain text and into JSON, and print nothing themselves.

`to_text` is for people and is never cut to a width; `to_json` gives one object a line of `--json`. On a terminal `views.py`
draws it: its `view` where it names one (`explain`, `top`, `timeline`), else its `page` (tables and sentences in order), else
its `table`. What `--plain` says is made of the same parts, or is `to_plain` where a result says it better in its own words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

BAR = 40  # columns of the longest bar beside a table


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text; `right` names the columns of numbers. Cells hold no markup.

    `bars` are drawn behind the rows: a share of the longest bar (0 to 1) for each. `spare` is a column that says nothing
    which the others do not: it goes first where a terminal is narrow.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[str] = frozenset()
    bars: tuple[float, ...] = ()
    spare: str = ""

    def without_spare(self) -> Table:
        """The same without that column."""
        kept = [place for place, name in enumerate(self.columns) if name != self.spare]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        return Table(tuple(self.columns[place] for place in kept), rows, self.right, self.bars)

    def to_text(self, mark: str = "") -> str:
        """The table with its columns aligned by blanks, as wide as it needs to be; bars are made of `mark`."""
        widths = [max(len(row[i]) for row in (self.columns, *self.rows)) for i in range(len(self.columns))]
        lines = []
        for number, row in enumerate((self.columns, *self.rows)):
            shown = row if number else tuple(name.upper() for name in row)
            cells = zip(shown, widths, self.columns, strict=True)
            bar = "  " + mark * round(self.bars[number - 1] * BAR) if number and self.bars else ""
            lines.append(("  ".join(c.rjust(w) if name in self.right else c.ljust(w) for c, w, name in cells) + bar).rstrip())
        return "\n".join(lines)


Part = Table | str


class Result(Protocol):
    """What `app.py` can print."""

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        ...

    @property
    def table(self) -> Table | None:
        """The table to draw on a terminal, or None where `to_text` is all there is."""
        ...

    def to_text(self) -> str:
        """For people; may be empty."""
        ...

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a line."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """A verb that did one thing: the sentence that says so, and the facts behind it. Also the base of other results."""

    verb: str
    text: str
    facts: Mapping[str, Any]
    exit_code: int = 0
    table: Table | None = None

    def to_text(self) -> str:
        """The sentence."""
        return self.text

    def to_json(self) -> Iterator[dict[str, Any]]:
        """The facts, with the verb."""
        yield {"verb": self.verb, **self.facts}


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What `up` would do (`--dry-run`); `changes` counts the steps that are not `nothing`."""

    project: str
    engine: str
    steps: tuple[str, ...]
    changes: int
    exit_code: int = 0
    table: Table | None = None

    def to_text(self) -> str:
        """One line a step, and the sum."""
        return "\n".join([*self.steps, f"{self.changes} changes to project {self.project} on the {self.engine} engine."])

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a step."""
        for step in self.steps:
            kind, _, rest = step.partition(" ")
            service, _, reason = rest.strip().partition(": ")
            yield {"kind": kind, "service": service, "reason": reason}


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service in `ps`."""

    service: str
    role: str
    id: int
    state: str
    health: str
    exit_code: int | None
    client_address: str | None
    pid: int | None
    container: str | None

    @property
    def shown_state(self) -> str:
        """The state as people read it, with the exit code of what has ended."""
        ended = self.exit_code is not None and self.state in {"exited", "dead"}
        return f"{self.state} ({self.exit_code})" if ended else self.state

    def cells(self) -> tuple[str, ...]:
        """The row of this service."""
        runs_as = self.container[:12] if self.container else str(self.pid or "-")
        address = self.client_address or "-"
        return (self.service, self.role, str(self.id), self.shown_state, self.health or "-", address, runs_as)


@dataclass(frozen=True, slots=True)
class PsResult:
    """The services of a project as the engine finds them."""

    project: str
    engine: str
    rows: tuple[ServiceRow, ...]
    exit_code: int = 0

    @property
    def table(self) -> Table:
        """One row a service."""
        columns = ("service", "role", "id", "state", "health", "address", "runs as")
        return Table(columns, tuple(row.cells() for row in self.rows), frozenset({"id"}))

    def to_text(self) -> str:
        """The table, or a sentence where there is nothing."""
        return self.table.to_text() if self.rows else f"Project {self.project} has no services on the {self.engine} engine."

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a service."""
        for row in self.rows:
            yield {"project": self.project, "engine": self.engine, **asdict(row)}


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node in `status`: what its admin socket said, or why it said nothing."""

    service: str
    node: int
    state: str
    status: Mapping[str, Any] | None
    problem: str = ""

    def cells(self) -> tuple[str, ...]:
        """The row of this node."""
        said = self.status
        if said is None:
            return (str(self.node), self.service, self.state, "unreachable", *["-"] * 6, self.problem)
        lag = max(0, int(said.get("last", 0)) - int(said.get("decided", 0)))
        leader = said.get("leader")
        return (
            str(self.node),
            self.service,
            self.state,
            str(said.get("role", "?")),
            str(said.get("term", "-")),
            "-" if leader is None else str(leader),
            str(said.get("decided", "-")),
            str(said.get("written", "-")),
            str(lag),
            str(said.get("queue", "-")),
            "; ".join(filter(None, ("" if said.get("healthy") else str(said.get("why", "not healthy")), _faulty(said)))),
        )


def _faulty(said: Mapping[str, Any]) -> str:
    """`faults: cut, delay` where the node treats its links or its clock badly on demand."""
    found = said.get("faults")
    kinds = sorted({str(fault.get("kind")) for fault in found if isinstance(fault, dict)}) if isinstance(found, list) else []
    return f"faults: {', '.join(kinds)}" if kinds else ""


@dataclass(frozen=True, slots=True)
class StatusResult:
    """Every node's own word on the cluster; exit code 1 where no majority of them can decide."""

    project: str
    nodes: tuple[NodeStatus, ...]

    @property
    def exit_code(self) -> int:
        """0 where a majority is healthy."""
        well = sum(1 for node in self.nodes if node.status is not None and node.status.get("healthy"))
        return 0 if 2 * well > len(self.nodes) else 1

    @property
    def table(self) -> Table:
        """One row a node."""
        columns = ("node", "service", "state", "role", "term", "leader", "decided", "written", "lag", "queue", "note")
        numbers = frozenset({"node", "term", "leader", "decided", "written", "lag", "queue"})
        return Table(columns, tuple(node.cells() for node in self.nodes), numbers, spare="service")

    def to_text(self) -> str:
        """The table."""
        return self.table.to_text()

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a node: what it said, or `reachable: false` and why."""
        for node in self.nodes:
            head = {"project": self.project, "service": node.service, "node": node.node, "state": node.state}
            yield {**head, "reachable": node.status is not None, **(node.status or {"problem": node.problem})}


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One client in `wait`."""

    service: str
    exit_code: int | None
    last_line: str = ""


@dataclass(frozen=True, slots=True)
class WaitResult:
    """How the clients ended."""

    clients: tuple[ClientRow, ...]
    output: Path | None = None
    table: Table | None = None

    @property
    def failed(self) -> tuple[ClientRow, ...]:
        """Those that did not end with 0."""
        return tuple(client for client in self.clients if client.exit_code != 0)

    @property
    def exit_code(self) -> int:
        """1 where one failed."""
        return 1 if self.failed else 0

    def to_text(self) -> str:
        """One sentence where all is well, one more for each that failed."""
        done = len(self.clients) - len(self.failed)
        lines = [f"{done} of {len(self.clients)} clients finished, all their messages acknowledged."]
        for client in self.failed:
            lines.append(f"{client.service} failed with exit code {client.exit_code}: {client.last_line or 'it wrote nothing'}")
        return "\n".join(lines)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a client."""
        for client in self.clients:
            yield {"service": client.service, "exit_code": client.exit_code, "ok": client.exit_code == 0}


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of the lines that were sent: one acknowledgement each, in order."""

    acks: tuple[Mapping[str, Any], ...]
    asked: int
    table: Table | None = None

    @property
    def exit_code(self) -> int:
        """1 where a line was not acknowledged."""
        return 0 if len(self.acks) == self.asked and all(ack.get("ok") for ack in self.acks) else 1

    def to_text(self) -> str:
        """One line an acknowledgement."""
        lines = []
        for ack in self.acks:
            byte = f", byte {ack['offset']}" if ack.get("offset") is not None else ""
            place = f"round {ack['round']}{byte}" if ack.get("round") is not None else "written before"
            told = place if ack.get("ok") else f"not acknowledged: {ack.get('error', 'no reason given')}"
            number = f" #{ack['seq']}" if ack.get("seq") is not None else ""
            lines.append(f"{ack.get('session')}{number}: {told}")
        good = sum(1 for ack in self.acks if ack.get("ok"))
        if good < self.asked:
            lines.append(f"{self.asked - good} of {self.asked} lines were not acknowledged.")
        return "\n".join(lines)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """The acknowledgements as the client gave them."""
        for ack in self.acks:
            yield dict(ack)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that `doctor` looked at; `mend` is the command that helps. A check that is not `needed` fails nothing."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """What this machine has and what it lacks."""

    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """4 where something needed is missing."""
        return 4 if any(check.needed and not check.ok for check in self.checks) else 0

    @property
    def table(self) -> Table:
        """One row a check."""
        said = {True: "ok", False: "MISSING"}
        rows = tuple(
            (c.name, said[c.ok] if c.needed or c.ok else "absent", c.found, "" if c.ok else c.mend) for c in self.checks
        )
        return Table(("check", "state", "found", "mend"), rows)

    def to_text(self) -> str:
        """The table."""
        return self.table.to_text()

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object a check."""
        for check in self.checks:
            yield asdict(check)
