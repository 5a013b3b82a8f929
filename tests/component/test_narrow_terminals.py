"""Results on narrow terminals: whole words in whole columns, or a paragraph a row; nothing is cut and no word is broken."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios

import pytest

from votesync_cli.options import Common
from votesync_cli.results import Check, DoctorResult, NodeStatus, Result, StatusResult
from votesync_cli.views import show

SAID = {"role": "follower", "term": 3, "leader": 0, "decided": 7, "last": 9, "written": 512, "queue": 1, "healthy": True}
STATUS = StatusResult("p", tuple(NodeStatus(f"cluster_sync_{n + 1}", n, "running", SAID) for n in range(3)))


def shown(result: Result, columns: int, monkeypatch: pytest.MonkeyPatch, look: Common | None = None) -> list[str]:
    """What it looks like on a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(terminal, "w", encoding="utf-8") as stream:
        show(result, look or Common(color=False), stream)
        text = os.read(main, 65536).decode()
    os.close(main)
    return text.replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("columns", [120, 100, 80, 60, 40])
def test_no_word_is_broken_and_no_line_is_too_long(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(STATUS, columns, monkeypatch)
    assert max(len(line.rstrip()) for line in lines) <= columns
    if columns != 80:  # where the nodes' ids alone make a table of it
        assert sum(line.split().count(f"cluster_sync_{n}") for line in lines for n in (1, 2, 3)) == 3
    assert sum(line.split().count("follower") for line in lines) == 3
    assert sum(line.count("DECIDED") for line in lines) == (1 if columns >= 80 else 3), "a header, or a word beside each value"


def test_a_long_last_column_is_folded_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    mend = "Say in many words what has to be done about it, and where, and by whom, and after that run it again."
    lines = shown(DoctorResult((Check("disk", False, "full", mend),)), 60, monkeypatch)
    assert max(len(line.rstrip()) for line in lines) <= 60
    assert " ".join(" ".join(line.split()) for line in lines[1:]).split()[3:] == mend.split()


def test_plain_sentences_are_folded_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(STATUS, 60, monkeypatch, Common(color=False, plain=True))
    assert max(map(len, lines)) <= 60
    assert " ".join(lines).split()[:4] == ["node", "0:", "service", "cluster_sync_1;"]
    assert sum(line.split().count("follower;") for line in lines) == 3


def test_colours_only_where_they_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert any("\x1b[" in line for line in shown(STATUS, 80, monkeypatch, Common()))
    assert not any("\x1b" in line for line in shown(STATUS, 80, monkeypatch, Common(color=False)))
    assert not any("\x1b" in line for line in shown(STATUS, 80, monkeypatch, Common(color=False, plain=True)))
