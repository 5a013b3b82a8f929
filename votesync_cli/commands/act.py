"""What `kill`, `stop`, `start`, `pause`, `unpause` and `restart` have in common: find the service, do it, say so."""

from __future__ import annotations

from collections.abc import Callable

from votesync_cli.commands import keeping
from votesync_cli.commands.context import existing, open_engine, read_project
from votesync_cli.commands.fault import who_is
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines.base import Engine, Observed
from votesync_cli.errors import CommandFailed
from votesync_cli.fault_words import ROLES
from votesync_cli.options import Common
from votesync_cli.results import Said

Deed = Callable[[Engine, ComposeProject, Service, Observed], None]


def act(common: Common, node: str, verb: str, past: str, deed: Deed) -> Said:
    """Do `deed` to the service that `node` means; `past` is the verb as the sentence has it.

    Raises: UsageError for a service that there is not, CommandFailed where it is not in a state for this.
    """
    project = read_project(common)
    with open_engine(common, project) as engine:
        service = project.find(str(who_is(engine, project, node)) if node in ROLES else node)
        deed(engine, project, service, existing(engine, project, service.name))
        now = existing(engine, project, service.name)
    keeping.note_deed(project, verb, service.name)
    facts = {"project": project.name, "service": service.name, "role": service.role, "id": service.id, "state": now.state}
    return Said(verb, f"{service.name} {past}.", facts)


def refuse_paused(verb: str, found: Observed) -> None:
    """Refuse what cannot be done to a paused service.

    Raises: CommandFailed.
    """
    if found.state == "paused":
        raise CommandFailed(
            f"{found.service} is paused, so it cannot be {verb}.", f"Run `votesync unpause {found.service}` first."
        )


def refuse_unless_running(verb: str, found: Observed) -> None:
    """Refuse what needs a running service.

    Raises: CommandFailed.
    """
    if found.state not in {"running", "restarting"}:
        hint = f"Run `votesync {'unpause' if found.state == 'paused' else 'start'} {found.service}` first."
        raise CommandFailed(f"{found.service} is {found.state}, so it cannot be {verb}.", hint)
