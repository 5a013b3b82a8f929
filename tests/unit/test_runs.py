"""Kept runs: their names and order, what marks one, which one a word means, and which ones go when old runs are pruned."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from votesync_cli import runs
from votesync_cli.errors import UsageError
from votesync_cli.runs import Run
from votesync_cli.runs_prune import Choice, age_of, choose, remove
from votesync_cli.runs_results import Listed, RunList, size_text

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def made(place: Path, at: datetime, **more: Any) -> Run:
    """A run that began then; an hour later it was over, unless something else is said."""
    fields = {"kept": at + HOUR, "ended": at + HOUR} | more
    run = Run(runs.make(place, at), more.pop("project", "lab"), "local", 3, 3, at)
    return runs.write(Run(**{name: fields.get(name, getattr(run, name)) for name in run.__dataclass_fields__}))


def test_a_name_is_the_time_in_utc_and_gets_a_number_where_it_is_taken(tmp_path: Path) -> None:
    from_afar = NOON.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    names = [runs.make(tmp_path / "runs", from_afar).name for _ in range(11)]
    assert names[:2] == ["2026-11-24T12-00-00Z", "2026-11-24T12-00-00Z-2"]
    assert names[-1] == "2026-11-24T12-00-00Z-11"
    assert all(map(runs.is_name, names))
    assert not any(map(runs.is_name, ["latest", "2026-11-24", "2026-11-24T12-00-00Z-", "x2026-11-24T12-00-00Z", "../x"]))


def test_runs_are_listed_by_time_and_number_and_read_back_as_they_were_written(tmp_path: Path) -> None:
    written = [made(tmp_path, NOON) for _ in range(11)]
    earlier = made(tmp_path, NOON - HOUR, messages=12, missing=("a thing",), moment=("boot", 7), size=99, continues="x")
    assert runs.listed(tmp_path) == [earlier, *written]


@pytest.mark.parametrize(
    "marker",
    ["", "{", "[]", "null", '{"votesync": "run"}', '{"votesync": "ruin", "format": 1}', "[" * 100_000,
     json.dumps({"votesync": "run", "format": 1, "project": "x", "engine": "l", "nodes": 1, "clients": 1, "moment": ["", 0],
                 "started": "yesterday"})],
)  # fmt: skip
def test_a_directory_without_a_sound_marker_is_no_run(tmp_path: Path, marker: str) -> None:
    path = runs.make(tmp_path, NOON)
    (path / runs.MARKER).write_text(marker)
    assert runs.listed(tmp_path) == []


def test_links_are_no_runs(tmp_path: Path) -> None:
    elsewhere = made(tmp_path / "elsewhere", NOON)
    place = tmp_path / "runs"
    place.mkdir()
    (place / "2026-01-01T00-00-00Z").symlink_to(elsewhere.path)
    linked = runs.make(place, NOON)
    (linked / runs.MARKER).symlink_to(elsewhere.path / runs.MARKER)
    assert runs.listed(place) == []


@pytest.mark.parametrize(
    ("more", "state"),
    [({}, "kept"), ({"ended": None}, "open"), ({"ended": None, "kept": None}, "open"), ({"kept": None}, "lost"),
     ({"gathering": True}, "half")],
)  # fmt: skip
def test_the_state_of_a_run(tmp_path: Path, more: dict[str, Any], state: str) -> None:
    assert made(tmp_path, NOON, **more).state == state


def test_the_open_runs_of_a_project_are_its_own(tmp_path: Path) -> None:
    made(tmp_path, NOON, project="other", ended=None)
    made(tmp_path, NOON)
    mine = made(tmp_path, NOON, ended=None)
    assert runs.open_runs(tmp_path, "lab") == [mine]


def test_latest_is_a_relative_link_and_can_be_done_without(tmp_path: Path) -> None:
    made(tmp_path, NOON)
    newest = made(tmp_path, NOON + HOUR)
    assert runs.latest(tmp_path) == newest, "there is no link yet"
    runs.point_latest(tmp_path)
    assert (tmp_path / "latest").readlink() == Path(newest.name)
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    found = runs.latest(moved)
    assert found is not None
    assert found.path == moved / newest.name


def test_a_latest_that_leads_elsewhere_is_not_followed_and_one_that_is_no_link_is_left_alone(tmp_path: Path) -> None:
    other = made(tmp_path / "other", NOON + HOUR)
    place = tmp_path / "runs"
    mine = made(place, NOON)
    (place / "latest").symlink_to(other.path)
    assert runs.latest(place) == mine
    (place / "latest").unlink()
    (place / "latest").write_text("notes")
    runs.point_latest(place)
    assert (place / "latest").read_text() == "notes"


def test_a_word_means_one_run_or_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    first, second, third = made(tmp_path, NOON), made(tmp_path, NOON), made(tmp_path, NOON + 24 * HOUR)
    assert runs.find("latest", tmp_path) == third
    assert runs.find(first.name, tmp_path) == first, "though it is the beginning of the second one's name too"
    assert runs.find(second.name, tmp_path) == second
    assert runs.find("2026-11-25", tmp_path) == third
    with pytest.raises(UsageError, match="is the beginning of 2 runs") as caught:
        runs.find("2026-11-24", tmp_path)
    assert second.name in caught.value.hint
    for word in ("2027", "", "..", "*"):
        with pytest.raises(UsageError, match=r"There is no run|is the beginning of") as caught:
            runs.find(word, tmp_path)
        assert third.name in caught.value.hint
    with pytest.raises(UsageError, match="No run is kept"):
        runs.find("latest", tmp_path / "nowhere")


def test_verify_and_chaos_leave_one_anothers_words_alone_and_name_no_directories(tmp_path: Path) -> None:
    run = made(tmp_path, NOON)
    assert runs.verdict_of(run.path) == {}
    runs.note_verdict(
        run, "verify", [{"rule": "order", "status": "PASS"}, {"verdict": "PASS", "file": "/home/me/output.txt"}], NOON
    )
    runs.note_verdict(run, "chaos", [{"verdict": "FAIL", "seed": 3, "record": "/home/me/x"}], NOON + HOUR)
    said = runs.verdict_of(run.path)
    assert (said["verdict"], said["by"], said["at"]) == ("FAIL", "chaos", "2026-11-24T13:00:00Z")
    assert said["verify"][0]["rule"] == "order"
    assert "/home" not in (run.path / runs.VERDICT).read_text()


def chain(place: Path, **last: Any) -> tuple[list[Run], Run]:
    """Three runs that go on with one another's file, and the one that is open."""
    earlier: list[Run] = []
    for number in range(3):
        more: dict[str, Any] = {"nodes": 2, "final": True, "size": 100 * (number + 1), "begins_at": 100 * number}
        run = made(place, NOON + number * HOUR, continues=earlier[-1].name if earlier else "", **more)
        (run.path / runs.VOTES).mkdir()
        for node in (1, 2):
            (run.path / runs.VOTES / f"cluster_sync_{node}.log").touch()
        earlier.append(run)
    return earlier, made(place, NOON + 3 * HOUR, **{"ended": None, "continues": earlier[-1].name, "begins_at": 300} | last)


def test_the_vote_logs_of_earlier_runs_count_as_far_back_as_nothing_is_missing(tmp_path: Path) -> None:
    earlier, last = chain(tmp_path)
    assert runs.before(last) == earlier
    (earlier[1].path / runs.VOTES / "cluster_sync_2.log").unlink()
    assert runs.before(last) == earlier[2:]


@pytest.mark.parametrize(
    "change",
    [{"final": False}, {"size": 299}, {"missing": ("the log of cluster_sync_1: no",)}, {"kept": None}, {"gathering": True},
     {"nodes": 3}],
)  # fmt: skip
def test_a_run_of_which_something_may_be_missing_ends_the_chain(tmp_path: Path, change: dict[str, Any]) -> None:
    earlier, last = chain(tmp_path)
    runs.write(replace(earlier[-1], **change))
    assert runs.before(last) == []
    runs.write(replace(earlier[-1], missing=("output.txt (5 bytes): too large",)))
    assert len(runs.before(last)) == 3


@pytest.mark.parametrize("name", ["", "../elsewhere", "2026-01-01T00-00-00Z"])
def test_a_chain_that_leads_nowhere_ends(tmp_path: Path, name: str) -> None:
    assert runs.before(chain(tmp_path, continues=name)[1]) == []


def test_a_chain_that_bites_its_tail_ends(tmp_path: Path) -> None:
    earlier, last = chain(tmp_path)
    runs.write(replace(earlier[0], continues=earlier[2].name, begins_at=300))
    assert len(runs.before(last)) == 3


# --- pruning ---


def names(chosen: tuple[Choice, ...]) -> list[str]:
    return [choice.run.name for choice in chosen if choice.goes]


def test_the_newest_stay_and_so_does_the_latest_whatever_is_said(tmp_path: Path) -> None:
    some = [made(tmp_path, NOON + number * HOUR) for number in range(4)]
    assert names(choose(tmp_path, NOON, keep=2, older_than=None, even_latest=False)) == [run.name for run in some[:2]]
    (last,) = (choice for choice in choose(tmp_path, NOON, keep=0, older_than=None, even_latest=False) if not choice.goes)
    assert last.run == some[3]
    assert "latest" in last.why
    assert len(names(choose(tmp_path, NOON, keep=0, older_than=None, even_latest=True))) == 4


def test_age_counts_from_the_end_and_both_limits_must_be_passed(tmp_path: Path) -> None:
    some = [made(tmp_path, NOON + number * HOUR) for number in range(4)]  # each ends an hour after it began
    late = NOON + 3 * HOUR
    assert names(choose(tmp_path, late, keep=None, older_than=age_of("1h"), even_latest=False)) == [some[0].name]
    assert names(choose(tmp_path, late, keep=None, older_than=age_of("30m"), even_latest=False)) == [r.name for r in some[:2]]
    assert names(choose(tmp_path, late, keep=3, older_than=age_of("30m"), even_latest=False)) == [some[0].name]


def test_an_open_run_and_one_with_somebody_elses_file_stay(tmp_path: Path) -> None:
    made(tmp_path, NOON, ended=None)
    strange = made(tmp_path, NOON)
    (strange.path / "my notes").write_text("do not lose this")
    made(tmp_path, NOON + HOUR)
    chosen = choose(tmp_path, NOON, keep=0, older_than=None, even_latest=False)
    assert [choice.why.split(":")[0].split(",")[0] for choice in chosen] == [
        "it is open", "it holds my notes", "it is the latest one (--even-latest)"
    ]  # fmt: skip
    remove(chosen, tmp_path)
    assert len(runs.listed(tmp_path)) == 3


def test_removing_takes_the_runs_and_nothing_that_links_in_them_lead_to(tmp_path: Path) -> None:
    place, precious = tmp_path / "runs", tmp_path / "precious"
    (precious / "deep").mkdir(parents=True)
    (precious / "deep" / "file").write_text("here")
    old, newest = made(place, NOON), made(place, NOON + HOUR)
    (old.path / runs.VOTES).symlink_to(precious)
    (old.path / runs.HISTORY).mkdir()
    (old.path / runs.HISTORY / "client_1.jsonl").symlink_to(precious / "deep" / "file")
    (place / "2026-01-01T00-00-00Z").mkdir()  # somebody's: it has no marker
    (place / "2026-01-02T00-00-00Z").symlink_to(precious)
    (place / f".removing-{old.name}").mkdir()
    chosen = choose(place, NOON, keep=0, older_than=None, even_latest=False)
    assert names(chosen) == [old.name]
    remove(chosen, place)
    assert sorted(path.name for path in place.iterdir()) == [
        "2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z", newest.name, "latest"
    ]  # fmt: skip
    assert (precious / "deep" / "file").read_text() == "here"


def test_what_is_not_any_more_what_was_chosen_is_left_alone(tmp_path: Path) -> None:
    old = made(tmp_path, NOON)
    made(tmp_path, NOON + HOUR)
    chosen = choose(tmp_path, NOON, keep=1, older_than=None, even_latest=False)
    (old.path / runs.MARKER).write_text("mine now")
    remove(chosen, tmp_path)
    assert old.path.is_dir()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600), ("1", 86_400)]
)
def test_ages(text: str, seconds: int) -> None:
    assert age_of(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "7 d", "1y", "1e3d", "9999999d"])
def test_an_age_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--older-than"):
        age_of(text)


# --- telling ---


def test_the_list_marks_the_latest_and_what_is_not_whole(tmp_path: Path) -> None:
    made(tmp_path, NOON, missing=("output.txt",), messages=1234)
    newest = made(tmp_path, NOON + HOUR)
    told = RunList(str(tmp_path), tuple(Listed.of(run, newest) for run in runs.listed(tmp_path)))
    first = told.to_text().splitlines()[1]
    assert "kept*" in first
    assert "1,234" in first
    assert "latest is" not in told.to_text(), "the last one, as one expects"
    other = RunList(str(tmp_path), tuple(Listed.of(run, runs.listed(tmp_path)[0]) for run in runs.listed(tmp_path)))
    assert f"latest is {runs.listed(tmp_path)[0].name}." in other.to_text()
    assert [(row["state"], row["latest"], row["verdict"]) for row in told.to_json()] == [
        ("kept", False, None),
        ("kept", True, None),
    ]
    assert "No run is kept" in RunList("runs", ()).to_text()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (99_951, "100 kB"), (999_999, "1.0 MB"),
     (5_000_000_000_000, "5000 GB")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text
