"""A client's history: what it sent and what it was told, as evidence for `verify` (JSON Lines).

    {"event":"begin","session","from","to","boot","mono","ts"}   a batch from..to (null: as many as come); again after a restart
    {"event":"invoke","session","seq","time","text","node","mono"}   written before the message is sent
    {"event":"resend","session","from","to","node","mono"}   unacknowledged ones, sent once more, maybe elsewhere
    {"event":"ok","session","seq","round","offset","mono"}   acknowledged; round and offset null where not told
    {"event":"fail","session","seq","code","mono"}   refused: it can never be in the file
    {"event":"unknown","session","seq","mono"}   the client ended without an answer; it may be there (rule 37)
    {"event":"done","session","acked","unknown","failed","complete","mono","ts"}

`mono` is CLOCK_MONOTONIC in whole microseconds, comparable between histories with the same `boot`. An `ok` may follow
an `unknown`, when a client that was stopped goes on: the last word counts.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

HISTORY_DIR = "history"  # in the shared directory


def now_mono() -> int:
    """CLOCK_MONOTONIC, whole microseconds."""
    return time.monotonic_ns() // 1000


def boot_id() -> str:
    """What tells whether two monotonic clocks are one: the same for all processes and containers of one boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return uuid.uuid4().hex  # no such file here: comparable with nobody's


class History:
    """Appends to one history file. What says that a message may have been sent is in the file before it is sent."""

    def __init__(self, path: Path, session: str) -> None:
        """Open or create.

        Raises: OSError.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.session = session
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        _drop_torn_line(self._descriptor)
        self._lines: list[str] = []
        self._is_due = False

    def begin(self, first: int, last: int | None) -> None:
        """A batch starts, or goes on after a restart; `last` is None where nobody knows how many will come."""
        self._note({"event": "begin", "from": first, "to": last, "boot": boot_id(), "ts": time.time()}, now_mono())
        self.flush()

    def invoke(self, seq: int, stamp: int, text: str, node: int, mono: int) -> None:
        """The message is about to be sent; call `barrier` before it is."""
        self._lines.append(
            f'{{"event":"invoke","session":"{self.session}","seq":{seq},"time":{stamp},"text":{encode_basestring(text)},'
            f'"node":{node},"mono":{mono}}}\n'
        )
        self._is_due = True

    def resend(self, first: int, last: int, node: int, mono: int) -> None:
        """Messages first..last, invoked before, are about to be sent to `node`."""
        self._note({"event": "resend", "from": first, "to": last, "node": node}, mono)
        self._is_due = True

    def barrier(self) -> None:
        """What is about to be sent is in the file when this returns."""
        if self._is_due:
            self.flush()

    def ok(self, seq: int, index: int | None, offset: int | None, mono: int) -> None:
        """Acknowledged."""
        where = f'"round":{"null" if index is None else index},"offset":{"null" if offset is None else offset}'
        self._lines.append(f'{{"event":"ok","session":"{self.session}","seq":{seq},{where},"mono":{mono}}}\n')

    def fail(self, seq: int, code: str, mono: int) -> None:
        """Refused for ever."""
        self._note({"event": "fail", "seq": seq, "code": code}, mono)

    def unknown(self, seq: int, mono: int) -> None:
        """The client gives up; the message may be decided or not."""
        self._note({"event": "unknown", "seq": seq}, mono)

    def done(self, acked: int, unknown: int, failed: int, *, complete: bool) -> None:
        """The client ends; `complete` when its whole batch is acknowledged."""
        counts = {"acked": acked, "unknown": unknown, "failed": failed}
        self._note({"event": "done", **counts, "complete": complete, "ts": time.time()}, now_mono())
        self.flush()

    def flush(self) -> None:
        """Write what is buffered. After it the lines outlive the process.

        Raises: OSError.
        """
        lines, self._lines = self._lines, []
        self._is_due = False
        data = memoryview("".join(lines).encode())
        while data:
            data = data[os.write(self._descriptor, data) :]

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        os.close(self._descriptor)

    def _note(self, event: dict[str, Any], mono: int) -> None:
        line = {"event": event.pop("event"), "session": self.session, **event, "mono": mono}
        self._lines.append(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")


@dataclass(slots=True)
class Progress:
    """How far a session came, by its history. `pending` are invoked and not acknowledged: seq -> (time, text)."""

    first: int = 1
    last: int = 0
    acked: int = 0
    invoked: int = 0
    complete: bool = True
    pending: dict[int, tuple[int, str]] = field(default_factory=dict)


def read_progress(lines: Iterable[bytes], session: str) -> Progress:
    """Read a history; lines of other sessions and torn lines count nothing."""
    progress = Progress()
    for event in read_events(lines):
        if event.get("session") != session:
            continue
        match event:
            case {"event": "begin", "from": int(first), "to": int(last)}:
                progress.first, progress.last, progress.complete = first, last, False
            case {"event": "invoke", "seq": int(seq), "time": int(stamp), "text": str(text)}:
                progress.invoked = max(progress.invoked, seq)
                if seq > progress.acked:
                    progress.pending[seq] = (stamp, text)
            case {"event": "ok", "seq": int(seq)}:
                progress.acked = max(progress.acked, seq)
                progress.pending.pop(seq, None)
            case {"event": "fail", "seq": int(seq)}:
                progress.pending.pop(seq, None)
            case {"event": "done", "complete": True}:
                progress.complete = True
    return progress


def read_events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The objects on the lines; what is not one is passed over (a client may be killed while it writes)."""
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _drop_torn_line(descriptor: int) -> None:
    """Cut a half line at the end. Its message was not sent: the line is written before."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
