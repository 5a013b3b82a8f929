"""Chaos for as long as told, run after run on one cluster, with the nodes' memory and descriptors watched: `make soak`.

Each run (two minutes by default) draws its faults from its own seed, then heals, drains and verifies the whole file with all
evidence. What the nodes' processes hold is read from /proc, so this runs on the local engine of a Linux machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node_runtime import ctl

ROOT = Path(__file__).resolve().parents[2]
EVERY = 5.0  # seconds between two samples
LEAST_LIFE = 60.0  # seconds that a process must have lived for its slope to count


class Sample(NamedTuple):
    """One look at one node's process: monotonic seconds, KiB of memory, descriptors, rounds decided."""

    at: float
    node: int
    pid: int
    rss: int
    descriptors: int
    decided: int


class Sampler(threading.Thread):
    """Looks at every node's process until it is told to end."""

    def __init__(self, data: Path, nodes: int) -> None:
        super().__init__(daemon=True)
        self.samples: list[Sample] = []
        self._data = data
        self._nodes = nodes
        self.ended = threading.Event()

    def run(self) -> None:
        """Sample."""
        while not self.ended.wait(EVERY):
            self.samples += filter(None, map(self._look, range(self._nodes)))

    def _look(self, node: int) -> Sample | None:
        try:
            said: Any = ctl.ask(str(self._data / f"cluster_sync_{node + 1}"), {"op": "status"}, 0.5)
            pid = int(said["pid"])
            rss = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, ValueError, KeyError, StopIteration):
            return None  # it is down or paused just now
        return Sample(time.monotonic(), node, pid, int(rss.split()[1]), descriptors, int(said["decided"]))


class Slope(NamedTuple):
    """Growth by least squares over the lives of processes, weighted by their length."""

    per_hour: float
    per_thousand_rounds: float
    seconds: float


def slope(samples: Sequence[Sample], field: str) -> Slope:
    """How fast a figure grows, per hour and per thousand rounds, over all lives that were long enough."""
    lives: dict[int, list[Sample]] = {}
    for sample in samples:
        lives.setdefault(sample.pid, []).append(sample)
    weight = hourly = by_rounds = 0.0
    for life in lives.values():
        length = life[-1].at - life[0].at
        if length < LEAST_LIFE:
            continue
        values = [float(getattr(sample, field)) for sample in life]
        weight += length
        hourly += length * _fit([sample.at for sample in life], values) * 3600
        by_rounds += length * _fit([float(sample.decided) for sample in life], values) * 1000
    return Slope(hourly / weight, by_rounds / weight, weight) if weight else Slope(float("nan"), float("nan"), 0.0)


def _fit(xs: Sequence[float], ys: Sequence[float]) -> float:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0


def votesync(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb in the cluster's directory."""
    command = [sys.executable, "-m", "votesync_cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True, check=False)


def own_ports(file: Path) -> None:
    """Give the nodes ports that no other cluster of this machine begins with, so that none takes a dead node's."""
    base = 20_000 + os.getpid() % 900 * 10
    text = re.sub(r'(?<=PORT: ")5(\d{3})', lambda found: str(base + int(found[1])), file.read_text())
    text = re.sub(r'(?<=CLUSTER_PORT: ")6(\d{3})', lambda found: str(base + 10_000 + int(found[1])), text)
    text = re.sub(r"(?<=:)5(\d{3})\b", lambda found: str(base + int(found[1])), text)
    file.write_text(re.sub(r"(?<=:)6(\d{3})\b", lambda found: str(base + 10_000 + int(found[1])), text))


class Totals:
    """What the runs add up to."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.failed: list[str] = []

    def take(self, done: subprocess.CompletedProcess[str], seed: int) -> str:
        """Count one run; returns its verdict."""
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        last = rows[-1] if rows and "verdict" in rows[-1] else {"verdict": f"exit code {done.returncode}"}
        verdict = str(last["verdict"])
        self.verdicts[verdict] += 1
        if verdict != "PASS":
            self.failed.append(f"seed {seed}: {verdict}: {'; '.join([*last.get('wrong', ()), *last.get('doubts', ())])}")
        self.kinds.update(row["fault"].split()[0] for row in rows if "fault" in row and not row["skipped"])
        for name in ("acked", "invoked", "faults", "skipped", "under_load", "leader_changes", "turns_taken_over", "restarts"):
            self.counts[name] += int(last.get(name, 0))
        return verdict


def table(totals: Totals, samples: Sequence[Sample], seconds: float, options: argparse.Namespace, size: int) -> str:
    """The result as Markdown."""
    memory, descriptors = slope(samples, "rss"), slope(samples, "descriptors")
    counts = totals.counts
    rows = [
        ("machine", f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"),
        ("duration", f"{seconds:,.0f} s, {sum(totals.verdicts.values())} runs from seed {options.seed}"),
        ("verdicts", ", ".join(f"{count} {verdict}" for verdict, count in totals.verdicts.items())),
        ("cluster", f"{options.nodes} nodes, {options.nodes} clients, local engine"),
        ("messages acknowledged", f"{counts['acked']:,} (file: {size:,} bytes)"),
        ("faults made", f"{counts['faults']:,} ({counts['under_load']:,} under load, {counts['skipped']:,} skipped)"),
        ("by kind", ", ".join(f"{kind} {count}" for kind, count in sorted(totals.kinds.items()))),
        ("changes of leader", f"{counts['leader_changes']:,}"),
        ("turns taken over", f"{counts['turns_taken_over']:,}"),
        ("restarts of nodes", f"{counts['restarts']:,}"),
        ("memory of a node", f"{_span(samples, 'rss')} KiB; {memory.per_thousand_rounds:+,.0f} KiB a thousand rounds"),
        ("descriptors of a node", f"{_span(samples, 'descriptors')}; {descriptors.per_hour:+,.1f} an hour"),
        ("slopes from", f"{memory.seconds:,.0f} s of processes that lived {LEAST_LIFE:g} s or more"),
    ]
    return "\n".join(["| what | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _span(samples: Sequence[Sample], field: str) -> str:
    values = sorted(int(getattr(sample, field)) for sample in samples)
    return f"{values[0]:,} to {values[-1]:,}" if values else "unknown"


def main() -> int:
    """Run, print the table; 1 where a run failed, 3 where none passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--run", type=float, default=120.0, help="seconds of faults in one run")
    parser.add_argument("--drain", type=float, default=60.0, help="seconds that a healed cluster may take to be well again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=Path(".soak"))
    options = parser.parse_args()
    directory: Path = options.directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    load = ["--faults", "--messages", "1000000", "--rate", "50", "--in-flight", "4"]
    chaos = ["chaos", "--json", "--drain", f"{options.drain:.0f}"]
    votesync(directory, "down", "-v")
    votesync(directory, "generate", "--force", "--nodes", str(options.nodes), *load)
    own_ports(directory / "compose.yml")
    if votesync(directory, "up", "--engine", "local", "--fresh").returncode:
        return 1
    sampler = Sampler(directory / ".votesync" / "data", options.nodes)
    sampler.start()
    totals, start, seed = Totals(), time.monotonic(), int(options.seed)
    try:
        while (left := options.seconds - (time.monotonic() - start)) > 1:
            length = f"{min(options.run, left):.0f}"
            verdict = totals.take(votesync(directory, *chaos, "--seed", str(seed), "--for", length), seed)
            print(
                f"{time.monotonic() - start:8.0f} s  seed {seed}: {verdict}; {totals.counts['acked']:,} acknowledged",
                flush=True,
            )
            seed += 1
    finally:
        sampler.ended.set()
        sampler.join()
        size = (directory / "shared_data" / "output.txt").stat().st_size
        votesync(directory, "down")
        print(table(totals, sampler.samples, time.monotonic() - start, options, size))
        print("".join(f"\n{line}" for line in totals.failed))
    return (
        1
        if totals.verdicts["PASS"] + totals.verdicts["INCONCLUSIVE"] < sum(totals.verdicts.values())
        else (0 if totals.verdicts["PASS"] else 3)
    )


if __name__ == "__main__":
    sys.exit(main())
