"""`make demo`: five nodes and five clients, the votes while they happen, a killed leader, and the verdict on the file.

    python examples/demo.py [--engine auto|docker|local] [DIRECTORY]

Every line that begins with `$` is a command that anybody can type. It leaves nothing running, whatever happens.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VOTESYNC = [sys.executable, "-m", "votesync_cli"]
UP = ["up", "--nodes", "5", "--messages", "50", "--rate", "4", "--round-window", "100"]
PULL_SECONDS = 40.0  # without a new layer: then the base image cannot be had
MARK = ".made-by-the-demo"
ENVIRONMENT = 4  # votesync's exit code where the machine is at fault


class Failed(Exception):
    """The demo cannot go on; its words have been said, `code` is the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def main() -> int:
    parser = argparse.ArgumentParser(description="A cluster of five: start, watch, break, verify, stop.")
    parser.add_argument("--engine", choices=["auto", "docker", "local"], default="auto")
    parser.add_argument("directory", nargs="?", type=Path, default=ROOT / "votesync-demo")
    given = parser.parse_args()
    began, directory = time.monotonic(), given.directory.resolve()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background, and so by `tail` too
    try:
        os.environ["PYTHONPATH"] = str(ROOT)  # this checkout's votesync, whatever else is installed
        os.environ.pop("COMPOSE_PROJECT_NAME", None)
        enter(directory)
        try:
            code = show(given.engine)
        finally:
            run("down")
    except Failed as failed:
        return failed.code
    except KeyboardInterrupt:
        return 130
    if code == 0:
        say_what_is_next(directory, time.monotonic() - began)
    return code


def enter(directory: Path) -> None:
    """Go to an empty directory; what an earlier demo left there is removed, and nothing else ever is."""
    try:
        directory.mkdir(exist_ok=True)
        if os.listdir(directory) and not (directory / MARK).exists():
            sys.stderr.write(f"demo: {directory} holds files that are not the demo's. Move them, or name another directory.\n")
            raise Failed(ENVIRONMENT)
        os.chdir(directory)
        if Path("compose.yml").exists():
            quietly("down", "-v")
        for name in ("shared_data", ".votesync"):
            if Path(name).exists():
                shutil.rmtree(name)
        Path("compose.yml").unlink(missing_ok=True)
        Path(MARK).write_text("The demo may remove what is in this directory. Remove this file, and it will not.\n", "utf-8")
    except OSError as error:
        where = error.filename or directory
        sys.stderr.write(f"demo: {where} cannot be used: {error.strerror}. Remove {directory} and run the demo again.\n")
        raise Failed(ENVIRONMENT) from None


def show(engine: str) -> int:
    """The demo itself; returns the exit code of `verify`."""
    start(engine)
    with watching():
        time.sleep(1.2)
        quietly_say("votesync kill leader", "with SIGKILL, in another terminal")
        leader = kill_leader()
        time.sleep(1.5)
        quietly_say(f"votesync start {leader}", "it comes back and catches up")
        quietly("start", str(leader))
        finished = subprocess.run([*VOTESYNC, "wait", "--timeout", "60"], capture_output=True, text=True, check=False)
        time.sleep(0.7)  # for the last rounds to be drawn
    print("\n$ votesync wait")
    print((finished.stdout + (finished.stderr if finished.returncode else "")).strip())
    run("status")
    return run("verify") or finished.returncode


def start(engine: str) -> None:
    """`up`, on docker where it answers and its base image can be had; else on the local engine, with a line why."""
    code = raise_on(engine)
    if code == ENVIRONMENT and engine == "auto":
        print("\ndemo: docker cannot run it (above), so the same services run as local processes.", flush=True)
        quietly("down", "-v")
        code = raise_on("local")
    if code:
        raise Failed(code)


def raise_on(engine: str) -> int:
    """Run `up` and pass on what it says; ends it where a base image is being pulled and nothing comes."""
    words = UP if engine == "auto" else [*UP, "--engine", engine]
    print(f"$ votesync {' '.join(words)}", flush=True)
    process = subprocess.Popen([*VOTESYNC, *words], stderr=subprocess.PIPE)
    assert process.stderr is not None
    pulling, heard, given_up = False, time.monotonic(), False
    while True:
        ready, _, _ = select.select([process.stderr], [], [], 0.5)
        if ready:
            said = os.read(process.stderr.fileno(), 65536)
            if not said:
                break
            sys.stderr.buffer.write(said)
            sys.stderr.flush()
            pulling, heard = b"Pulling" in said, time.monotonic()
        elif pulling and time.monotonic() - heard > PULL_SECONDS and not given_up:
            given_up = True
            print(f"demo: nothing has come for {PULL_SECONDS:.0f} seconds.", flush=True)
            process.send_signal(signal.SIGINT)
    code = process.wait()
    return ENVIRONMENT if given_up else code


@contextlib.contextmanager
def watching() -> Iterator[None]:
    """`tail` runs meanwhile."""
    print("\n$ votesync tail", flush=True)
    process = subprocess.Popen([*VOTESYNC, "tail"])
    told = False
    try:
        yield
    except KeyboardInterrupt:
        told = True  # by the terminal, as everybody here
        raise
    finally:
        if not told:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def kill_leader() -> int:
    """Kill the leader; returns which node that was."""
    said = subprocess.run([*VOTESYNC, "kill", "leader", "--json"], capture_output=True, text=True, check=False)
    if said.returncode:
        sys.stderr.write(said.stderr)
        raise Failed(said.returncode)
    return int(json.loads(said.stdout)["id"])


def quietly_say(command: str, why: str) -> None:
    """Print a command that runs in the middle of the table."""
    print(f"$ {command}   # {why}", flush=True)


def quietly(*words: str) -> None:
    """Run a command whose words nobody needs."""
    subprocess.run([*VOTESYNC, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def run(*words: str) -> int:
    """Show a command and run it."""
    print(f"\n$ votesync {' '.join(words)}", flush=True)
    return subprocess.run([*VOTESYNC, *words], check=False).returncode


def say_what_is_next(directory: Path, seconds: float) -> None:
    """One word on what to try next, to be pasted."""
    shown: Sequence[tuple[str, str]] = (
        (f"cd {shlex.quote(os.path.relpath(directory, ROOT))}", "compose.yml and shared_data/output.txt are there"),
        (f"alias votesync={shlex.quote(os.path.relpath(ROOT / '.venv/bin/votesync', directory))}", ""),
        ("votesync up --messages 2000 --rate 20", "the same five nodes go on where they stopped"),
        ("votesync top", "nodes, turns, links and rates on one screen; break something meanwhile"),
        ("votesync verify --self-test", "damage copies of the file and see what catches each"),
    )
    width = max(len(command) for command, _ in shown[1:])
    print(f"\nThat took {seconds:.0f} seconds. Try next:")
    for command, what in shown:
        print(f"  {command:<{width}}  {'# ' + what if what else ''}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
