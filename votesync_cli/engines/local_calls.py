"""Talking to a service that runs on loopback: how it is, its admin socket, a command beside it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from node_runtime import ctl
from votesync_cli.compose_model import ComposeProject
from votesync_cli.engines import local_services
from votesync_cli.engines.base import Finished, Observed
from votesync_cli.engines.local_lives import Lives
from votesync_cli.engines.local_ports import LOOPBACK, rewriter
from votesync_cli.engines.local_spawn import as_user
from votesync_cli.engines.local_state import Record
from votesync_cli.errors import CommandFailed, TimedOut

_HEALTH_TIMEOUT = 1.0  # seconds; a node that is well answers in a few milliseconds


def observe(project: ComposeProject, lives: Lives) -> list[Observed]:
    """Every service, nodes asked for their health side by side."""
    names = lives.names()
    if not names:
        return []
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(lambda name: _observed(project, lives, name), names))


def run(
    record: Record,
    command: Sequence[str],
    ports: Mapping[str, Mapping[int, int]],
    directory: Path,
    stdin: bytes,
    timeout: float,
) -> Finished:
    """Run a command with a service's environment.

    Raises: TimedOut, CommandFailed where there is no such program.
    """
    words = local_services.command(command, rewriter(ports))
    try:
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            env=record.environment,
            cwd=directory,
            **as_user(record.user),
        )
    except subprocess.TimeoutExpired:
        raise TimedOut(
            f"{words[0]} for {record.service} did not end within {timeout:g} s.", "Try again with a longer --timeout."
        ) from None
    except OSError as error:
        raise CommandFailed(f"{words[0]} cannot be run: {error.strerror}.", "Check how the command is written.") from None
    return Finished(done.returncode, done.stdout, done.stderr)


def admin(record: Record, request: dict[str, object], timeout: float) -> dict[str, object]:
    """One question to a node's admin socket.

    Raises: TimedOut, CommandFailed.
    """
    if record.role != "node":
        raise CommandFailed(f"{record.service} is no node and answers no questions.", "Name a node.")
    try:
        return ctl.ask(record.environment["DATA_DIR"], request, timeout)
    except TimeoutError:
        raise TimedOut(f"{record.service} did not answer within {timeout:g} s.", "See `votesync ps`, and its log.") from None
    except (OSError, ValueError) as error:
        raise CommandFailed(
            f"{record.service} cannot be asked: {error}.", "It may just be starting; see `votesync ps`, and its log."
        ) from None


def _observed(project: ComposeProject, lives: Lives, name: str) -> Observed:
    wanted = next((service for service in project.services if service.name == name), None)
    record = lives.state.records.get(name)
    if record is None:  # its state file is damaged: it runs, and the compose file says what it should be
        return Observed(name, wanted.role if wanted else "node", wanted.id if wanted else -1, lives.look_at(name).state)
    life = lives.settled(record)
    port = record.environment.get("PORT") if record.role == "node" else None
    return Observed(
        service=name,
        role=record.role,
        id=record.id,
        state=life.state,
        health=_health(record) if life.state == "running" and record.start_period is not None else "",
        config_hash=record.config_hash,
        pid=life.own.identity.pid if life.own else None,
        exit_code=life.exit_code,
        client_address=f"{LOOPBACK}:{port}" if port else None,
        started_at=record.started_at,
    )


def _health(record: Record) -> str:
    try:
        answer = ctl.ask(record.environment["DATA_DIR"], {"op": "health"}, _HEALTH_TIMEOUT)
    except (OSError, ValueError):
        answer = {}
    if answer.get("healthy") is True:
        return "healthy"
    young = time.time() - record.started_at < (record.start_period or 0.0)
    return "starting" if young else "unhealthy"
