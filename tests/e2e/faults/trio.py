"""Three real nodes without an engine, so that one can run under strace, which kills it or lies to it at a chosen call."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from node_runtime import ctl
from node_runtime.config import Address, format_peers
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.history import read_histories
from votesync_cli.verify.verdict import Status

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 40.0
VICTIM = 0
MESSAGES = 20  # one at a time, so each is a round of its own
QUICK = {"ELECTION_MIN_MS": "200", "ELECTION_MAX_MS": "260"}  # whoever has these stands first and wins
SLOW = {"ELECTION_MIN_MS": "700", "ELECTION_MAX_MS": "1000"}


def until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for a condition; the test fails with `what` if it does not come."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"in vain for {limit:g} s: {what}"
        time.sleep(0.01)


class Trio:
    """Nodes 0, 1, 2 in one directory; node 0 is the victim. `leads`: whether the victim is to win the first election."""

    def __init__(self, directory: Path, *, leads: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.shared = directory / "shared"
        self._leads = leads
        self._ports = _free_ports(6)
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    # --- processes ---

    def data(self, node: int) -> Path:
        """A node's data directory."""
        return self.directory / f"data{node}"

    def start(self, node: int, *strace: str) -> None:
        """Start a node, under strace where its options are given."""
        assert node not in self._running
        for path in (self.shared, self.data(node)):
            path.mkdir(exist_ok=True)
        # where seccomp makes the stops, which is quicker, Linux passes on no signal
        quick = [] if any("signal=" in word for word in strace) else ["--seccomp-bpf"]
        tracer = ["strace", "-f", *quick, "-qq", "-o", str(self.calls), *strace] if strace else []
        peers = {peer: Address("127.0.0.1", self._ports[peer]) for peer in range(3)}
        told = {
            "ID": str(node), "BIND": "127.0.0.1", "PORT": str(self._ports[3 + node]), "CLUSTER_PORT": str(self._ports[node]),
            "PEERS": format_peers(peers), "SHARED_DIR": str(self.shared), "DATA_DIR": str(self.data(node)), "CLUSTER": "trio",
        }  # fmt: skip
        told |= (QUICK if node == VICTIM else SLOW) if self._leads else {}
        with (self.directory / f"out{node}").open("ab") as out, self.errors(node).open("ab") as errors:
            command = [*tracer, sys.executable, "-m", "node_runtime", "node"]
            self._running[node] = subprocess.Popen(command, cwd=ROOT, env=_environment(told), stdout=out, stderr=errors)

    def errors(self, node: int) -> Path:
        """What a node wrote to stderr."""
        return self.directory / f"err{node}"

    @property
    def calls(self) -> Path:
        """What strace wrote."""
        return self.directory / "calls"

    def code(self, node: int) -> int | None:
        """How a node ended (negative: by a signal), None while it runs."""
        return self._running[node].poll()

    def forget(self, node: int) -> None:
        """It has ended; it may be started again."""
        assert self._running.pop(node).wait(LIMIT) is not None

    def end(self, node: int, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the node itself, which may be strace's child, and wait for the end."""
        process = self._running[node]
        for pid in _children(process.pid) or [process.pid]:
            os.kill(pid, number)
        code = process.wait(LIMIT)
        self.forget(node)
        return code

    def close(self) -> None:
        """End all that runs."""
        for node in list(self._running):
            if self.code(node) is None:
                self.end(node, signal.SIGKILL)
            else:
                self.forget(node)

    # --- looking and sending ---

    def status(self, node: int) -> dict[str, Any]:
        """What a node says; empty where it says nothing."""
        try:
            return dict(ctl.ask(str(self.data(node)), {"op": "status"}, 1.0))
        except (OSError, ValueError):
            return {}

    def is_well(self, node: int) -> bool:
        """Whether it can decide."""
        return self.status(node).get("healthy") is True

    def send(self, through: int = 1) -> None:
        """Twenty messages, one after the other, first through this node and through another where it dies.

        Raises: AssertionError where not all are acknowledged.
        """
        nodes = format_peers({node: Address("127.0.0.1", self._ports[3 + node]) for node in range(3)})
        told = {"ID": str(through), "NODES": nodes, "MESSAGES": str(MESSAGES), "SHARED_DIR": str(self.shared)}
        command = [sys.executable, "-m", "node_runtime", "client"]
        done = subprocess.run(command, cwd=ROOT, env=_environment(told), capture_output=True, timeout=LIMIT, check=False)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def agree(self, nodes: Sequence[int] = (0, 1, 2)) -> None:
        """Wait until these nodes have decided the same and all of it is in the file."""

        def same() -> bool:
            told = [self.status(node) for node in nodes]
            output = self.shared / "output.txt"
            size = output.stat().st_size if output.exists() else 0
            return all(said.get("healthy") for said in told) and {(said["decided"], said["written"]) for said in told} == {
                (told[0]["decided"], size)
            }

        until(same, f"nodes {list(nodes)} agree")

    def judge(self) -> None:
        """Stop everything and hold file, histories and journals against each other."""
        for node in list(self._running):
            assert self.end(node) == 0, self.errors(node).read_text()
        self.compare()

    def compare(self) -> None:
        """Hold file, histories and journals against each other; nothing may be decided meanwhile."""
        histories = read_histories(sorted((self.shared / "history").glob("*.jsonl")))
        report = check(self.shared / "output.txt", Evidence(histories, journals=[self.data(node) for node in range(3)]))
        assert report.failed == (), report.to_text()
        verdicts = {verdict.rule: verdict.status for verdict in report.verdicts}
        for rule in ("framing", "order", "session-order", "complete", "no-loss", "no-duplicate", "no-invention", "agreement"):
            assert verdicts[rule] is Status.PASS, report.to_text()


def _environment(told: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **told, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in path.read_text().split()]
    return found


def _free_ports(count: int) -> list[int]:
    socks = [socket.socket() for _ in range(count)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [int(sock.getsockname()[1]) for sock in socks]
    for sock in socks:
        sock.close()
    return ports
