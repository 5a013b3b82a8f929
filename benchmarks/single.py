"""Single figures of votesync: how fast `verify` reads, how long `up` and a fail-over take, what an idle cluster costs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.compare import say
from benchmarks.procs import BenchmarkError, child_environment, python
from benchmarks.store import Result
from benchmarks.systems.base import MEMBERS
from benchmarks.systems.votesync import SETTINGS, Cluster, cluster
from node_runtime.config import Tunables
from node_runtime.records import native_block, render_round

UP_S = 2.0
ELECTION_MAX_S = Tunables().election_max_ms / 1000
GAP_S = 1.5 * ELECTION_MAX_S
IDLE_PERCENT = 3.0
IDLE_RSS_MB = 35.0
BLOCKS_PER_S = 1_000_000
TIMES_WC = 8.0
SETTLE_S = 2.0


def fact(
    what: str, unit: str, values: Sequence[float], limit: float | None = None, *, at_least: bool = False
) -> dict[str, Any]:
    """A named figure, measured some times, and what it is held against."""
    say(f"{what}: {', '.join(f'{value:,.3g}' for value in values)} {unit}")
    return {"what": what, "unit": unit, "values": [round(v, 4) for v in values], "limit": limit, "at_least": at_least}


# --- verify ---


def verify(directory: Path, blocks: int, repetitions: int) -> Result:
    """`votesync verify FILE` on files of so many blocks, beside `wc -l` and `sha256sum` of the same file."""
    about, facts = machine.describe(directory), []
    with tempfile.TemporaryDirectory(prefix="votesync-bench-", dir=directory) as place:
        for round_size in (5, 1000):
            file = Path(place) / f"output-{round_size}.txt"
            _write_file(file, blocks, round_size)
            times, plain, memory = [], [], []
            for _ in range(repetitions):
                plain.append(_run(["wc", "-l", str(file)])[0] + _run(["sha256sum", str(file)])[0])
                took, peak = _run(python("-m", "votesync_cli", "verify", str(file)), Path(place), (0, 3))
                times.append(took)
                memory.append(peak)
            rates = [blocks / took for took in times]
            of = f"rounds of {round_size}"
            facts += [
                fact(f"verify, {of}", "blocks/s", rates, BLOCKS_PER_S, at_least=True),
                fact(f"the same over `wc -l` and `sha256sum`, {of}", "×", _ratios(times, plain), TIMES_WC),
                fact(f"memory of verify at its peak, {of}", "MB", memory),
            ]
    return {"machine": about, "facts": facts, "notes": [f"Files of {blocks:,} blocks; the start of the program included."]}


def _ratios(times: Sequence[float], plain: Sequence[float]) -> list[float]:
    return [mine / theirs for mine, theirs in zip(times, plain, strict=True)]


def _write_file(file: Path, blocks: int, round_size: int) -> None:
    """Rounds of five sessions whose numbers and times ascend."""
    stamp, written = 1_700_000_000_000_000, 0
    with file.open("wb") as out:
        while written < blocks:
            many = range(written, min(written + round_size, blocks))
            made = [native_block(at % MEMBERS, str(at % MEMBERS), stamp + at, f"{at // MEMBERS + 1}") for at in many]
            out.write(render_round(made))
            written += len(many)


def _run(command: Sequence[str], cwd: Path | None = None, codes: Sequence[int] = (0,)) -> tuple[float, float]:
    """Seconds that a command takes, and its memory at the peak in MB.

    Raises: BenchmarkError where it fails.
    """
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=cwd, env=child_environment())
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - began
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        raise BenchmarkError(f"{command[-2:]} ended with {process.returncode}: {said.strip()[-300:]}")
    return took, usage.ru_maxrss * 1024 / 1e6


# --- up ---


def up(directory: Path, repetitions: int) -> Result:
    """`votesync up --nodes 5` on the local engine, from the command to its end: formed, every node in touch."""
    about, times, downs = machine.describe(directory), [], []
    votesync = python("-m", "votesync_cli", "--engine", "local")
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory(prefix="votesync-bench-", dir=directory) as place:
            try:
                times.append(_run([*votesync, "up", "--nodes", "5", "--messages", "0"], Path(place))[0])
            finally:
                downs.append(_run([*votesync, "down", "-v"], Path(place))[0])
    facts = [
        fact("`votesync up --nodes 5` until formed", "s", times, UP_S),
        fact("`votesync down -v`", "s", downs),
    ]
    return {"machine": about, "facts": facts}


# --- fail-over ---


def failover(directory: Path, repetitions: int) -> Result:
    """The leader is killed (SIGKILL) and at once a message is sent through another node: how long until it is written."""
    about, gaps = machine.describe(directory), []
    with (
        tempfile.TemporaryDirectory(prefix="votesync-bench-", dir=directory) as place,
        cluster(Path(place) / "run", MEMBERS, "turns", SETTINGS["turns"]) as made,
    ):
        for turn in range(repetitions):
            gaps.append(_kill_leader(made, turn))
            made.form()
    asked = f"Asked: 1.5 × the election timeout's upper bound ({ELECTION_MAX_S * 1000:g} ms by default), median."
    return {
        "machine": about,
        "facts": [fact("leader killed until the next message is written", "s", gaps, GAP_S)],
        "notes": [asked],
    }


def _kill_leader(made: Cluster, turn: int) -> float:
    leader = next(node for node in made.configs if made.status(node).get("role") == "leader")
    survivor = (leader + 1) % len(made.configs)
    with _lines(made.ports[survivor]) as ask:
        ask(f'{{"op":"append","session":"before{turn}","seq":1,"time":1,"message":"x"}}')
        process = made.group.running[f"node{leader}"]
        began = time.monotonic()
        process.kill()
        reply = ask(f'{{"op":"append","session":"after{turn}","seq":1,"time":1,"message":"x"}}')
        while not reply["ok"]:
            if not reply.get("retry") or time.monotonic() - began > 60:
                raise BenchmarkError(f"a message was refused: {reply}")
            reply = ask(f'{{"op":"append","session":"after{turn}","seq":1,"time":1,"message":"x"}}')
        took = time.monotonic() - began
    process.wait()
    made.start(leader)
    return took


@contextlib.contextmanager
def _lines(port: int) -> Iterator[Any]:
    """A conversation with a node: a line there, a reply back."""
    with socket.create_connection(("127.0.0.1", port), timeout=30.0) as link, link.makefile("rwb") as file:

        def ask(line: str) -> dict[str, Any]:
            file.write(line.encode() + b"\n")
            file.flush()
            reply: dict[str, Any] = json.loads(file.readline())
            return reply

        yield ask


# --- idle ---


def idle(directory: Path, seconds: float, repetitions: int) -> Result:
    """Five nodes that nobody talks to: processor time of all, memory of each."""
    about, percents, memory = machine.describe(directory), [], []
    for _ in range(repetitions):
        with (
            tempfile.TemporaryDirectory(prefix="votesync-bench-", dir=directory) as place,
            cluster(Path(place) / "run", MEMBERS, "turns", SETTINGS["turns"]) as made,
        ):
            time.sleep(SETTLE_S)
            before = made.group.cpu()
            time.sleep(seconds)
            percents.append(100 * (made.group.cpu() - before) / seconds)
            memory.append(max(made.group.rss()) / 1e6)
    facts = [
        fact("processor time of five idle nodes", "% of one core", percents, IDLE_PERCENT),
        fact("memory of the greatest idle node", "MB", memory, IDLE_RSS_MB),
    ]
    return {"machine": about, "facts": facts, "notes": [f"Over {seconds:g} s each."]}
