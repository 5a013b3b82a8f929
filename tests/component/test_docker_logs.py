"""Following logs through the traps of a Docker Engine: long lines, streams that end too early or never, restarts."""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.component.docker_api import Exchange, FakeDocker, frame, stamp
from votesync_cli.compose import ComposeProject, Service
from votesync_cli.engines import docker_labels as labels
from votesync_cli.engines.base import LogLine
from votesync_cli.engines.docker_create import nanoseconds
from votesync_cli.engines.docker_logs import unframed, whole_lines
from votesync_cli.errors import EnvironmentFault

LIMIT = 20.0  # seconds until a line counts as never coming


def texts(frames: list[str], after: str = "") -> list[str]:
    made = whole_lines((text.encode() for text in frames), nanoseconds(after) if after else 0)
    return [line.line for line in made]


def test_the_pieces_of_a_long_line_are_one_line_without_their_timestamps() -> None:
    frames = [f"{stamp(1)} aaa", f"{stamp(1)} bbb", f"{stamp(1)} \n", f"{stamp(2)} next\n"]
    assert texts(frames) == ["aaabbb", "next"]


def test_a_last_line_without_newline_counts() -> None:
    assert texts([f"{stamp(1)} one\n", f"{stamp(2)} end"]) == ["one", "end"]


def test_what_was_read_before_is_left_out_but_a_clock_that_was_set_back_loses_nothing() -> None:
    frames = [f"{stamp(1)} old\n", f"{stamp(2)} old too\n", f"{stamp(3)} new\n", f"{stamp(1)} newer\n"]
    assert texts(frames, after=stamp(2)) == ["new", "newer"]


def test_bytes_that_are_no_text_do_not_stop_the_log() -> None:
    assert [line.line for line in whole_lines([stamp(1).encode() + b" a\xff\xfe\n"])] == ["a\ufffd\ufffd"]


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), st.integers(1, 7)), max_size=8
    )
)
def test_any_cutting_of_lines_into_pieces_gives_the_lines_back(lines: list[tuple[str, int]]) -> None:
    frames = []
    for number, (text, size) in enumerate(lines):
        data, prefix = text.encode() + b"\n", f"{stamp(number)} ".encode()
        frames += [prefix + data[start : start + size] for start in range(0, len(data), size)]
    assert [line.line for line in whole_lines(frames)] == [text for text, _ in lines]


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
def test_the_raw_log_is_what_was_in_the_frames_however_they_come(bodies: list[bytes], step: int) -> None:
    heads = [bytes([1 + number % 2, 0, 0, 0]) + len(body).to_bytes(4, "big") for number, body in enumerate(bodies)]
    stream = b"".join(head + body for head, body in zip(heads, bodies, strict=True))
    pieces = (stream[place : place + step] for place in range(0, len(stream), step))
    assert b"".join(unframed(pieces)) == b"".join(bodies)


def test_the_raw_log_of_a_container_with_a_terminal_has_no_frames() -> None:
    assert b"".join(unframed([b'{"ts":', b"1}\n", b"more\n"])) == b'{"ts":1}\nmore\n'


def test_times_of_the_engine_are_read_to_the_nanosecond_in_every_zone() -> None:
    assert nanoseconds("1970-01-01T00:00:01.000000005Z") == 1_000_000_005
    assert nanoseconds("1970-01-01T01:00:01.5+01:00") == 1_500_000_000
    assert nanoseconds("1970-01-01T00:00:02Z") == 2_000_000_000


class Container:
    """A container of the fake engine: what it wrote, whether it runs, and how its log streams behave."""

    def __init__(self, fake: FakeDocker, directory: Path, name: str) -> None:
        self.id = f"id_{name}"
        self.name = name
        self.written: list[str] = []
        self.state = "running"
        self.opened: queue.Queue[queue.Queue[str | None]] = queue.Queue()  # streams that follow; None ends one
        self.summary = {
            "Id": self.id,
            "Names": [f"/toy-{name}-1"],
            "State": "running",
            "Labels": {labels.PROJECT: "toy", labels.SERVICE: name, labels.WORKING_DIR: str(directory)},
        }
        fake.on("GET", f"/containers/{self.id}/json", self._inspect)
        fake.on("GET", f"/containers/{self.id}/logs", self._logs)

    def _inspect(self, exchange: Exchange) -> None:
        exchange.say({"Id": self.id, "Config": {"Tty": False, "Labels": {}}, "State": {"Status": self.state}})

    def _logs(self, exchange: Exchange) -> None:
        since = float((re.search(r"since=([\d.]+)", exchange.path) or ["", "0"])[1])
        feed: queue.Queue[str | None] = queue.Queue()
        for text in self.written:
            if nanoseconds(text.partition(" ")[0]) >= since * 1e9:
                feed.put(text)
        if "follow=1" in exchange.path:
            self.opened.put(feed)
        else:
            feed.put(None)
        exchange.stream(frame(text) for text in iter(feed.get, None))

    def follower(self) -> queue.Queue[str | None]:
        """The next stream that somebody opens to follow."""
        return self.opened.get(timeout=LIMIT)


class Scene:
    """A project of one or two containers, the engine's events, and somebody who follows the logs."""

    def __init__(self, fake: FakeDocker, directory: Path, *names: str) -> None:
        services = tuple(Service(name, "node", number, "img", ("x",), {}) for number, name in enumerate(names))
        self.fake = fake
        self.project = ComposeProject("toy", directory, directory / "compose.yml", services)
        self.containers = [Container(fake, directory, name) for name in names]
        self.events: queue.Queue[tuple[str, Container] | None] = queue.Queue()
        self.lines: queue.Queue[LogLine | Exception | None] = queue.Queue()
        self.names = names
        fake.on("GET", "/containers/json", [container.summary for container in self.containers])
        fake.on("GET", "/events", self._events)

    def _events(self, exchange: Exchange) -> None:
        told = iter(self.events.get, None)
        exchange.stream(json.dumps({"Action": action, "Actor": {"ID": who.id}}).encode() + b"\n" for action, who in told)

    def follow(self) -> threading.Thread:
        def run() -> None:
            try:
                for line in self.fake.engine().logs(self.project, self.names, follow=True, since=None):
                    self.lines.put(line)
            except EnvironmentFault as error:
                self.lines.put(error)
            self.lines.put(None)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def next(self) -> str | None:
        line = self.lines.get(timeout=LIMIT)
        assert not isinstance(line, Exception), line
        return None if line is None else line.line


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with FakeDocker() as fake:
        yield Scene(fake, tmp_path, "cluster_sync_1")


def test_the_raw_log_is_read_whole_and_an_engine_that_says_no_is_told_in_words(scene: Scene) -> None:
    [container] = scene.containers
    container.written = [f"{stamp(1)} one\n", f"{stamp(2)}{' two' * 100_000}\n"]
    engine = scene.fake.engine()
    assert b"".join(engine.raw_log(scene.project, "cluster_sync_1")).decode() == "".join(container.written)
    scene.fake.on("GET", f"/containers/{container.id}/logs", lambda exchange: exchange.say({"message": "no such thing"}, 500))
    with pytest.raises(EnvironmentFault, match=r"no such thing|500"):
        list(engine.raw_log(scene.project, "cluster_sync_1"))


def test_a_stream_that_ends_while_its_container_runs_is_opened_again_without_a_line_twice_or_lost(scene: Scene) -> None:
    [container] = scene.containers
    container.written = [f"{stamp(1)} one\n"]
    scene.follow()
    assert scene.next() == "one"
    first = container.follower()
    first.put(f"{stamp(2)} two\n")
    assert scene.next() == "two"
    container.written += [f"{stamp(2)} two\n", f"{stamp(3)} three\n"]
    first.put(None)
    second = container.follower()
    assert scene.next() == "three"
    container.state = "exited"
    scene.events.put(("die", container))
    second.put(None)
    assert scene.next() is None


def test_a_stream_that_never_ends_is_cut_after_the_containers_die_and_its_last_line_still_comes(scene: Scene) -> None:
    [container] = scene.containers
    scene.follow()
    container.follower()  # and nothing is ever sent on it
    container.written = [f"{stamp(4)} last words\n"]
    container.state = "exited"
    scene.events.put(("die", container))
    assert scene.next() == "last words"
    assert scene.next() is None


def test_following_goes_on_after_a_restart(scene: Scene) -> None:
    [container] = scene.containers
    scene.follow()
    first = container.follower()
    first.put(f"{stamp(1)} before\n")
    assert scene.next() == "before"
    scene.events.put(("die", container))
    container.written = [f"{stamp(1)} before\n"]
    first.put(None)
    scene.events.put(("start", container))
    second = container.follower()
    second.put(f"{stamp(5)} after\n")
    assert scene.next() == "after"
    container.written.append(f"{stamp(5)} after\n")
    container.state = "exited"
    scene.events.put(("die", container))
    second.put(None)
    assert scene.next() is None


def test_following_what_has_ended_already_ends_at_once(scene: Scene) -> None:
    [container] = scene.containers
    container.state = "exited"
    container.written = [f"{stamp(1)} done\n"]
    thread = scene.follow()
    assert scene.next() == "done"
    assert scene.next() is None
    thread.join(LIMIT)
    assert not thread.is_alive()


def test_an_engine_that_goes_away_is_said_and_not_waited_for(scene: Scene) -> None:
    [container] = scene.containers
    scene.follow()
    container.follower()
    scene.events.put(None)
    line = scene.lines.get(timeout=LIMIT)
    assert isinstance(line, EnvironmentFault)
    assert "No Docker Engine answers" in line.message


def test_the_history_of_many_containers_comes_in_order_of_time(tmp_path: Path) -> None:
    with FakeDocker() as fake:
        scene = Scene(fake, tmp_path, "cluster_sync_1", "cluster_sync_2")
        one, two = scene.containers
        one.written = [f"{stamp(1)} a\n", f"{stamp(4)} d\n"]
        two.written = [f"{stamp(2)} b\n", f"{stamp(3)} c\n", f"{stamp(5)} e\n"]
        lines = list(fake.engine().logs(scene.project, scene.names, follow=False, since=None))
    assert [line.line for line in lines] == ["a", "b", "c", "d", "e"]
    assert [line.service for line in lines][:2] == ["cluster_sync_1", "cluster_sync_2"]


def test_whoever_stops_following_leaves_no_thread_behind(scene: Scene) -> None:
    [container] = scene.containers
    container.written = [f"{stamp(1)} one\n"]
    lines = scene.fake.engine().logs(scene.project, scene.names, follow=True, since=None)
    assert next(lines).line == "one"
    live = threading.Thread(target=lambda: container.follower().put(f"{stamp(2)} two\n"))
    live.start()
    assert next(lines).line == "two"
    lines.close()  # type: ignore[attr-defined]  # it is a generator
    for thread in threading.enumerate():
        if thread.name.startswith("docker-"):
            thread.join(LIMIT)
            assert not thread.is_alive(), thread.name
