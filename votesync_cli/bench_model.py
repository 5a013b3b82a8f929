"""What `bench` measures: a load's plan, the growth of the shared file while it runs, and what came of it. Pure."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from node_runtime.messages import MAX_MESSAGE
from node_runtime.records import SEPARATOR
from votesync_cli.errors import CommandFailed, UsageError
from votesync_cli.results import Part, Table
from votesync_cli.views_text import UNICODE, Symbols, duration

ROWS = 14  # of the histogram, at most
RATES_KEPT = 60
_CUT = 64  # bytes in which a separator or a block's first line may be cut in two

_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What load is asked for: `clients` sessions that each keep `in_flight` messages of `size` bytes unacknowledged.

    Raises: UsageError where a value cannot be used; it names the option.
    """

    clients: int = 5
    in_flight: int = 1
    size: int = 16
    seconds: float = 10.0

    def __post_init__(self) -> None:
        _between("--clients", self.clients, 1, 4000)
        _between("--in-flight", self.in_flight, 1, 65_536)
        _between("--size", self.size, 1, MAX_MESSAGE)
        _between("--for", self.seconds, 0.5, 3600)

    def words(self, addresses: Sequence[str], name: str) -> list[str]:
        """The command that puts the load on these nodes, run beside one of them."""
        command = ["python", "-m", "node_runtime", "bench", "--name", name]
        command += [word for address in addresses for word in ("--node", address)]
        command += ["--clients", str(self.clients), "--in-flight", str(self.in_flight)]
        return [*command, "--size", str(self.size), "--for", f"{self.seconds:g}"]


def _between(option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"{option} cannot be {value:g}.", f"It takes a number from {least:g} to {most:g}.")


class Moment(NamedTuple):
    """What the live table shows: rates over the last look, totals since the start, seconds since then."""

    seconds: float
    per_node: Mapping[int, tuple[float, int]]  # node -> (messages a second, messages)
    messages_s: float
    rounds_s: float
    bytes_s: float
    messages: int
    rates: tuple[float, ...]  # of the last looks, oldest first

    def table(self) -> Table:
        """A row for each node and one for all."""
        rows = [(str(node), f"{rate:,.0f}", f"{total:,}") for node, (rate, total) in sorted(self.per_node.items())]
        rows.append(("all", f"{self.messages_s:,.0f}", f"{self.messages:,}"))
        return Table(("node", "msg/s", "messages"), tuple(rows), frozenset({"node", "msg/s", "messages"}))

    def sentence(self) -> str:
        """The rounds, and what they hold."""
        each = f", {self.messages_s / self.rounds_s:,.1f} messages each" if self.rounds_s else ""
        return f"{self.seconds:.0f} s  {self.rounds_s:,.0f} rounds/s{each}  {self.bytes_s / 1e6:,.2f} MB/s"


class FileMeter:
    """Counts blocks and rounds in the bytes that the shared file grows by: no node is asked and none is slowed down."""

    def __init__(self, nodes: Sequence[int]) -> None:
        self._patterns = {node: f"\nContainer {node} \nMensagem: ".encode() for node in nodes}
        self._totals = dict.fromkeys(nodes, 0)
        self._rest = b"\n"
        self._rounds = 0
        self._bytes = 0
        self._seen: tuple[float, dict[int, int], int, int] = (0.0, dict(self._totals), 0, 0)
        self._rates: deque[float] = deque(maxlen=RATES_KEPT)

    def feed(self, data: bytes) -> None:
        """More of the file. Whatever may be cut in two is looked at with the next piece."""
        text = self._rest + data
        cut = max(0, len(text) - _CUT)
        for node, pattern in self._patterns.items():
            self._totals[node] += _begins(text, pattern, cut)
        self._rounds += _begins(text, b"\n" + SEPARATOR, cut)
        self._bytes += len(data)
        self._rest = text[cut:]

    def look(self, seconds: float) -> Moment:
        """The rates since the last look; `seconds` since the start."""
        before, totals, rounds, size = self._seen
        passed = max(seconds - before, 1e-6)
        per_node = {node: ((now - totals[node]) / passed, now) for node, now in self._totals.items()}
        rate = sum(one for one, _ in per_node.values())
        self._rates.append(rate)
        self._seen = (seconds, dict(self._totals), self._rounds, self._bytes)
        return Moment(
            seconds, per_node, rate, (self._rounds - rounds) / passed, (self._bytes - size) / passed,
            sum(self._totals.values()), tuple(self._rates),
        )  # fmt: skip


def _begins(text: bytes, pattern: bytes, before: int) -> int:
    """How often the pattern begins in the text before this place."""
    return text.count(pattern, 0, before + len(pattern) - 1)


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What came of a load. `report` is what `python -m node_runtime bench` said."""

    project: str
    nodes: int
    writer: str
    report: Mapping[str, Any]
    symbols: Symbols = UNICODE
    table: Table | None = None

    @property
    def exit_code(self) -> int:
        """1 where nothing was acknowledged or some messages' fate is unknown."""
        return 0 if self.report["messages"] and not self.report["unknown"] else 1

    @property
    def page(self) -> tuple[Part, ...]:
        """The rate, the latencies, the histogram, and what went wrong."""
        said = self.report
        each = f"{said['in_flight']} in flight each" if said["in_flight"] > 1 else "one in flight each"
        head = (
            f"{said['rate']:,.0f} messages/s acknowledged: {said['clients']} clients, {each}, {said['size']} bytes, "
            f"{said['seconds']:g} s, {self.nodes} nodes, writer {self.writer}."
        )
        names = (("p50", "p50_us"), ("p90", "p90_us"), ("p99", "p99_us"), ("p99.9", "p999_us"), ("max", "max_us"))
        latencies = "  ".join(f"{name} {duration(said[key], self.symbols)}" for name, key in names)
        parts: list[Part] = [head, f"latency  {latencies}", "", self.histogram()]
        if said["errors"]:
            told = ", ".join(f"{code} {count:,}" for code, count in sorted(said["errors"].items()))
            parts += ["", f"Clients had to begin again: {told}."]
        if said["unknown"]:
            parts += ["", f"{said['unknown']:,} messages were not acknowledged within 3 s of the end; their fate is unknown."]
        return tuple(parts)

    def to_text(self) -> str:
        """The same as text; the bars with it."""
        return "\n".join(part if isinstance(part, str) else part.to_text(self.symbols.bars[-1]) for part in self.page)

    def to_json(self) -> Iterator[dict[str, Any]]:
        """One object: the report, and the cluster."""
        yield {"verb": "bench", "project": self.project, "nodes": self.nodes, "writer": self.writer, **self.report}

    def histogram(self) -> Table:
        """How many messages took how long."""
        rows = coarse(self.report["histogram"])
        most = max((count for _, count in rows), default=0)
        total = sum(count for _, count in rows)
        cells = tuple((duration(upper, self.symbols), f"{count:,}", f"{count / total:.1%}") for upper, count in rows)
        columns = ("up to", "messages", "share")
        return Table(columns, cells, frozenset(columns), tuple(count / most if most else 0.0 for _, count in rows))


def coarse(rows: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """A histogram with limits that people read (1, 2, 5, 10 …), or every third of them where these are too many."""
    steps = list(_limits(max((upper for upper, _ in rows), default=0)))
    found = dict.fromkeys(steps, 0)
    place = 0
    for upper, count in rows:
        while steps[place] < upper:
            place += 1
        found[steps[place]] += count
    shown = [(limit, count) for limit, count in found.items()]
    while shown and not shown[0][1]:
        del shown[0]
    if len(shown) <= ROWS:
        return shown
    return [(part[-1][0], sum(count for _, count in part)) for part in _thirds(shown)]


def _thirds(rows: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    for start in range(0, len(rows), 3):
        yield rows[start : start + 3]


def _limits(most: int) -> Iterator[int]:
    """1, 2, 5, 10, 20 … microseconds, up to the first that is not below `most`."""
    scale = 1
    while True:
        for step in _STEPS:
            yield step * scale
            if step * scale >= most:
                return
        scale *= 10


def report_of(code: int, stdout: bytes, stderr: bytes) -> Mapping[str, Any]:
    """What the load's process printed.

    Raises: CommandFailed with its own words where it printed nothing sensible.
    """
    lines = stdout.decode(errors="replace").strip().splitlines()
    try:
        said = json.loads(lines[-1]) if lines else None
    except ValueError:
        said = None
    if isinstance(said, dict) and "histogram" in said:
        return said
    words = stderr.decode(errors="replace").strip().splitlines()
    told = words[-1] if words else f"it ended with {code} and said nothing"
    raise CommandFailed(
        f"The load could not be run beside the node: {told}.",
        "Is the cluster up (`votesync status`)? Nodes of an older image know no load: run `votesync up` again.",
    )
