"""`votesync doctor`: what this machine has, what it lacks, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from votesync_cli import belongings, engines
from votesync_cli.cluster import CLIENT_PORT, PEER_PORT
from votesync_cli.commands.context import compose_file, read_project
from votesync_cli.errors import VotesyncError
from votesync_cli.options import Common
from votesync_cli.results import Check, DoctorResult

_LEAST_FREE = 512 * 1024 * 1024  # bytes: an image, five journals and some room
_PORTS = 5


def doctor(common: Common) -> DoctorResult:
    """Look at Python, docker, the directory, the disk and the ports; exit code 4 where something needed is missing."""
    directory = compose_file(common).parent
    checks = [_python(), _venv(), _docker(common), _compose(), _directory(directory), _disk(directory), _ports(), _file(common)]
    return DoctorResult(tuple(checks))


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", sys.version_info >= (3, 11), f"{version} at {sys.executable}", "Install Python 3.11 or newer.")


def _venv() -> Check:
    from importlib.util import find_spec

    there = find_spec("venv") is not None and find_spec("ensurepip") is not None
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return Check(
        "venv", there, "can make environments" if there else "ensurepip is missing", f"sudo apt install {package}", needed=False
    )


def _docker(common: Common) -> Check:
    needed = common.engine == "docker"
    try:
        engines.open_engine("docker").close()
    except VotesyncError as error:
        mend = error.hint if needed else f"{error.hint} The local engine does without."
        return Check("docker", False, error.message, mend, needed)
    return Check("docker", True, "its daemon answers", needed=needed)


def _compose() -> Check:
    for command in (["docker", "compose", "version", "--short"], ["docker-compose", "version", "--short"]):
        try:
            found = subprocess.run(command, capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if found.returncode == 0:
            return Check(
                "compose", True, f"{' '.join(command[:-2])} {found.stdout.decode(errors='replace').strip()}", needed=False
            )
    mend = "sudo apt install docker-compose-plugin (or docker-compose); votesync does without."
    return Check("compose", False, "neither docker compose nor docker-compose", mend, needed=False)


def _directory(directory: Path) -> Check:
    uid, gid = belongings.person()
    for path in (directory, directory / "shared_data", directory / ".votesync"):
        if path.exists() and not os.access(path, os.W_OK | os.X_OK):
            return Check("directory", False, f"{path} is not writable", f"sudo chown -R {uid}:{gid} '{path}'")
        if path.exists() and path.stat().st_uid != uid and os.geteuid() != 0:
            return Check(
                "directory", False, f"{path} belongs to user {path.stat().st_uid}", f"sudo chown -R {uid}:{gid} '{path}'"
            )
    return Check("directory", True, f"{directory} is writable")


def _disk(directory: Path) -> Check:
    free = shutil.disk_usage(directory).free
    return Check(
        "disk", free >= _LEAST_FREE, f"{free / 1024**3:.1f} GiB free", "Make room, or use a directory on another disk."
    )


def _ports() -> Check:
    ports = [*range(CLIENT_PORT, CLIENT_PORT + _PORTS), *range(PEER_PORT, PEER_PORT + _PORTS)]
    taken = [str(port) for port in ports if not _is_free(port)]
    if not taken:
        return Check("ports", True, f"{CLIENT_PORT}… and {PEER_PORT}… are free on 127.0.0.1", needed=False)
    mend = "Nothing to do: the local engine takes others, docker needs none. `ss -ltnp` says whose they are."
    return Check("ports", False, f"taken on 127.0.0.1: {', '.join(taken)}", mend, needed=False)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _file(common: Common) -> Check:
    path = compose_file(common)
    if not path.exists():
        return Check("compose file", True, f"no {path.name} yet; `votesync up` writes one", needed=False)
    try:
        project = read_project(common)
    except VotesyncError as error:
        return Check("compose file", False, error.message, error.hint)
    return Check("compose file", True, f"{path.name}: {len(project.nodes)} nodes, {len(project.clients)} clients")
