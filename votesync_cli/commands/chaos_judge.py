"""After the faults: let the cluster drain, gather the evidence, and put what went wrong on one time line with the faults."""

from __future__ import annotations

import bisect
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node_runtime import votelog
from node_runtime.history import read_events
from votesync_cli import belongings
from votesync_cli.chaos_results import Deed, Facts, Moment, steadied
from votesync_cli.commands.asking import ask_nodes
from votesync_cli.commands.context import each
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine
from votesync_cli.errors import VotesyncError
from votesync_cli.formation import missing
from votesync_cli.verify.verdict import Report, Status

_TOLD = frozenset({"start", "stop", "leader", "step_down", "timeout", "repair", "restored", "fault", "heal"})
_ALSO = frozenset({"ts", "mono", "node", "event"})
_POLL = 0.25


@dataclass(slots=True)
class Load:
    """What the clients' histories say from a moment on; `places` are their sizes at that moment."""

    directory: Path
    places: dict[Path, int]

    @classmethod
    def begin(cls, project: ComposeProject) -> Load:
        """From now on."""
        directory = project.shared_dir / belongings.HISTORY
        return cls(directory, {path: path.stat().st_size for path in directory.glob("*.jsonl")})

    def events(self) -> Iterator[Mapping[str, Any]]:
        """The events since then."""
        for path in sorted(self.directory.glob("*.jsonl")):
            with path.open("rb") as stream:
                stream.seek(self.places.get(path, 0))
                yield from read_events(stream)

    def is_waiting(self) -> bool:
        """Whether a client has sent something that nobody has acknowledged."""
        last: dict[tuple[object, object], int] = {}
        for event in self.events():
            if event.get("event") in ("invoke", "ok") and isinstance(seq := event.get("seq"), int):
                key = event.get("session"), event["event"]
                last[key] = max(seq, last.get(key, 0))
        return any(kind == "invoke" and seq > last.get((session, "ok"), 0) for (session, kind), seq in last.items())


def drain(engine: Engine, project: ComposeProject, load: Load, limit: float) -> list[str]:
    """Wait until all nodes are well, messages get through again, the clients have ended and the nodes agree.

    Returns what did not come within `limit` seconds; each is a breach of promise 8.
    """
    deadline = time.monotonic() + limit
    nodes = {node.name: node.id for node in project.nodes}

    def statuses() -> dict[str, dict[str, Any] | None]:
        return {told.service: dict(told.status) if told.status else None for told in ask_nodes(engine, project, 2.0)}

    wrong = []
    output = project.shared_dir / belongings.OUTPUT
    running = {found.service for found in engine.observe(project) if found.role == "client" and found.state == "running"}
    if not _until(lambda: not missing(nodes, statuses()), deadline):
        lacks = "; ".join(f"{name}: {why}" for name, why in missing(nodes, statuses()).items())
        wrong.append(f"the cluster was not well {limit:g} s after the faults had been healed ({lacks})")
    else:
        size = output.stat().st_size
        if running and not _until(lambda: output.stat().st_size > size or not load.is_waiting(), deadline):
            wrong.append(f"nothing was written any more within {limit:g} s after the faults had been healed")
    errors = each(sorted(running), lambda name: engine.stop(project, name, 10.0))
    wrong += [
        f"{name} could not be stopped: {error.message}" for name, error in errors.items() if isinstance(error, VotesyncError)
    ]

    def agreed() -> bool:
        told = [status for status in statuses().values() if status is not None]
        points = {(status["decided"], status["written"], status["queue"]) for status in told}
        return len(told) == len(nodes) and points == {(told[0]["decided"], output.stat().st_size, 0)}

    if not _until(agreed, deadline + limit):
        wrong.append("the nodes did not come to the same last round, with all of it in the file")
    return wrong


def facts_of(load: Load, deeds: Sequence[Deed], logs: Sequence[Mapping[str, Any]], clients: int) -> Facts:
    """Count what happened."""
    acked, sent = 0, []
    for event in load.events():
        if event.get("event") == "ok":
            acked += 1
        elif event.get("event") in ("invoke", "resend") and isinstance(mono := event.get("mono"), int):
            sent.append(mono)
    sent.sort()
    hit = sum(not d.skipped and bisect.bisect_left(sent, d.mono[0]) < bisect.bisect_right(sent, d.mono[1]) for d in deeds)
    kinds = [event["event"] for event in logs]
    return Facts(acked, len(sent), clients, hit, kinds.count("leader"), kinds.count("timeout"), kinds.count("start"))


def vote_events(engine: Engine, project: ComposeProject, since: float) -> list[dict[str, Any]]:
    """What the nodes logged since a moment (Unix seconds), by right clocks, whatever chaos did to theirs."""
    found: list[dict[str, Any]] = []
    for node in project.nodes:
        lines = engine.logs(project, [node.name], follow=False, since=None)  # a clock that is behind must not hide a line
        events = (event for event in (votelog.decode(line.line) for line in lines) if event is not None)
        found += [event for event in steadied(events) if event["ts"] >= since]
    return found


def moments_of(deeds: Sequence[Deed], logs: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> list[Moment]:
    """The faults, the turning points of the vote logs, and the votes behind the counterexamples."""
    made = [deed for deed in deeds if not deed.skipped]
    found = [Moment(d.begun, "chaos", f">> {d.saying} -> {', '.join(map(str, d.nodes))}") for d in made]
    found += [Moment(d.ended, "chaos", f"<< {d.saying} ends") for d in made]
    found += [_moment(event, "") for event in logs if event["event"] in _TOLD]
    return found + [_moment(vote, "!! ") for vote in shown if isinstance(vote.get("ts"), int | float)]


def evidence_against(report: Report) -> list[Mapping[str, Any]]:
    """The vote log lines behind the counterexamples."""
    shown = [verdict.counterexample for verdict in report.failed if verdict.counterexample is not None]
    return [vote for counterexample in shown for vote in counterexample.votes]


def unchecked(report: Report) -> list[str]:
    """The rules for which there was no evidence at all.

    That a few rounds are not proven is in the nature of the thing: a node that is killed takes its last log lines with it.
    """
    return [verdict.rule for verdict in report.verdicts if verdict.status is Status.NOT_CHECKED and not verdict.detail]


def _moment(event: Mapping[str, Any], mark: str) -> Moment:
    said = {name: value for name, value in event.items() if name not in _ALSO}
    return Moment(float(event["ts"]), f"node {event.get('node')}", f"{mark}{event['event']} {json.dumps(said)[:160]}")


def _until(condition: Callable[[], bool], deadline: float) -> bool:
    while True:
        if condition():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
