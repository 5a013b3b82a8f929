"""Whose the shared file is, asked before anything starts; and a fresh start, which deletes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_runtime.journal import JOURNAL_DIR
from node_runtime.shared_file import MARK_DIR, OUTPUT_NAME
from node_runtime.state_file import STATE_NAME
from votesync_cli import belongings
from votesync_cli.cluster import ClusterSpec
from votesync_cli.compose import ComposeProject, parse, render
from votesync_cli.errors import CheckFailed, EnvironmentFault


def make(directory: Path, nodes: int = 3) -> ComposeProject:
    return parse(render(ClusterSpec(cluster="demo", nodes=nodes)), directory / "compose.yml", "demo", {})


@pytest.fixture
def project(tmp_path: Path) -> ComposeProject:
    return make(tmp_path)


def has_run(project: ComposeProject, output: bytes = b"") -> None:
    """What nodes leave behind."""
    marks = project.shared_dir / MARK_DIR / project.cluster
    marks.mkdir(parents=True)
    (project.shared_dir / OUTPUT_NAME).write_bytes(output)
    for node in project.nodes:
        assert node.data_dir is not None
        (node.data_dir / JOURNAL_DIR).mkdir(parents=True)
        (node.data_dir / STATE_NAME).write_bytes(b"state")
        (marks / f"node_{node.id}").write_bytes(b"mark")
    belongings.note_members(project)


def test_the_names_are_those_of_the_node() -> None:
    assert (belongings.OUTPUT, belongings.MARKS) == (OUTPUT_NAME, MARK_DIR)


def test_nothing_at_all_is_fine(project: ComposeProject) -> None:
    belongings.check(project)


def test_an_empty_output_is_nobodys(project: ComposeProject) -> None:
    project.shared_dir.mkdir()
    (project.shared_dir / OUTPUT_NAME).write_bytes(b"")
    belongings.check(project)


def test_somebody_elses_output_is_refused_with_both_ways_out(project: ComposeProject) -> None:
    project.shared_dir.mkdir()
    (project.shared_dir / OUTPUT_NAME).write_bytes(b"mine")
    with pytest.raises(CheckFailed) as caught:
        belongings.check(project)
    assert str(project.shared_dir / OUTPUT_NAME) in caught.value.message
    assert "votesync up --fresh" in caught.value.hint
    assert "move it away yourself" in caught.value.hint
    assert caught.value.exit_code == 1


def test_a_cluster_goes_on_with_its_own(project: ComposeProject) -> None:
    has_run(project, b"ours")
    belongings.check(project)


def test_rule_28_a_lost_journal_is_named(project: ComposeProject) -> None:
    has_run(project, b"ours")
    assert project.nodes[1].data_dir is not None
    for path in project.nodes[1].data_dir.iterdir():
        path.rename(path.with_name(f"lost-{path.name}"))
    with pytest.raises(CheckFailed, match="journal of cluster_sync_2 is gone"):
        belongings.check(project)


@pytest.mark.parametrize("nodes", [2, 5])
def test_rule_18_another_number_of_nodes_is_another_majority(project: ComposeProject, tmp_path: Path, nodes: int) -> None:
    has_run(project, b"ours")
    with pytest.raises(CheckFailed) as caught:
        belongings.check(make(tmp_path, nodes))
    assert "3 nodes" in caught.value.message
    assert f"--nodes {nodes} --fresh" in caught.value.hint


def test_without_journals_the_number_is_free(project: ComposeProject, tmp_path: Path) -> None:
    belongings.note_members(project)
    other = make(tmp_path, 5)
    belongings.check(other)
    belongings.note_members(other)
    has_run(make(tmp_path, 5), b"ours")
    belongings.check(other)


def test_a_fresh_start_moves_everything_and_deletes_nothing(project: ComposeProject) -> None:
    has_run(project, b"ours")
    (project.shared_dir / "history").mkdir()
    (project.shared_dir / "history" / "client_1.jsonl").write_bytes(b"{}")
    before = sorted(path.read_bytes() for path in project.directory.rglob("*") if path.is_file())
    said = belongings.move_aside(project, "20260101T000000Z")
    assert "Moved shared_data/output.txt to shared_data/output-20260101T000000Z.txt." in said
    after = sorted(path.read_bytes() for path in project.directory.rglob("*") if path.is_file())
    assert after == before
    assert (project.shared_dir / "output-20260101T000000Z.txt").read_bytes() == b"ours"
    belongings.check(project)
    belongings.check(make(project.directory, 5))


def test_a_fresh_start_of_nothing_says_nothing(project: ComposeProject) -> None:
    assert belongings.move_aside(project, "20260101T000000Z") == ()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    belongings.write_file(target, "one")
    belongings.write_file(target, "two")
    assert target.read_text() == "two"
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    with pytest.raises(EnvironmentFault):
        belongings.write_file(target / "below a file", "three")
