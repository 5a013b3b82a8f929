"""The space-time diagram: which arrows, bars and bands the logs come to, and each way to write them down."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from tests.unit import snapshot
from tests.unit.run_maker import RunMaker, story
from votesync_cli.scrolling import Scroll
from votesync_cli.timeline import EVERYTHING, Choice, Timeline, timeline
from votesync_cli.timeline_axis import Axis
from votesync_cli.timeline_html import html
from votesync_cli.timeline_shiviz import shiviz
from votesync_cli.timeline_svg import svg
from votesync_cli.timeline_verdict import failures, lines_of, mark, offsets_of
from votesync_cli.views_text import ASCII, UNICODE, Symbols
from votesync_cli.views_timeline import Drawing, spoken


def drawn(maker: RunMaker | None = None, choice: Choice = EVERYTHING) -> Timeline:
    return timeline((maker or story()).recorded(), choice)


def of_round(picture: Timeline, index: int) -> Counter[str]:
    return Counter(arrow.kind for arrow in picture.arrows if arrow.round == index)


# --- the model ---


def test_every_vote_has_a_ballot_that_led_to_it_and_comes_back_to_the_leader() -> None:
    picture = drawn()
    assert of_round(picture, 2)["ballot"] == 4
    assert of_round(picture, 2)["vote"] == 2
    assert of_round(picture, 2)["late"] == 2
    assert of_round(picture, 3)["refusal"] == 1
    for arrow in picture.arrows:
        assert arrow.arrives >= arrow.t
        if arrow.kind == "vote":
            assert picture.marks[arrow.cause].kind == "vote"
            assert picture.marks[arrow.effect].kind == "decided"


def test_the_permission_goes_from_writer_to_writer_and_only_one_holds_it() -> None:
    picture = drawn()
    bars = [bar for bar in picture.bars if bar.round == 2]
    assert [bar.lane for bar in bars] == [1, 0, 3]
    for one, next_one in pairwise(bars):
        assert one.end == next_one.start
    ways = [(a.kind, a.lane, a.to) for a in picture.arrows if a.round == 2 and a.kind in ("grant", "pass", "written")]
    assert ways == [("grant", 0, 1), ("pass", 1, 0), ("pass", 0, 3), ("written", 3, 0)]


def test_a_writer_that_stalls_holds_it_until_it_is_granted_anew_and_nobody_after_it_does() -> None:
    bars = [(bar.lane, bar.attempt, bar.sure) for bar in drawn().bars if bar.round == 4]
    assert bars == [(3, 0, False), (0, 1, True)]
    stalled = next(bar for bar in drawn().bars if bar.lane == 3 and bar.round == 4)
    assert stalled.end - stalled.start == 250_000


def test_a_fault_is_a_band_from_its_beginning_to_its_heal() -> None:
    (band,) = [band for band in drawn().bands if band.kind == "cut"]
    assert (band.lane, band.end - band.start) == (3, 20_000)


def test_a_node_that_was_killed_is_down_until_it_starts_again() -> None:
    maker = story()
    maker.now += 700_000
    maker.say(4, "start", version=1, cluster="made", nodes=5, pid=2, last=6, writer="turns")
    (band,) = [band for band in drawn(maker).bands if band.kind == "down"]
    assert band.lane == 4
    assert band.end - band.start >= 700_000


def test_a_node_that_is_dead_at_the_end_is_down_from_its_last_word_on() -> None:
    maker = RunMaker(3)
    maker.now += 5000
    maker.say(0, "peer_down", peer=2, reason="connection lost")
    maker.now += 5000
    maker.round(maker.send("0", 0), no=2)
    maker.logs[2] = maker.logs[2][:3]
    assert [band.lane for band in drawn(maker).bands] == [2]


def test_an_election_is_asked_for_voted_on_and_heard_of() -> None:
    kinds = Counter(arrow.kind for arrow in drawn().arrows if arrow.round is None)
    assert kinds["asks"] == kinds["leads"] == 8
    assert kinds["elects"] == 4


def test_clients_have_lanes_when_they_are_asked_for() -> None:
    assert drawn().lanes == [f"node {node}" for node in range(5)]
    picture = drawn(choice=Choice(clients=True))
    assert picture.lanes[5:] == ["client 0", "client 1", "client 2", "client 3", "client 4"]
    sends = [(picture.lanes[a.lane], picture.lanes[a.to]) for a in picture.arrows if a.kind == "send"]
    assert ("client 3", "node 3") in sends
    assert len([a for a in picture.arrows if a.kind == "ack"]) == len(sends) == 8
    assert [mark.t for mark in picture.marks] == sorted(mark.t for mark in picture.marks)


def test_a_choice_of_rounds_draws_these_and_what_happens_meanwhile() -> None:
    picture = drawn(choice=Choice(3, 4))
    assert [spell.round for spell in picture.rounds] == [3, 4]
    assert {mark.round for mark in picture.marks} == {3, 4, None}
    assert {mark.kind for mark in picture.marks if mark.round is None} == {"fault", "heal"}
    assert min(spell.start for spell in picture.rounds) == 0


def test_all_of_it_is_data_too() -> None:
    rows = list(drawn().to_json())
    assert rows[0]["lanes"][0] == "node 0"
    assert Counter(row["is"] for row in rows[1:])["holds"] == len(drawn().bars)
    json.dumps(rows)


# --- violations ---


def verdict(line: int) -> list[str]:
    failed = {
        "rule": "order", "status": "FAIL", "detail": "", "violations": 2,
        "counterexample": {"what": "its time is less", "places": [{"line": line, "text": "Container 0 "}], "votes": []},
    }  # fmt: skip
    return [json.dumps(failed), json.dumps({"rule": "framing", "status": "PASS"}), json.dumps({"verdict": "FAIL"})]


@pytest.mark.parametrize(("line", "index"), [(1, 2), (2, 2), (7, 2), (8, 3), (13, 4), (18, 6)])
def test_a_violation_is_marked_at_the_round_of_its_line(line: int, index: int) -> None:
    maker = story()
    picture, failed = drawn(maker), failures(verdict(line))
    mark(picture, maker.recorded(), failed, offsets_of(maker.lines(), lines_of(failed)))
    (violation,) = picture.violations
    spell = next(spell for spell in picture.rounds if spell.round == index)
    assert (violation.round, violation.start, violation.end) == (index, spell.start, spell.end)
    assert violation.text == "its time is less (the first of 2)"


def test_a_violation_that_a_vote_log_or_a_history_shows_is_marked_there() -> None:
    maker = story()
    picture = drawn(maker)
    place = {"line": 3, "text": json.dumps({"event": "ok", "session": "4", "seq": 1}), "source": "client_5.jsonl"}
    rows = [
        {"rule": "no-loss", "status": "FAIL", "counterexample": {"what": "lost", "places": [place]}},
        {"rule": "one-writer", "status": "FAIL", "counterexample": {"what": "two", "places": [], "votes": [{"round": 4}]}},
    ]
    mark(picture, maker.recorded(), rows, {})
    assert [(violation.rule, violation.round) for violation in picture.violations] == [("no-loss", 3), ("one-writer", 4)]


def test_a_violation_without_a_place_is_said_and_not_lost() -> None:
    maker = story()
    picture = drawn(maker)
    mark(picture, maker.recorded(), [{"rule": "complete", "status": "FAIL", "detail": "open"}], {})
    assert not picture.violations
    assert "complete" in picture.notes[0]


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no json", '{"rule":"order","status":"PASS"}'])
def test_what_is_no_verdict_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expecting value|no line"):
        failures(text.splitlines())


# --- files ---


def test_the_svg_is_well_formed_and_has_every_arrow_and_every_lane() -> None:
    picture = drawn()
    root = ElementTree.fromstring("".join(svg(picture, "a <b> & c")))
    name = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{name}title") == "a <b> & c"
    assert len([r for r in root.iter(f"{name}rect") if r.get("class") == "hold"]) == len(picture.bars) + 1  # the legend's
    assert {t.text for t in root.iter(f"{name}text")} >= set(picture.lanes)
    votes = [p for p in root.iter(f"{name}path") if p.get("class") == "vote" and p.get("fill") == "none"]
    assert len(votes) == len([a for a in picture.arrows if a.kind == "vote"])


def test_the_page_needs_no_network_and_no_text_can_end_its_script() -> None:
    maker = story()
    maker.say(1, "peer_down", peer=2, reason="</script><script>alert(1)</script>")
    page = html(drawn(maker), "<script>/*DATA*/</script>", "t", judged=False)
    assert page.count("</script>") == 1
    data = json.loads(page.removeprefix("<script>").removesuffix("</script>"))
    assert len(data["marks"]["t"]) == len(drawn(maker).marks)
    assert sum(data["marks"]["t"]) == drawn(maker).marks[-1].t


def test_in_shiviz_each_host_counts_its_own_events_and_knows_what_its_messages_knew() -> None:
    out = "".join(shiviz(drawn()))
    pattern, delimiter, body = out.split("\n", 2)
    assert delimiter == ""
    found = list(re.finditer(pattern.replace("?<", "?P<"), body))
    assert len(found) == len(drawn().marks)
    clocks: dict[str, list[dict[str, int]]] = {}
    for each in found:
        clocks.setdefault(each["host"], []).append(json.loads(each["clock"]))
    for host, seen in clocks.items():
        assert [clock[host] for clock in seen] == list(range(1, len(seen) + 1))
        for one, next_one in pairwise(seen):
            assert all(next_one[other] >= many for other, many in one.items())
    known = [json.loads(each["clock"]) for each in found if each["event"].startswith("decided")]
    assert all(len(clock) >= 3 for clock in known)


def test_an_event_in_shiviz_comes_after_all_that_it_knows_of() -> None:
    seen: Counter[str] = Counter()
    for line in "".join(shiviz(drawn(choice=Choice(clients=True)))).splitlines()[2::2]:
        host, _, clock = line.partition(" ")
        seen[host] += 1
        assert all(seen[other] >= many for other, many in json.loads(clock).items())


# --- the axis ---


def test_idle_time_takes_little_room_and_is_marked() -> None:
    axis = Axis([0, 10, 20, 30, 1_000_030, 1_000_040], 100.0)
    assert (axis.at(0), axis.at(1_000_040)) == (0.0, 100.0)
    assert axis.at(30) > 30
    ((place, us),) = axis.breaks
    assert us == 1_000_000
    assert axis.at(30) < place < axis.at(1_000_030)


def test_the_axis_keeps_the_order_of_time() -> None:
    axis = Axis([5, 900, 7, 7, 100_000], 50.0)
    places = [axis.at(t) for t in range(0, 110_000, 500)]
    assert places == sorted(places)
    assert not Axis([3], 10.0).breaks


# --- the terminal ---


def text(picture: Timeline, width: int | None, symbols: Symbols = UNICODE) -> str:
    lines = Drawing(width, symbols).lines(picture)
    return "\n".join("".join(part for part, _ in line).rstrip() for line in lines) + "\n"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_how_it_looks(width: int) -> None:
    shown = text(drawn(), width)
    assert max(map(len, shown.splitlines())) <= width
    snapshot.check(f"timeline_{width}", shown)


def test_how_it_looks_in_ascii_with_clients() -> None:
    shown = text(drawn(choice=Choice(2, 3, clients=True)), None, ASCII)
    assert shown.isascii()
    snapshot.check("timeline_ascii", shown)


def test_what_plain_says() -> None:
    shown = "\n".join(spoken(drawn())) + "\n"
    assert shown.isascii()
    snapshot.check("timeline_plain", shown)


def test_keys_move_about_and_never_beyond_the_ends() -> None:
    seen = Scroll(100, 10, rounds=(0, 20, 50), violations=(70,))
    assert seen.press("up").top == 0
    assert seen.press("down").top == 1
    assert seen.press("G").top == 90
    assert seen.press("G").press(" ").top == 90
    assert seen.press(" ").top == 8
    assert seen.press("n").press("n").top == 50
    assert seen.press("n").press("n").press("p").top == 20
    assert seen.press("v").top == 70
    assert seen.press("v").press("v").top == 70
    assert seen.press("x") == seen
    assert Scroll(3, 10).press("G").top == 0
