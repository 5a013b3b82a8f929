"""Reports of made-up runs, put together as the command does it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from tests.unit.run_maker import RunMaker
from votesync_cli.report.clients import clients
from votesync_cli.report.fairness import OrderReader
from votesync_cli.report.model import Material, RunReport, report
from votesync_cli.report.nodes import newest
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.history import Histories
from votesync_cli.verify.reader import Run, read
from votesync_cli.verify.votebook import VoteBook


def reported(maker: RunMaker, directory: Path) -> RunReport:
    """The report of a run with all its evidence but the journals."""
    run = maker.keep(directory / "run")
    histories = Histories()
    for path in sorted((run / "history").iterdir()):
        histories.read_file(path)
    found = maker.recorded()
    found.said = newest(found.said)
    people, book = clients(histories, found.base), VoteBook()
    for said in found.said:
        book.add(said.event)
    order = OrderReader(histories, people.sends)
    for piece in read(io.BytesIO(bytes(maker.file))):
        if isinstance(piece, Run):
            order.feed(piece)
    verdict = check(run / "output.txt", Evidence(histories, ("", 0), book))
    named = replace(verdict, file="output.txt")
    return report(Material("made", "output.txt", found, people, named, (), order.result(), "the histories"))
