"""`report` as a command, on runs kept in directories: what it writes and where, what it says is missing, what it escapes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.run_maker import RunMaker, story
from votesync_cli.app import app

ROOT = Path(__file__).resolve().parents[2]
EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kept run in a directory with a blank in its name, away from any project."""
    monkeypatch.chdir(tmp_path)
    return story().keep(tmp_path / "a run")


def votesync(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


class Page(HTMLParser):
    """The tags of a page with their attributes, its text, and which tags were left open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


# --- where it goes ---


def test_the_page_goes_beside_the_run_and_the_path_is_said(run: Path) -> None:
    done = votesync("report", "--run", run)
    assert done.exit_code == 0, done.stderr
    assert f"Wrote {run / 'report.html'}" in done.stderr
    assert "keeps 10 rules, 1 rule not checked (8 blocks in 4 rounds)" in done.stdout
    page = Page(run / "report.html")
    assert page.open == []
    assert "votesync report: a run" in page.text


def test_files_can_be_named_and_json_alone_writes_none(run: Path, tmp_path: Path) -> None:
    done = votesync("report", "--run", run, "--json")
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["messages"], row["votes"]["elections"], row["order"]["overtaken"]) == (8, 2, 0)
    assert not (run / "report.html").exists()
    done = votesync("report", "--run", run, "--markdown", tmp_path / "r.md", "--html", tmp_path / "r.html")
    assert (tmp_path / "r.md").read_text("utf-8").startswith("# votesync report: a run\n\n**PASS.**")
    assert (tmp_path / "r.html").stat().st_size < 500_000
    assert not (run / "report.html").exists()


def test_a_page_that_cannot_be_written_is_one_sentence(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    done = votesync("report", "--run", run, "--html", tmp_path / "file" / "r.html")
    assert done.exit_code == 4
    assert "cannot be written" in done.stderr


def test_the_page_is_one_file_that_loads_and_runs_nothing(run: Path) -> None:
    votesync("report", "--run", run)
    text = (run / "report.html").read_text("utf-8")
    page = Page(run / "report.html")
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "img", "image"} == set()
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name in {"style", "src"}]
    targets = [attributes.get("href") or attributes.get("xlink:href") for _, attributes in page.tags]
    assert all(target.startswith("#") for target in targets if target)
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_plot_and_diagram_says_in_words_what_it_shows(run: Path) -> None:
    votesync("report", "--run", run)
    pictures = [attributes for tag, attributes in Page(run / "report.html").tags if tag == "svg"]
    assert len(pictures) == 2 * 7 + 3
    assert all(attributes.get("role") == "img" for attributes in pictures)
    labels = [label for attributes in pictures if (label := attributes.get("aria-label"))]
    assert len(labels) == 14
    assert all(len(label) > 40 for label in labels)
    described = re.findall(r"<svg[^>]*>\s*<title>[^<]+</title>\s*<desc>[^<]+</desc>", (run / "report.html").read_text("utf-8"))
    assert len(described) == len(pictures)


# --- what is missing ---


@pytest.mark.parametrize(
    ("gone", "says", "and_not"),
    [
        (("history",), "There are no clients' histories", "There are no vote logs"),
        (("votes",), "There are no vote logs", "There are no clients' histories"),
        (("output.txt",), "There is no output.txt", "There are no vote logs"),
        (("history", "votes"), "There are no vote logs", "There is no output.txt"),
        (("output.txt", "votes"), "There is no output.txt", "There are no clients' histories"),
    ],
)
def test_what_is_missing_is_said_where_it_is_missed(run: Path, gone: tuple[str, ...], says: str, and_not: str) -> None:
    for name in gone:
        shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    done = votesync("report", "--run", run, "--markdown", run / "r.md", "--html", run / "r.html")
    assert done.exit_code == 0, done.stderr
    page, plain = Page(run / "r.html").text, (run / "r.md").read_text("utf-8")
    assert says in page
    assert and_not not in page
    assert says.split("'")[0] in plain


def test_a_cluster_in_which_nothing_was_sent_has_a_report_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunMaker().keep(tmp_path / "run")
    done = votesync("report", "--run", run, "--markdown", run / "r.md", "--html", run / "r.html")
    assert done.exit_code == 0, done.stderr
    assert "No round was written" in Page(run / "r.html").text
    assert "NOT CHECKED" in (run / "r.md").read_text("utf-8")


def test_of_nothing_there_is_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = votesync("report", "--run", tmp_path / "empty")
    assert done.exit_code == 3
    assert "nothing to report" in done.stderr
    assert votesync("report", "--run", tmp_path / "nowhere").exit_code == 2


def test_torn_and_foreign_lines_are_passed_over(run: Path) -> None:
    for path in [*(run / "votes").iterdir(), *(run / "history").iterdir()]:
        path.write_bytes(b"\xff\xfe nonsense\n[1]\n" + path.read_bytes() + b'{"event":"vote","ts":1,"node":2,"tor')
    done = votesync("report", "--run", run)
    assert done.exit_code == 0, done.stderr
    assert "keeps 10 rules" in done.stdout


def test_without_matplotlib_the_tables_stand_alone_and_it_is_said_how_to_get_plots(run: Path, tmp_path: Path) -> None:
    (tmp_path / "hides" / "matplotlib").mkdir(parents=True)
    (tmp_path / "hides" / "matplotlib" / "__init__.py").write_text("raise ImportError(name='matplotlib')", "utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'hides'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "votesync_cli", "report", "--run", str(run)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "matplotlib is not installed. Install it with: pip install 'votesync[report]'" in done.stderr
    page = Page(run / "report.html")
    assert "pip install 'votesync[report]'" in page.text
    assert "600.0" in page.text
    assert "figure" not in {tag for tag, _ in page.tags}


# --- what is broken, and what would break the page ---


def broken(run: Path) -> None:
    """Swap the first two blocks of round 3: lines 8 to 11 of the file."""
    lines = (run / "output.txt").read_bytes().splitlines(keepends=True)
    lines[7:11] = [*lines[9:11], *lines[7:9]]
    (run / "output.txt").write_bytes(b"".join(lines))


def test_a_broken_rule_is_shown_with_its_lines_and_its_round_is_drawn(run: Path) -> None:
    broken(run)
    done = votesync("report", "--run", run, "--markdown", run / "r.md", "--html", run / "r.html")
    assert done.exit_code == 0  # the report was made; verify is what judges
    assert "breaks order" in done.stdout
    page = Page(run / "r.html")
    assert "FAIL" in page.text
    assert "verify: order is broken" in page.text
    assert [attributes["data-rule"] for _, attributes in page.tags if "data-rule" in attributes] == ["order"]
    assert "✗ order" in page.text  # in the diagram
    assert "Mensagem: client" in (run / "r.md").read_text("utf-8")


def test_texts_of_users_stay_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    maker = story()
    maker.say(1, "refused", port="client", reason=EVIL, count=1)
    maker.fault(2, EVIL, 10_000)
    maker.note(EVIL, "invoke", seq=1, time=1, text=EVIL, node=0)
    maker.now += 10
    maker.note(EVIL, "ok", seq=1, round=9, offset=0)
    kept = maker.histories.pop(EVIL)
    run = maker.keep(tmp_path / "<b> & co")
    (run / "history" / "evil.jsonl").write_text("\n".join(kept) + "\n", "utf-8")
    with (run / "output.txt").open("a", encoding="utf-8") as file:
        file.write(f"Container 0 \nMensagem: client 7 time: 5 - message: {EVIL}\n{EVIL}\n{'#' * 56}\n")
    done = votesync("report", "--run", run, "--markdown", run / "r.md", "--html", run / "r.html")
    assert done.exit_code == 0, done.stderr
    page = Page(run / "r.html")
    assert "img" not in {tag for tag, _ in page.tags}
    assert "votesync report: <b> & co" in page.text
    assert page.text.count(EVIL) >= 4
    outside = re.sub(r"(?ms)^(`{3,})\n.*?^\1\n", "", (run / "r.md").read_text("utf-8"))
    assert not re.search(r"(?<!\\)<", outside)
