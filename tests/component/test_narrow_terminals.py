"""Results on narrow terminals: whole words in whole columns, or a paragraph a row; nothing is cut and no word is broken."""

from __future__ import annotations

import pytest

from votesync_cli.results import Check, DoctorResult, NodeStatus, StatusResult
from votesync_cli.views import Drawable, show

SAID = {"role": "follower", "term": 3, "leader": 0, "decided": 7, "last": 9, "written": 512, "queue": 1, "healthy": True}
STATUS = StatusResult("p", tuple(NodeStatus(f"cluster_sync_{n + 1}", n, "running", SAID) for n in range(3)))


def shown(result: Drawable, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    show(result)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [120, 100, 80, 60, 40])
def test_no_word_is_broken_and_no_line_is_too_long(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(STATUS, columns, monkeypatch, capsys)
    assert max(len(line.rstrip()) for line in lines) <= columns
    assert sum(line.split().count(f"cluster_sync_{n}") for line in lines for n in (1, 2, 3)) == 3
    assert sum(line.split().count("follower") for line in lines) == 3
    assert sum(line.count("DECIDED") for line in lines) == (1 if columns >= 100 else 3), "a header, or a word beside each value"


def test_a_long_last_column_is_folded_and_not_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    mend = "Say in many words what has to be done about it, and where, and by whom, and after that run it again."
    lines = shown(DoctorResult((Check("disk", False, "full", mend),)), 60, monkeypatch, capsys)
    assert max(len(line.rstrip()) for line in lines) <= 60
    assert " ".join(" ".join(line.split()) for line in lines[1:]).split()[3:] == mend.split()
