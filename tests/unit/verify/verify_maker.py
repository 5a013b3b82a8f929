"""Makes files and histories for the tests of the checker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from node_runtime.records import SEPARATOR, native_body, render_block
from votesync_cli.verify.check import Evidence, check
from votesync_cli.verify.history import read_histories
from votesync_cli.verify.verdict import Report, Status, Verdict

Row = tuple[int, str, int, str]  # node, session, time, text


def blocks(*rows: Row) -> bytes:
    """Native blocks."""
    return b"".join(render_block(node, native_body(session, time, text)) for node, session, time, text in rows)


def closed(*rows: Row) -> bytes:
    """One round."""
    return blocks(*rows) + SEPARATOR


def good_rounds(rounds: int, sessions: int = 3) -> list[list[Row]]:
    """Rounds in which each session has its next message, at times that ascend inside the round and step back after it."""
    return [[(s, str(s), 1000 + 10 * s + r, str(r + 1)) for s in range(sessions)] for r in range(rounds)]


def file_of(rounds: list[list[Row]]) -> bytes:
    """Their file."""
    return b"".join(closed(*rows) for rows in rounds)


def history_lines(rounds: list[list[Row]], session: str) -> list[dict[str, Any]]:
    """What the client of `session` noted while these rounds were written, one round after the other."""
    lines: list[dict[str, Any]] = []
    seq = 0
    for number, rows in enumerate(rounds):
        for node, name, time, text in rows:
            if name == session:
                seq += 1
                lines.append(
                    {"event": "invoke", "session": session, "seq": seq, "time": time, "text": text, "node": node,
                     "mono": 100 * number}
                )  # fmt: skip
                acked = 100 * number + 50
                place = {"round": number + 1, "offset": None}
                lines.append({"event": "ok", "session": session, "seq": seq, **place, "mono": acked})
    begin = {"event": "begin", "session": session, "from": 1, "to": seq, "boot": "b", "mono": 0, "ts": 1.0}
    counts = {"acked": seq, "unknown": 0, "failed": 0, "complete": True}
    done = {"event": "done", "session": session, **counts, "mono": 9, "ts": 2.0}
    return [begin, *lines, done]


def write_histories(directory: Path, rounds: list[list[Row]]) -> list[Path]:
    """One history file a session."""
    paths = []
    for session in sorted({row[1] for rows in rounds for row in rows}):
        paths.append(write_history(directory / f"client_{session}.jsonl", history_lines(rounds, session)))
    return paths


def write_history(path: Path, lines: list[dict[str, Any]]) -> Path:
    """One history file, in the client's own spelling."""
    path.write_text("".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def verdicts(directory: Path, data: bytes, histories: list[Path] | None = None) -> dict[str, Verdict]:
    """The verdicts on a file, by rule."""
    return {verdict.rule: verdict for verdict in report(directory, data, histories).verdicts}


def report(directory: Path, data: bytes, histories: list[Path] | None = None) -> Report:
    """The report on a file."""
    path = directory / "output.txt"
    path.write_bytes(data)
    return check(path, Evidence(read_histories(histories) if histories else None))


def failed(found: dict[str, Verdict]) -> set[str]:
    """The rules that failed."""
    return {rule for rule, verdict in found.items() if verdict.status is Status.FAIL}
