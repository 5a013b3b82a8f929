"""What votesync costs as the work grows: more nodes, longer messages, more sessions, a longer log."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import machine
from benchmarks.compare import say
from benchmarks.stats import short
from benchmarks.store import Result
from benchmarks.systems.base import CLOSED, MEMBERS, PIPELINED, Meter, Mode, Span, measurement
from benchmarks.systems.votesync import SETTINGS, Cluster, cluster
from benchmarks.targets import WRITERS

NODES = (3, 5, 7, 9, 15)
SIZES = (16, 64, 256, 1024, 4096, 16384)
SESSIONS = (1, 5, 10, 50, 100, 500, 1000)
IN_ALL = CLOSED.clients * PIPELINED.in_flight  # messages under way when pipelined, whatever the number of sessions
MARKS = (100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000)
CHUNK_S = 10.0
MIB = 2**20


class Point(NamedTuple):
    """What one point of a curve is made with."""

    at: int
    nodes: int
    size: int
    modes: tuple[Mode, Mode]


def nodes(directory: Path, span: Span, repetitions: int) -> Result:
    """Five clients on clusters of several sizes."""
    points = [Point(count, count, span.size, (CLOSED, PIPELINED)) for count in NODES]
    return _curve("nodes", ("5 clients × 1", "5 × 256"), points, directory, span, repetitions)


def sizes(directory: Path, span: Span, repetitions: int) -> Result:
    """Texts of several lengths."""
    points = [Point(size, MEMBERS, size, (CLOSED, PIPELINED)) for size in SIZES]
    return _curve("bytes of text", ("5 clients × 1", "5 × 256"), points, directory, span, repetitions)


def sessions(directory: Path, span: Span, repetitions: int) -> Result:
    """Clients by the hundred: one message each under way, and as many as 1,280 in all."""
    points = []
    for count in SESSIONS:
        many = Mode("pipelined", count, max(1, IN_ALL // count))
        points.append(Point(count, MEMBERS, span.size, (Mode("closed", count, 1), many)))
    return _curve("sessions", ("1 in flight each", f"{IN_ALL:,} in flight in all"), points, directory, span, repetitions)


def _curve(
    grows: str, heads: tuple[str, str], points: Iterable[Point], directory: Path, span: Span, repetitions: int
) -> Result:
    """Measure each point for both kinds of writer; repetitions are the outer loop."""
    about = machine.describe(directory)
    found: dict[tuple[int, str], dict[str, Any]] = {}
    many = list(points)
    for repetition in range(repetitions):
        for point in many:
            for writer in WRITERS:
                row = found.setdefault(
                    (point.at, writer), {"at": point.at, "writer": writer, "repetitions": [], "rss_mib": 0.0}
                )
                measured, rss = _point(point, writer, directory, span)
                row["repetitions"].append(measured)
                row["rss_mib"] = max(row["rss_mib"], round(rss / MIB, 1))
                told = "  ".join(f"{mode} {short(one['rate'])} msg/s" for mode, one in measured.items())
                say(f"{repetition + 1}/{repetitions} {grows} {point.at} {writer}: {told}")
    return {"machine": about, "span": span._asdict(), "grows": grows, "heads": heads, "points": list(found.values())}


def _point(point: Point, writer: str, directory: Path, span: Span) -> tuple[dict[str, Any], int]:
    with (
        tempfile.TemporaryDirectory(prefix="votesync-bench-", dir=directory) as place,
        cluster(Path(place) / "run", point.nodes, writer, SETTINGS[writer]) as made,
    ):
        measured = {}
        for mode in point.modes:
            meter = Meter(made.group)
            measured[mode.name] = measurement(made.load(mode, span._replace(size=point.size)), meter)
        return measured, max(made.group.rss())


def long_log(directory: Path, messages: int, writer: str = "winner") -> Result:
    """Fill a log up to so many messages; at each mark the memory of the nodes, and how long a restart takes."""
    about = machine.describe(directory)
    points: list[dict[str, Any]] = []
    acked, busy = 0, 0.0
    with (
        tempfile.TemporaryDirectory(prefix="votesync-bench-", dir=directory) as place,
        cluster(Path(place) / "run", MEMBERS, writer, SETTINGS[writer]) as made,
    ):
        for mark in [*(mark for mark in MARKS if mark < messages), messages]:
            if points and acked >= mark:
                continue  # the last piece went beyond this mark too
            while acked < mark:
                began = time.monotonic()
                for said in made.load(PIPELINED, Span(min(CHUNK_S, 2.0 if acked == 0 else CHUNK_S), 0.0, 16)):
                    acked += said["acked"]
                busy += time.monotonic() - began
            points.append(_mark(made, acked, acked / busy))
            say(f"{acked:,} messages: {points[-1]}")
    return {"machine": about, "writer": writer, "points": points}


def _mark(made: Cluster, acked: int, rate: float) -> dict[str, Any]:
    """Memory and sizes as they are, then a follower is ended and started again."""
    leader = next(node for node in made.configs if made.status(node).get("role") == "leader")
    follower = next(node for node in made.configs if node != leader)
    rss = dict(zip(made.group.running, made.group.rss(), strict=True))
    config = made.configs[follower]
    point = {
        "messages": acked,
        "rate": round(rate, 1),
        "file_mb": round(Path(config.shared_dir, "output.txt").stat().st_size / 1e6, 1),
        "journal_mb": round(sum(file.stat().st_size for file in Path(config.data_dir).rglob("*") if file.is_file()) / 1e6, 1),
        "leader_rss_mib": round(rss[f"node{leader}"] / MIB, 1),
        "greatest_rss_mib": round(max(rss.values()) / MIB, 1),
    }
    return {**point, "restart_s": round(_restart(made, follower), 2)}


def _restart(made: Cluster, node: int) -> float:
    """End a node (SIGTERM) and start it again; seconds from its start until it has all that is decided and can decide."""
    process = made.group.running[f"node{node}"]
    process.terminate()
    process.wait(30)
    wanted = max(made.status(other).get("decided", 0) for other in made.configs if other != node)
    began = time.monotonic()
    made.start(node)

    def is_back() -> bool:
        said = made.status(node)
        return bool(said.get("healthy")) and said.get("decided", 0) >= wanted

    made.group.wait_until(is_back, 600.0, "a node that is back")
    return time.monotonic() - began


CURVES: Mapping[str, Callable[[Path, Span, int], Result]] = {"nodes": nodes, "sizes": sizes, "sessions": sessions}
NAMES: Sequence[str] = (*CURVES, "long-log")
