"""How `up` carries out a plan: step by step, watching that the cluster forms, and taking back what it did if it does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from votesync_cli.commands.context import POLL, each, last_lines, say
from votesync_cli.compose import ComposeProject
from votesync_cli.engines.base import Engine
from votesync_cli.errors import CommandFailed, TimedOut, VotesyncError
from votesync_cli.formation import missing, summary
from votesync_cli.plan import Operation, rollback

Statuses = dict[str, dict[str, Any] | None]


@dataclass(slots=True)
class Raising:
    """One run of `up` on an engine. `done` is what it has done so far; `deadline` is on the monotonic clock."""

    engine: Engine
    project: ComposeProject
    deadline: float
    done: list[Operation] = field(default_factory=list)

    def carry_out(self, steps: Sequence[Operation]) -> None:
        """Do these steps, in order.

        Raises: VotesyncError.
        """
        for step in steps:
            self._check_time(f"{step.service} was not started")
            if step.kind != "nothing":
                say(f"{step.kind} {step.service}: {step.reason}")
                self._do(step)

    def _do(self, step: Operation) -> None:
        engine, project, name = self.engine, self.project, step.service
        match step.kind:
            case "remove":
                engine.remove(project, name)
            case "recreate":
                engine.remove(project, name)
                self.done.append(step)  # from here on the old one is gone: what comes in its place is ours to remove
                engine.create(project, project.service(name))
                return
            case "create":
                self.done.append(step)  # first: a create that fails half way leaves something to remove
                engine.create(project, project.service(name))
                return
            case "start":
                engine.start(project, name)
            case "unpause":
                engine.unpause(project, name)
            case "stop":
                engine.stop(project, name, 2.0)
            case "pause":
                engine.pause(project, name)
        self.done.append(step)

    def await_formation(self) -> Statuses:
        """Wait until the cluster has formed; returns what the nodes said last.

        Raises: CommandFailed where a node ended, TimedOut.
        """
        nodes = {node.name: node.id for node in self.project.nodes}
        told = ""
        while True:
            statuses, problems = ask_all(self.engine, self.project, list(nodes))
            lacks = missing(nodes, statuses)
            if not lacks:
                return statuses
            self._check_alive(lacks)
            now = summary(lacks)
            if now != told:
                say(f"waiting: {now}")
                told = now
            self._check_time(
                f"the cluster has not formed ({now})", next((problems[name] for name in lacks if name in problems), "")
            )
            time.sleep(POLL)

    def _check_alive(self, names: Sequence[str] | dict[str, str]) -> None:
        for observed in self.engine.observe(self.project):
            if observed.service in names and observed.state in {"exited", "dead"}:
                lines = last_lines(self.engine, self.project, observed.service)
                said = "".join(f"\n  {observed.service} | {line}" for line in lines) or " It wrote nothing."
                code = "" if observed.exit_code is None else f" with exit code {observed.exit_code}"
                raise CommandFailed(
                    f"{observed.service} ended{code} while the cluster was forming. Its last lines:{said}",
                    "Mend what it says and run `votesync up` again; `votesync doctor` looks at the machine.",
                )

    def check_clients(self) -> None:
        """Hold that no client has failed right after its start.

        Raises: CommandFailed.
        """
        for observed in self.engine.observe(self.project):
            if observed.role == "client" and observed.state in {"exited", "dead"} and observed.exit_code:
                self._check_alive([observed.service])

    def _check_time(self, what: str, problem: str = "") -> None:
        if time.monotonic() > self.deadline:
            more = f" One of them: {problem}" if problem else ""
            hint = "Give it longer with --timeout, or look at the nodes with `votesync up --no-wait`."
            raise TimedOut(f"Time is up: {what}.{more}", hint)

    def take_back(self, *, alone: bool) -> None:
        """Undo what this run did, last first; `alone`: nothing of the project existed before, so the network goes too."""
        steps = rollback(self.done)
        if steps:
            say(f"Rolling back what this run did ({len(steps)} services). Keep it next time with --no-rollback.")
        self.done = []
        for step in steps:
            _attempt(lambda step=step: self._do(step))  # type: ignore[misc]  # mypy cannot infer a lambda's default
        self.done = []
        if alone:
            _attempt(lambda: self.engine.teardown(self.project, volumes=False))


def _attempt(undo: Callable[[], object]) -> None:
    """One step of taking back: where it fails, say so and go on with the rest."""
    try:
        undo()
    except VotesyncError as error:
        say(f"Could not be taken back: {error.message} {error.hint}")


def ask_all(engine: Engine, project: ComposeProject, names: Sequence[str]) -> tuple[Statuses, dict[str, str]]:
    """The nodes' own status, all asked at once; None for one that does not answer, and why not."""
    answers = each(names, lambda name: engine.admin(project, name, {"op": "status"}))
    statuses = {name: None if isinstance(answer, VotesyncError) else answer for name, answer in answers.items()}
    return statuses, {name: answer.message for name, answer in answers.items() if isinstance(answer, VotesyncError)}
