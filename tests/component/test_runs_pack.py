"""Copying and packing a run: limits, links, what grows meanwhile, the same bytes again, and archives that mean harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node_runtime.records import render_round
from tests.unit.run_maker import story
from votesync_cli import runs
from votesync_cli.errors import EnvironmentFault, UsageError
from votesync_cli.runs_copy import Budget, Counter, copy, copy_head, copy_journal, link_or_copy
from votesync_cli.runs_pack import archive_name, forget, pack, unpacked

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def run(tmp_path: Path) -> runs.Run:
    """A run with all there is in one."""
    path = runs.make(tmp_path / "runs", NOON)
    path.rmdir()
    story().keep(path)
    journal = path / runs.JOURNALS / "cluster_sync_1" / "journal"
    journal.mkdir(parents=True)
    (journal / "00000001.log").write_bytes(b"VSJL" + bytes(4092))
    (path / runs.LOCK).write_text("12\n")
    return runs.write(runs.Run(path, "lab", "local", 5, 5, NOON, NOON, NOON))


def few(size: int) -> Budget:
    return Budget(size, time.monotonic() + 60)


# --- copying ---


def test_the_first_bytes_are_copied_of_a_file_that_grows(tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"0123456789")
    budget = few(100)
    assert copy(tmp_path / "from", tmp_path / "to", budget, what="it", size=4)
    assert (tmp_path / "to").read_bytes() == b"0123"
    assert budget.bytes == 96


@pytest.mark.parametrize(
    "budget", [Budget(9, time.monotonic() + 60), Budget(1000, time.monotonic() - 1)], ids=["large", "late"]
)
def test_what_is_too_large_or_too_late_leaves_a_note_and_no_file(tmp_path: Path, budget: Budget) -> None:
    (tmp_path / "from").write_bytes(b"0123456789")
    assert not copy(tmp_path / "from", tmp_path / "to", budget, what="it")
    assert not (tmp_path / "to").exists()
    assert "it (10 bytes)" in budget.missing[0]


def test_a_link_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "from").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        copy(tmp_path / "from", tmp_path / "to", few(100), what="it")


def test_of_a_log_that_is_too_long_the_beginning_is_kept_in_whole_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(1000)))
    budget = few(100)
    link_or_copy(tmp_path / "log", tmp_path / "to", budget, what="the log")
    kept = (tmp_path / "to").read_text()
    assert kept == "".join(f"line {number}\n" for number in range(13))
    assert "from byte 94 of 8,890 on" in budget.missing[0]
    (tmp_path / "log").write_text("one line without an end")
    copy_head(tmp_path / "log", tmp_path / "empty", few(4), what="the log")
    assert (tmp_path / "empty").read_text() == ""


def test_a_log_that_ended_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("line\n")
    link_or_copy(tmp_path / "log", tmp_path / "to", few(100), what="the log")
    assert (tmp_path / "to").samefile(tmp_path / "log")


def test_a_journal_is_copied_without_the_room_behind_it(tmp_path: Path) -> None:
    source = tmp_path / "journal"
    source.mkdir()
    data = b"a" * 5000 + bytes(3 << 20) + b"b"
    (source / "1").write_bytes(data + bytes(5 << 20))
    (source / "2").write_bytes(bytes(1 << 20))
    (source / "link").symlink_to(source / "1")
    assert copy_journal(source, tmp_path / "to", few(100 << 20), what="it")
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["1", "2"]
    kept = (tmp_path / "to" / "1").read_bytes()
    assert kept.rstrip(b"\0") == data
    assert len(kept) < len(data) + 4096
    assert (tmp_path / "to" / "1").stat().st_blocks * 512 < 2 << 20, "the hole stays one"
    assert not copy_journal(source, tmp_path / "not", few(10), what="it")
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("step", [1, 7, 56, 57, 100_000])
def test_blocks_and_rounds_are_counted_over_the_edges_of_pieces(step: int) -> None:
    from node_runtime.records import native_block

    blocks = [native_block(node, str(node), 5, f"Container {'#' * 56}") for node in range(3)]
    data = render_round(blocks) + render_round(blocks[:1]) + blocks[0]
    count = Counter()
    for place in range(0, len(data), step):
        count.feed(data[place : place + step])
    assert (count.blocks, count.rounds) == (5, 2)


# --- packing ---


def test_the_same_run_gives_the_same_bytes_wherever_it_lies_and_whatever_its_times_are(run: runs.Run, tmp_path: Path) -> None:
    first = pack(run, tmp_path / "one.tar.gz", force=False)
    moved = runs.read(run.path.rename(tmp_path / run.name))
    assert moved is not None
    (moved.path / runs.MARKER).touch()
    (moved.path / runs.MARKER).chmod(0o600)
    again = pack(moved, tmp_path / "two.tar.gz", force=False)
    assert first.sha256 == again.sha256 == hashlib.sha256((tmp_path / "one.tar.gz").read_bytes()).hexdigest()
    assert first.size == (tmp_path / "one.tar.gz").stat().st_size
    with tarfile.open(tmp_path / "one.tar.gz") as tar:
        entries = tar.getmembers()
    assert [entry.name for entry in entries if "/" not in entry.name or entry.uid or entry.mtime or not entry.isreg()] == []
    assert {entry.name.split("/")[0] for entry in entries} == {run.name}
    assert len(entries) == first.files == 5 + 5 + 3


def test_what_comes_out_is_what_went_in(run: runs.Run, tmp_path: Path) -> None:
    pack(run, tmp_path / "run.tar.gz", force=False)
    out = unpacked(tmp_path / "run.tar.gz")
    assert unpacked(tmp_path / "run.tar.gz") == out, "once is enough"
    before = {name: (run.path / name).read_bytes() for name, _ in runs.files_of(run.path) if name != runs.LOCK}
    assert {name: (out / name).read_bytes() for name, _ in runs.files_of(out)} == before
    found = runs.read(out)
    assert found is not None
    assert found.to_json() == run.to_json()
    forget(tmp_path / "run.tar.gz")
    assert not out.exists()


def test_an_archive_is_not_written_over_unless_that_is_said(run: runs.Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        pack(run, tmp_path / "mine", force=False)
    assert (tmp_path / "mine").read_text() == "mine"
    pack(run, tmp_path / "mine", force=True)
    for place in (tmp_path / "no such" / "x.tar.gz", tmp_path):
        with pytest.raises((EnvironmentFault, UsageError)):
            pack(run, place, force=True)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_links_and_names_that_others_cannot_take_are_left_out_and_named(run: runs.Run, tmp_path: Path) -> None:
    (run.path / "secret").symlink_to("/etc/passwd")
    (run.path / "new\nline").write_text("x")
    (run.path / runs.VOTES / "..x").write_text("x")
    done = pack(run, tmp_path / "run.tar.gz", force=False)
    assert sorted(done.left_out) == ["new\nline", "votes/..x"]
    with tarfile.open(tmp_path / "run.tar.gz") as tar:
        assert not any("secret" in name for name in tar.getnames())


def test_a_name_for_the_archive_is_safe_whatever_the_marker_says(run: runs.Run) -> None:
    assert archive_name(run) == f"votesync-lab-{run.name}.tar.gz"
    strange = runs.Run(run.path, "../../etc/x y", "local", 1, 1, NOON)
    assert "/" not in archive_name(strange)


# --- archives that pack did not write ---


def archive(path: Path, *entries: tuple[str, bytes | Callable[[tarfile.TarInfo], None]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            data = content if isinstance(content, bytes) else b""
            if not isinstance(content, bytes):
                content(entry)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def link_to(target: str, kind: bytes = tarfile.SYMTYPE) -> Callable[[tarfile.TarInfo], None]:
    def change(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname = kind, target

    return change


HARMFUL = {
    "absolute": [("/tmp/votesync-escaped", b"x")],
    "upwards": [("run/../../votesync-escaped", b"x")],
    "symlink": [("run/votes", link_to("/tmp")), ("run/votes/votesync-escaped", b"x")],
    "hard link": [("run/x", link_to("/etc/passwd", tarfile.LNKTYPE))],
    "device": [("run/null", link_to("", tarfile.CHRTYPE))],
    "fifo": [("run/pipe", link_to("", tarfile.FIFOTYPE))],
    "hidden": [("run/.bashrc", b"x")],
    "loose": [("loose", b"x")],
    "twice": [("run/x", b"1"), ("run/x", b"2")],
    "two runs": [("one/x", b"1"), ("two/x", b"2")],
    "deep": [("a/b/c/d/e/f/g", b"x")],
    "empty": [],
}


@pytest.mark.parametrize("entries", HARMFUL.values(), ids=HARMFUL.keys())
def test_an_archive_that_means_harm_is_refused_and_nothing_of_it_stays(
    tmp_path: Path, entries: list[tuple[str, bytes | Callable[[tarfile.TarInfo], None]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with pytest.raises(UsageError, match="is no archive of a run"):
        unpacked(archive(tmp_path / "bad.tar.gz", *entries))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not Path("/tmp/votesync-escaped").exists()


def test_an_archive_that_claims_to_be_endless_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("run/output.txt")
    entry.size = 1 << 50
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(entry.tobuf() + bytes(1 << 20)))
    with pytest.raises(UsageError, match="it holds too much"):
        unpacked(tmp_path / "bomb.tar.gz")


def test_a_header_that_claims_to_be_huge_is_not_read_into_memory(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 1 << 32
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(entry.tobuf() + bytes(1 << 20)))
    with pytest.raises(UsageError, match="it holds too much"):
        unpacked(tmp_path / "bomb.tar.gz")


@pytest.mark.parametrize("data", [b"", b"no archive", gzip.compress(b"no tar"), gzip.compress(bytes(10240))[:20]])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tar.gz").write_bytes(data)
    with pytest.raises(UsageError, match="is no archive of a run"):
        unpacked(tmp_path / "x.tar.gz")


def test_an_archive_that_is_cut_off_or_damaged_is_refused(run: runs.Run, tmp_path: Path) -> None:
    pack(run, tmp_path / "run.tar.gz", force=False)
    whole = (tmp_path / "run.tar.gz").read_bytes()
    flipped = whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:]
    longer = gzip.compress(gzip.decompress(whole) + b"more")
    for data in (whole[: len(whole) // 2], whole[:-9], flipped, longer):
        (tmp_path / "cut.tar.gz").write_bytes(data)
        with pytest.raises(UsageError, match="is no archive of a run"):
            unpacked(tmp_path / "cut.tar.gz")
