"""Fuzzes the decoders with Atheris: `python tests/fuzz/fuzz.py [--seconds N] [TARGET…]`, each target in a process of its own.

What breaks one is left in `.fuzz/<target>/` and is run again first the next time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".fuzz"


def one(name: str, seconds: float) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris

    with atheris.instrument_imports(include=["node_runtime", "votesync_cli"]):
        from tests.fuzz.targets import SEEDS, TARGETS
    corpus = PLACE / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(name, [])):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds:.0f}", "-max_len=4096", "-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={corpus}/crash-", str(corpus)], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """Fuzz all targets, or those named; 1 where one broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.targets[0], options.seconds)
    from tests.fuzz.targets import TARGETS

    broken = []
    for name in options.targets or TARGETS:
        command = [sys.executable, __file__, "--one", "--seconds", str(options.seconds), name]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        runs = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
        print(f"{name:<12} {'broken' if done.returncode else 'held'}, {runs[-1] if runs else 'unknown'} inputs", flush=True)
        if done.returncode:
            broken.append(name)
            print(done.stderr[-3000:])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
