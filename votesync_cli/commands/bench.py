"""`votesync bench`: as much load as the running cluster acknowledges, with a live table and a histogram of latencies.

The load is one process beside a node (`docker exec`, or on loopback) that speaks the client protocol to all of them. The
live table counts what the shared file grows by. What is written stays in the file, under sessions of its own.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from votesync_cli.bench_model import BenchResult, FileMeter, LoadPlan, Moment, report_of
from votesync_cli.commands.context import open_engine, read_project, say
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Finished
from votesync_cli.errors import CommandFailed
from votesync_cli.options import Common
from votesync_cli.views_text import symbols_for

ClientsOption = Annotated[int, typer.Option("--clients", metavar="N", help="Sessions, spread over the nodes.")]
InFlightOption = Annotated[int, typer.Option("--in-flight", metavar="N", help="Messages each has unacknowledged.")]
SizeOption = Annotated[int, typer.Option("--size", metavar="BYTES", help="Length of a message's text.")]
ForOption = Annotated[float, typer.Option("--for", metavar="SECONDS", help="How long to measure.")]

_LOOK = 0.5  # seconds between two pictures
_SLACK = 30.0  # seconds for the start and the end of the load
_PIECE = 4 * 1024 * 1024


def bench(
    common: Common,
    clients: ClientsOption = 5,
    in_flight: InFlightOption = 1,
    size: SizeOption = 16,
    seconds: ForOption = 10.0,
) -> BenchResult:
    """Put load on the running cluster and say how many messages a second it acknowledges, and how soon.

    The messages stand in output.txt afterwards, in sessions named bench-…; exit code 1 where the fate of some is unknown.
    """
    plan = LoadPlan(clients, in_flight, size, seconds)
    project = read_project(common)
    with open_engine(common, project) as engine:
        nodes = _running(engine, project)
        if len(nodes) < len(project.nodes):
            say(f"{len(nodes)} of {len(project.nodes)} nodes are running.")
        addresses = [f"{node.name}:{node.environment.get('PORT') or 5000 + node.id}" for node in nodes]
        words = plan.words(addresses, f"bench-{secrets.token_hex(3)}")
        load = _Load(lambda: engine.run(project, nodes[0].name, words, b"", plan.seconds + _SLACK))
        _watch(load, project, plan, common)
        done = load.outcome()
    report = report_of(done.code, done.stdout, done.stderr)
    writer = nodes[0].environment.get("WRITER", "turns")
    return BenchResult(project.name, len(nodes), writer, report, symbols_for(sys.stdout.encoding))


def _running(engine: Engine, project: ComposeProject) -> list[Service]:
    """The nodes that run.

    Raises: CommandFailed where none does.
    """
    running = {found.service for found in engine.observe(project) if found.state == "running"}
    nodes = [service for service in project.nodes if service.name in running]
    if not nodes:
        raise CommandFailed(f"No node of project {project.name} is running.", "Start them with `votesync up`.")
    return nodes


class _Load:
    """The load's process, waited for by a thread that nobody waits for after Ctrl-C."""

    def __init__(self, run: Callable[[], Finished]) -> None:
        self._run = run
        self._finished: Finished | None = None
        self._problem: BaseException | None = None
        self.thread = threading.Thread(target=self._wait, name="bench-load", daemon=True)
        self.thread.start()

    def _wait(self) -> None:
        try:
            self._finished = self._run()
        except BaseException as error:  # noqa: BLE001  # it is raised again where the outcome is asked for
            self._problem = error

    def outcome(self) -> Finished:
        """What the process left behind.

        Raises: whatever stood in its way.
        """
        self.thread.join()
        if self._problem is not None:
            raise self._problem
        assert self._finished is not None
        return self._finished


def _watch(load: _Load, project: ComposeProject, plan: LoadPlan, common: Common) -> None:
    """Show how it goes until the load has ended; nothing off a terminal, or where nothing may be drawn over."""
    if common.json or not common.redraw or not sys.stderr.isatty():
        load.thread.join()
        return
    from votesync_cli.views_bench import LiveTable

    meter, began = FileMeter([node.id for node in project.nodes]), time.monotonic()
    with _growth(project.shared_dir / "output.txt") as grow, LiveTable(plan.seconds, color=common.color) as live:
        while load.thread.is_alive():
            load.thread.join(_LOOK)
            live.show(_moment(meter, grow, began))


def _moment(meter: FileMeter, grow: Callable[[], Iterator[bytes]], began: float) -> Moment:
    for piece in grow():
        meter.feed(piece)
    return meter.look(time.monotonic() - began)


@contextlib.contextmanager
def _growth(file: Path) -> Iterator[Callable[[], Iterator[bytes]]]:
    """What a file grows by from now on, piece by piece; a file that cannot be read grows by nothing."""
    with contextlib.ExitStack() as held:
        opened: list[BinaryIO] = []
        start = file.stat().st_size if file.exists() else 0

        def pieces() -> Iterator[bytes]:
            if not opened:
                with contextlib.suppress(OSError):
                    opened.append(held.enter_context(file.open("rb")))
                    opened[0].seek(start)
            while opened and (piece := opened[0].read(_PIECE)):
                yield piece

        yield pieces
