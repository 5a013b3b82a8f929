"""A real cluster on the local engine: driven through the command line, watched from outside, judged from its files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from node_runtime import ctl, votelog
from votesync_cli.compose import ComposeProject, load
from votesync_cli.engines.base import Observed
from votesync_cli.engines.local import LocalEngine
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.history import read_histories
from votesync_cli.verify.verdict import Status

LIMIT = 40.0  # seconds until a condition counts as never coming true
ROOT = Path(__file__).resolve().parents[3]
_BLOCK = re.compile(rb"Container (\d+) \nMensagem: client (\S+) time: (\d+) - message: (\d+)\n")


def until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for a condition; the test fails with `what` if it does not come."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"in vain for {limit:g} s: {what}"
        time.sleep(0.02)


class Cluster:
    """One project in a directory of its own."""

    def __init__(self, directory: Path, nodes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.nodes = nodes
        self.engine = LocalEngine()

    # --- the command line ---

    def command(self, *words: str) -> list[str]:
        """The command line of a verb."""
        return [sys.executable, "-m", "votesync_cli", *words]

    @property
    def environment(self) -> dict[str, str]:
        """What a verb is started with."""
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def cli(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a verb and hold it to its exit code."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"votesync {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def begin(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start a verb without waiting for it; its stderr is a pipe."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def up(self, *words: str) -> None:
        """`votesync up` on the local engine."""
        self.cli("up", "--engine", "local", "--nodes", str(self.nodes), *words)

    # --- looking ---

    @property
    def project(self) -> ComposeProject:
        """What the compose file says."""
        return load(self.directory / "compose.yml", self.directory.name)

    @property
    def output(self) -> Path:
        """The shared file."""
        return self.directory / "shared_data" / "output.txt"

    def data(self) -> bytes:
        """What is in it now."""
        return self.output.read_bytes() if self.output.exists() else b""

    def seen(self, name: str) -> Observed:
        """A service as the engine finds it."""
        return next(one for one in self.engine.observe(self.project) if one.service == name)

    def pid(self, node: int) -> int:
        """The pid of a node."""
        pid = self.seen(f"cluster_sync_{node + 1}").pid
        assert pid is not None
        return pid

    def status(self, node: int) -> dict[str, Any]:
        """What a node says of itself; empty where it does not answer."""
        directory = self.directory / ".votesync" / "data" / f"cluster_sync_{node + 1}"
        try:
            return dict(ctl.ask(str(directory), {"op": "status"}, 1.0))
        except (OSError, ValueError):
            return {}

    def leader(self) -> int:
        """The node that leads now."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [
                node for node in range(self.nodes) if (said := self.status(node)).get("role") == "leader" and said["healthy"]
            ]
            return len(found) == 1

        until(look, "one node leads")
        return found[0]

    def has_caught_up(self, node: int) -> bool:
        """Whether a node follows a leader and has decided what the leader has, or leads itself."""
        own = self.status(node)
        if not own.get("healthy") or own.get("leader") is None:
            return False
        return bool(own["decided"] >= self.status(own["leader"]).get("decided", sys.maxsize))

    def events(self, node: int, kind: str) -> list[dict[str, Any]]:
        """A node's vote events of one kind."""
        lines = self.engine.logs(self.project, [f"cluster_sync_{node + 1}"], follow=False, since=None)
        found = (votelog.decode(line.line) for line in lines)
        return [event for event in found if event is not None and event["event"] == kind]

    def processes(self) -> list[int]:
        """The pids of all that runs for this project, its supervisors too, as /proc knows it."""
        mark = f"VOTESYNC_LOCAL={self.directory.resolve()}/".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mark in _environ(pid)]

    # --- load ---

    def start_clients(self) -> None:
        """A new batch of messages from every client, and the first of it in the file."""
        before = len(self.data())
        for client in self.project.clients:
            self.engine.start(self.project, client.name)
        self.engine.close()
        until(lambda: len(self.data()) > before + 2000, "the clients' messages reach the file")

    def await_clients(self) -> None:
        """`votesync wait`: every client has ended with 0."""
        self.cli("wait", "--timeout", str(LIMIT))

    # --- harm ---

    def kill(self, *nodes: int) -> None:
        """SIGKILL, all of them within a few milliseconds."""
        for node in nodes:
            self.engine.kill(self.project, f"cluster_sync_{node + 1}")
        for node in nodes:
            assert self.seen(f"cluster_sync_{node + 1}").exit_code == 137

    def revive(self, *nodes: int) -> None:
        """Start nodes again and wait until they have caught up."""
        for node in nodes:
            self.engine.start(self.project, f"cluster_sync_{node + 1}")
        self.engine.close()
        for node in nodes:
            until(lambda node=node: self.has_caught_up(node), f"node {node} catches up")  # type: ignore[misc]  # lambda's default

    # --- judging ---

    def judge(self) -> None:
        """The file against the clients' histories: by `verify`, and by a few lines that share no code with it."""
        histories = sorted((self.directory / "shared_data" / "history").glob("*.jsonl"))
        report = check(self.output, Evidence(read_histories(histories)))
        verdicts = {verdict.rule: verdict.status for verdict in report.verdicts}
        assert report.failed == (), report.to_text() + "\n".join(report.counterexamples())
        rules = ("framing", "order", "session-order", "complete", "no-loss", "no-duplicate", "no-invention", "real-time")
        assert {rule: verdicts[rule] for rule in rules} == dict.fromkeys(rules, Status.PASS), report.to_text()
        self._judge_plainly(histories)

    def _judge_plainly(self, histories: list[Path]) -> None:
        in_file: dict[str, list[int]] = {}
        for match in _BLOCK.finditer(self.data()):
            in_file.setdefault(match[2].decode(), []).append(int(match[4]))
        for session, numbers in in_file.items():
            assert numbers == list(range(1, len(numbers) + 1)), f"session {session} is in order, whole and single"
        for path in histories:
            acked = [event["seq"] for event in map(json.loads, path.read_text().splitlines()) if event["event"] == "ok"]
            session = json.loads(path.read_text().splitlines()[0])["session"]
            assert max(acked) == len(in_file[session]), f"all that session {session} was told of is there"


class Watcher:
    """Reads the shared file all the time; each reading must begin with the one before it (promise 7)."""

    def __init__(self, path: Path) -> None:
        self.readings = 0
        self.wrong: list[str] = []
        self.last = b""
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Nothing was ever taken back, and it did look."""
        assert self.wrong == []
        assert self.readings > 10

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            if not self._path.exists():
                continue
            now = self._path.read_bytes()
            self.readings += 1
            if not now.startswith(self.last):
                self.wrong.append(f"reading {self.readings}: {len(self.last)} bytes were not the beginning of {len(now)}")
                return
            self.last = now


def _environ(pid: int) -> bytes:
    try:
        if Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in {b"Z", b"X"}:
            return b""
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def end(process: subprocess.Popen[str], number: signal.Signals) -> int:
    """Send a signal and wait for the end; the exit code."""
    process.send_signal(number)
    return process.wait(LIMIT)
