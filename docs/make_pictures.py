"""Draw the pictures of the README from one real run of a real cluster.

    make pictures

It runs `votesync` on a pseudo-terminal in a directory of its own and draws what came out, unaltered: `tail.svg` is the
terminal, `timeline.svg` the rounds around the leader's death, `report.png` the top of the run's report.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).resolve().parent
VOTESYNC = [sys.executable, "-m", "votesync_cli"]
WIDTH, HEIGHT = 112, 200
THEME = TerminalTheme(
    (24, 26, 32),
    (212, 215, 221),
    [(24, 26, 32), (226, 106, 127), (130, 190, 120), (229, 192, 103), (110, 160, 230), (214, 130, 220), (92, 200, 215),
     (212, 215, 221)],
    [(110, 116, 128), (240, 130, 150), (150, 210, 140), (240, 205, 120), (130, 180, 245), (230, 150, 235), (120, 220, 235),
     (255, 255, 255)],
)  # fmt: skip


class Screen:
    """What one command writes to a terminal of its own."""

    def __init__(self, *words: str) -> None:
        main, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._process = subprocess.Popen([*VOTESYNC, *words], stdin=terminal, stdout=terminal, stderr=subprocess.DEVNULL)
        os.close(terminal)
        self._written = bytearray()
        self._main = main
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._main, 65536)
            except OSError:  # how a pseudo-terminal says that nobody holds its other end any more
                return
            if not part:
                return
            self._written += part

    def text(self, *, stop: bool = False) -> str:
        """All that it wrote, when it has ended."""
        if stop:
            self._process.send_signal(2)
        self._process.wait(timeout=60)
        self._reader.join()
        return self._written.decode().replace("\r\n", "\n")


def main() -> None:
    """Run the cluster, draw it, take it down."""
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        os.environ |= {"TERM": "xterm-256color", "PYTHONPATH": str(HERE.parent), "COMPOSE_PROJECT_NAME": "votesync"}
        os.environ.pop("NO_COLOR", None)
        console = Console(record=True, width=WIDTH, file=io.StringIO())
        try:
            session(console)
        finally:
            subprocess.run([*VOTESYNC, "down"], capture_output=True, check=True)
        diagram()
        report(Path(place))
    svg = console.export_svg(title="five nodes vote; the leader is killed", theme=THEME)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # the reader's own monospace font, and nothing fetched
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "ui-monospace").replace(str(HERE.parent), "~")
    (HERE / "tail.svg").write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE), encoding="utf-8")


def session(console: Console) -> None:
    """What the picture shows."""

    def show(command: str, written: str) -> None:
        console.print(Text(f"$ {command}", style="bold"))
        console.print(Text.from_ansi(written.rstrip()), end="\n\n")

    up = ["up", "--engine", "local", "--nodes", "5", "--messages", "24", "--rate", "4", "--round-window", "150"]
    text = Screen(*up).text()
    show("votesync up --nodes 5 --messages 24 --rate 4 --round-window 150", text.split("\n")[0])
    leader = next(row["node"] for row in rows("status") if row["role"] == "leader")
    tail = Screen("tail")
    time.sleep(0.3)
    quietly("kill", str(leader))
    time.sleep(1.3)
    quietly("start", str(leader))
    quietly("wait")
    time.sleep(1.5)
    written = tail.text(stop=True)
    show(f"votesync tail    # meanwhile, elsewhere: votesync kill {leader}; votesync start {leader}", written)
    show("votesync verify", Screen("verify").text())


def diagram() -> None:
    """The rounds around the first change of leader."""
    happened = [json.loads(line) for line in quietly("tail", "--run", "latest", "--json").splitlines()]
    later = [row["round"] for row in happened if row["event"] == "round" and (row["term"] or 0) > 1]
    if not later:
        sys.exit("The leader was killed when all was written already: this machine is busy. Try again.")
    first = min(later)
    chosen = f"{first - 2}..{first + 1}"
    quietly("timeline", "--run", "latest", "--rounds", chosen, "--svg", str(HERE / "timeline.svg"))


def report(place: Path) -> None:
    """The top of the report's page; the picture that there is stays where no browser is found."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("No chromium is installed, so docs/report.png stays as it is.", file=sys.stderr)
        return
    quietly("report", "--run", "latest", "--html", str(place / "report.html"))
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=4000"]
    size = ["--force-device-scale-factor=0.8", "--window-size=1000,2120"]
    shot = [browser, *words, *size, f"--screenshot={HERE / 'report.png'}", (place / "report.html").as_uri()]
    subprocess.run(shot, capture_output=True, check=True, timeout=120)


def quietly(*words: str) -> str:
    """Run a command and return what it wrote."""
    return subprocess.run([*VOTESYNC, *words], capture_output=True, text=True, check=True).stdout


def rows(*words: str) -> list[dict[str, object]]:
    """What a command says as JSON Lines."""
    return [json.loads(line) for line in quietly(*words, "--json").splitlines()]


if __name__ == "__main__":
    main()
