"""Carries out a schedule of faults on a live cluster, and always undoes what it did: heal, unpause, start again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node_runtime.history import now_mono
from votesync_cli.chaos_plan import ROLES, Step, moments, requests, victims
from votesync_cli.chaos_results import Deed
from votesync_cli.commands.asking import ask_nodes
from votesync_cli.commands.context import each, say
from votesync_cli.commands.fault import ask_each, leading
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine
from votesync_cli.errors import VotesyncError

_LOOK_EVERY = 3.0  # seconds between two looks at who has ended
_DEAD = frozenset({"exited", "dead"})
_PERSIST = 10.0  # seconds for which starting a node again is tried in the end
_ADMIN = 2.0  # seconds that a node may take to answer


@dataclass(slots=True)
class _Open:
    """A step at work."""

    chosen: tuple[Service, ...]
    begun: float
    mono: int


@dataclass(slots=True)
class ChaosRun:
    """One run. `deeds` grows as steps end.

    `ended_alone` names nodes that ended though nobody had killed them; `not_started` those that this run killed and that
    the engine could not start again, which says nothing about the cluster.
    """

    engine: Engine
    project: ComposeProject
    steps: Sequence[Step]
    journal: Path
    deeds: list[Deed] = field(default_factory=list)
    ended_alone: dict[str, str] = field(default_factory=dict)
    not_started: dict[str, str] = field(default_factory=dict)
    _down: dict[str, str] = field(default_factory=dict)  # service -> the verb that brings it back
    _open: dict[int, _Open] = field(default_factory=dict)

    def carry_out(self) -> None:
        """Do all steps at their times. Whatever stops it, Ctrl-C too, everything is undone."""
        start = time.monotonic()
        try:
            self._look()
            looked = time.monotonic()
            for at, begins, step in moments(self.steps):
                while (left := start + at - time.monotonic()) > 0:
                    time.sleep(min(left, 0.5))
                    if left > 0.5 and time.monotonic() - looked > _LOOK_EVERY:
                        self._look()
                        looked = time.monotonic()
                (self._begin if begins else self._end)(step)
            self._look()
        finally:
            self.undo()

    def undo(self) -> None:
        """Heal every link, wake and start whoever this run stopped; what cannot be undone is said."""
        deadline = time.monotonic() + _PERSIST
        while self._down:
            for name, verb in list(self._down.items()):
                self._bring_back(name, verb)
            if time.monotonic() > deadline:
                break
            if self._down:
                time.sleep(0.5)
        for number in list(self._open):
            self._close(number)
        try:
            ask_each(self.engine, self.project, [{"op": "heal"}], _ADMIN)
        except VotesyncError as error:
            say(f"Not everything could be healed: {error.message} Run `votesync fault heal`.")

    # --- one step ---

    def _begin(self, step: Step) -> None:
        try:
            chosen = self._choose(step)
        except VotesyncError as error:
            self._skip(step, error.message)
            return
        if not chosen:
            self._skip(step, f"nobody is {step.target} now" if step.target in ROLES else "whoever it means is down already")
            return
        self._open[step.number] = _Open(chosen, time.time(), now_mono())
        try:
            self._do(step, chosen)
        except VotesyncError as error:
            del self._open[step.number]
            self._skip(step, error.message)
            return
        say(f"{step.at:7.2f} s  {step.saying} -> {', '.join(str(service.id) for service in chosen)}, for {step.lasts:g} s")

    def _choose(self, step: Step) -> tuple[Service, ...]:
        services = self.project.clients if step.kind == "client" else self.project.nodes
        chosen = [services[place] for place in victims(step, self._roles(step), len(services))]
        return tuple(service for service in chosen if service.name not in self._down)

    def _roles(self, step: Step) -> dict[str, int]:
        if step.target not in ROLES or step.kind == "client":
            return {}
        leader = leading(ask_nodes(self.engine, self.project, _ADMIN))
        if leader is None or leader.status is None:
            return {}
        holder = leader.status.get("holder")
        writer = holder.get("writer") if isinstance(holder, dict) else None
        return {"leader": leader.node, "holder": writer if isinstance(writer, int) else leader.node}

    def _do(self, step: Step, chosen: Sequence[Service]) -> None:
        engine, project = self.engine, self.project
        names = [service.name for service in chosen]
        match step.kind:
            case "kill" | "client":
                self._harm(names, "start", lambda name: engine.kill(project, name))
            case "pause":
                self._harm(names, "unpause", lambda name: engine.pause(project, name))
            case "stop":
                self._harm(names, "start", lambda name: engine.stop(project, name, 5.0))
            case _:
                nodes = [node.id for node in project.nodes]
                ask_each(engine, project, requests(step, [service.id for service in chosen], nodes), _ADMIN)

    def _harm(self, names: Sequence[str], back: str, deed: Callable[[str], None]) -> None:
        """Stop these, all at once. One that could not be stopped had better run: its way back is kept all the same.

        Raises: VotesyncError where none of them could be stopped.
        """
        for name in names:
            self._down[name] = back
        errors = [answer for answer in each(names, deed).values() if isinstance(answer, VotesyncError)]
        if len(errors) == len(names):
            raise errors[0]

    def _end(self, step: Step) -> None:
        opened = self._open.get(step.number)
        if opened is None:
            return
        if step.kind in ("kill", "pause", "stop", "client"):
            each([s.name for s in opened.chosen if s.name in self._down], lambda name: self._bring_back(name, self._down[name]))
        self._close(step.number)

    def _bring_back(self, name: str, verb: str) -> None:
        try:
            (self.engine.unpause if verb == "unpause" else self.engine.start)(self.project, name)
        except VotesyncError as error:
            if verb != "unpause":
                if self.not_started.get(name) != error.message:
                    say(f"{name} could not be started: {error.message}")
                self.not_started[name] = error.message
                return  # it stays on the list, for the next attempt
        self.not_started.pop(name, None)
        self._down.pop(name, None)

    def _close(self, number: int) -> None:
        opened, step = self._open.pop(number), self.steps[number - 1]
        nodes = tuple(service.id for service in opened.chosen)
        self._note(Deed(number, step.saying, nodes, opened.begun, time.time(), (opened.mono, now_mono())))

    def _skip(self, step: Step, why: str) -> None:
        now, mono = time.time(), now_mono()
        say(f"{step.at:7.2f} s  {step.saying} skipped: {why}")
        self._note(Deed(step.number, step.saying, (), now, now, (mono, mono), why))

    def _note(self, deed: Deed) -> None:
        self.deeds.append(deed)
        with self.journal.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(deed.to_json(), ensure_ascii=False) + "\n")

    def _look(self) -> None:
        """Start clients that have finished or died; note nodes that ended though nobody had ended them."""
        for found in self.engine.observe(self.project):
            if found.state not in _DEAD or found.service in self._down:
                continue
            if found.role == "node" and found.service not in self.ended_alone:
                code = "" if found.exit_code is None else f" with exit code {found.exit_code}"
                self.ended_alone[found.service] = f"{found.service} ended{code} though nobody had ended it"
                say(f"{self.ended_alone[found.service]}!")
            elif found.role == "client":
                self._bring_back(found.service, "start")
