"""Wanted and observed in, operations out: what `up` is going to do, each step with its reason, and how to take it back.

An operation is one call on an engine (`recreate` is two). Nodes come before clients, what has to go comes first. A
second `up` finds nothing to do: a client that finished its work and ended with 0 is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from votesync_cli.compose_model import ComposeProject, Service

Kind = Literal["create", "start", "unpause", "recreate", "remove", "stop", "pause", "nothing"]


class Existing(Protocol):
    """What is looked at in an observed service (`engines.base.Observed` is one)."""

    @property
    def service(self) -> str:
        """Its name."""
        ...

    @property
    def role(self) -> str:
        """node or client."""
        ...

    @property
    def state(self) -> str:
        """created, running, paused, restarting, exited or dead."""
        ...

    @property
    def config_hash(self) -> str:
        """What it was started with; empty where that is not known."""
        ...

    @property
    def exit_code(self) -> int | None:
        """How it ended."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """One step: what to do with which service, and why."""

    kind: Kind
    service: str
    role: str
    reason: str

    def to_text(self) -> str:
        """One line of the plan."""
        return f"{self.kind:<8} {self.service}: {self.reason}"


def plan(project: ComposeProject, observed: Iterable[Existing]) -> tuple[Operation, ...]:
    """The operations that bring what is observed to what the project wants."""
    there = {existing.service: existing for existing in observed}
    wanted = {service.name for service in project.services}
    orphans = [existing for name, existing in sorted(there.items()) if name not in wanted]
    removed = [
        Operation("remove", existing.service, existing.role, f"{project.file.name} does not name it any more")
        for existing in sorted(orphans, key=lambda existing: existing.role != "client")
    ]
    return (*removed, *(_step(service, there.get(service.name)) for service in project.services))


def _step(service: Service, existing: Existing | None) -> Operation:
    def step(kind: Kind, reason: str) -> Operation:
        return Operation(kind, service.name, service.role, reason)

    if existing is None:
        return step("create", "it does not exist")
    if existing.state == "dead":
        return step("recreate", "the engine could not remove it entirely")
    if existing.config_hash and existing.config_hash != service.config_hash:
        return step("recreate", "its configuration has changed")
    match existing.state:
        case "running" | "restarting":
            return step("nothing", f"it is {existing.state}")
        case "paused":
            return step("unpause", "it is paused")
        case "created":
            return step("start", "it was created and never started")
    if service.role == "client" and existing.exit_code == 0:
        return step("nothing", "it has finished its work")
    return step("start", f"it ended with exit code {existing.exit_code}" if existing.exit_code is not None else "it has ended")


def rollback(done: Sequence[Operation]) -> tuple[Operation, ...]:
    """What takes back exactly what `done` did, last first. What was made anew is removed: the old one is gone."""
    opposite: dict[Kind, Kind] = {"create": "remove", "recreate": "remove", "start": "stop", "unpause": "pause"}
    return tuple(
        Operation(opposite[step.kind], step.service, step.role, f"this run did: {step.kind}")
        for step in reversed(done)
        if step.kind in opposite
    )


def changes(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """The operations that do something."""
    return tuple(step for step in operations if step.kind != "nothing")
