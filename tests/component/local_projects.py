"""Small projects for the local engine: services that are a few lines of Python instead of nodes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from votesync_cli.compose_model import ComposeProject, Healthcheck, Mount, Port, Role, Service
from votesync_cli.engines.base import Observed
from votesync_cli.engines.local import LocalEngine
from votesync_cli.engines.local_processes import ProcFs

LIMIT = 20.0  # seconds until a condition counts as never coming true

# Says that it is there, then waits for ever; SIGTERM ends it with 0, with a last word.
WAITER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), os._exit(0)))
print("up", os.getpid(), flush=True)
while True:
    signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"


def service(name: str, code: str, directory: Path, *, id: int = 0, role: Role = "client", **said: str) -> Service:
    """A service whose process is `python -c code`."""
    return Service(
        name=name,
        role=role,
        id=id,
        image="none",
        command=("python", "-c", code),
        environment={"ID": str(id), "SHARED_DIR": "/shared", "DATA_DIR": "/data", **said},
        volumes=(
            Mount(directory / "shared_data", "/shared"),
            Mount(directory / ".votesync" / "data" / name, "/data"),
        ),
    )


def node(
    directory: Path, id: int, code: str = WAITER, *, ports: tuple[Port, ...] = (), sick: bool = False, **said: str
) -> Service:
    """A node service by its looks; `sick` gives it a healthcheck with no patience."""
    made = service(f"cluster_sync_{id + 1}", code, directory, id=id, role="node", **said)
    values = {field: getattr(made, field) for field in made.__dataclass_fields__}
    return Service(**{**values, "ports": ports, "healthcheck": Healthcheck(("true",), start_period=0.0) if sick else None})


def project(directory: Path, *services: Service, name: str = "toy") -> ComposeProject:
    """A project of these services."""
    return ComposeProject(name, directory, directory / "compose.yml", services)


def start_all(engine: LocalEngine, made: ComposeProject) -> None:
    """What `up` does, without waiting for anything."""
    engine.prepare(made, lambda _: None)
    for one in made.services:
        engine.create(made, one)
    engine.close()


def remove_all(engine: LocalEngine, made: ComposeProject) -> None:
    """What `down` does."""
    for seen in engine.observe(made):
        engine.remove(made, seen.service)
    engine.teardown(made, volumes=False)


def seen(engine: LocalEngine, made: ComposeProject, name: str) -> Observed:
    """One service as the engine finds it."""
    return next(one for one in engine.observe(made) if one.service == name)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; the test fails with `what` if it does not come."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process with this pid runs (one that waits to be reaped does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False
    return stat[stat.rindex(b")") + 2 :][:1] not in b"ZX"


def sweep(directory: Path) -> None:
    """What a test has left running under a directory is ended, and the test is told."""
    left = ProcFs().marked(f"{directory}/")
    for one in left:
        os.kill(one.identity.pid, signal.SIGKILL)
    assert left == [], "nothing may be left running"


def log_of(made: ComposeProject, name: str) -> str:
    """What a service has written so far."""
    path = made.state_dir / "local" / made.name / f"{name}.log"
    return path.read_text() if path.exists() else ""


def file_of(made: ComposeProject) -> Path:
    """The engine's state file."""
    return made.state_dir / "local" / made.name / "state.json"


def descriptors(pid: int) -> list[str]:
    """Where the descriptors of a process lead."""
    return sorted(os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir())
