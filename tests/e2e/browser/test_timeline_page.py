"""The page of `votesync timeline --html` in a real browser: it draws, zooms, tells, filters, jumps, and marks violations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser.chromium import Chromium
from tests.e2e.browser.conftest import make_page
from tests.unit.run_maker import story

LANES = 'input[name="lane-{}"]'


@pytest.fixture
def shown(browser: Chromium, page: Path) -> Chromium:
    """The browser with the story's page, freshly loaded."""
    browser.errors.clear()
    browser.requests.clear()
    browser.open(page)
    return browser


def window(browser: Chromium) -> tuple[float, float]:
    """From when to when the picture reaches, in microseconds."""
    browser.settle()
    return float(browser.run("+document.body.dataset.from")), float(browser.run("+document.body.dataset.to"))


def drawn(browser: Chromium) -> dict[str, float]:
    browser.settle()
    return dict(browser.run("votesync.redraw()"))


def on_screen(browser: Chromium, x: float, y: float) -> tuple[float, float]:
    """A place on the canvas as a place in the window."""
    left, top = corner(browser, "view")
    return left + x, top + y


def corner(browser: Chromium, name: str) -> tuple[float, float]:
    """Where an element begins in the window."""
    box = f"document.getElementById({name!r}).getBoundingClientRect()"
    return float(browser.run(f"{box}.x")), float(browser.run(f"{box}.y"))


def spell(browser: Chromium, index: int) -> tuple[float, float]:
    """When a round begins and ends."""
    start, end = browser.run(f"(({{ start, end }}) => [start, end])(votesync.rounds.find((r) => r.round === {index}))")
    return float(start), float(end)


def mark(browser: Chromium, kind: str, index: int) -> int:
    """The number of the first event of a kind in a round."""
    script = (
        f"votesync.data.marks.round.findIndex((r, i) => r === {index}"
        f" && votesync.data.kinds[votesync.data.marks.kind[i]] === {kind!r})"
    )
    return int(browser.run(script))


def colour(browser: Chromium, x: float, y: float) -> list[int]:
    """A pixel of the picture."""
    pixel = f"document.getElementById('view').getContext('2d').getImageData({round(x)}, {round(y)}, 1, 1).data"
    return list(browser.run(f"[...{pixel}].slice(0, 3)"))


def variable(browser: Chromium, name: str) -> list[int]:
    """A colour of the style sheet."""
    text = str(browser.run(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}').trim()"))
    return [int(text[place : place + 2], 16) for place in (1, 3, 5)]


def test_it_draws_itself_without_errors_and_asks_nobody(shown: Chromium, page: Path) -> None:
    counts = drawn(shown)
    assert counts["marks"] > 50
    assert counts["arrows"] > 40
    assert counts["bars"] >= 7
    assert shown.run("document.title") == "votesync: run"
    assert shown.run("document.getElementById('about').textContent").startswith("5 nodes · 4 rounds")
    assert shown.requests == [page.as_uri()]
    assert shown.errors == []


def test_an_event_has_its_shape_where_its_time_and_node_are(shown: Chromium) -> None:
    shown.run("votesync.goRound(2)")
    shown.settle()
    at = shown.run(f"votesync.where({mark(shown, 'ballot', 2)})")
    assert colour(shown, at["x"], at["y"]) == variable(shown, "ballot")
    assert colour(shown, at["x"], at["y"] - 40) != variable(shown, "ballot")


def test_the_wheel_zooms_around_the_pointer_and_the_whole_run_comes_back(shown: Chromium) -> None:
    before = window(shown)
    x, y = on_screen(shown, 900, 200)
    under = shown.run("(() => { const s = votesync.state; return s.from; })()")
    assert under == 0
    at = before[0] + (900 - 84) / (shown.run("document.getElementById('view').clientWidth") - 94) * (before[1] - before[0])
    for _ in range(5):
        shown.wheel(x, y, -240)
    after = window(shown)
    assert after[1] - after[0] < (before[1] - before[0]) / 10
    assert after[0] < at < after[1]
    assert abs(shown.run(f"votesync.xOf({at})") - 900) < 3
    shown.click("#fit")
    assert window(shown) == before


def test_keys_and_buttons_zoom_and_move(shown: Chromium) -> None:
    start = window(shown)
    shown.click("#in")
    near = window(shown)
    assert near[1] - near[0] == pytest.approx((start[1] - start[0]) / 2, rel=0.01)
    shown.press("ArrowRight")
    assert window(shown)[0] > near[0]
    shown.press("-")
    shown.press("-")
    assert window(shown)[1] - window(shown)[0] > near[1] - near[0]


def test_dragging_moves_the_picture_and_the_strip_below_chooses_a_part(shown: Chromium) -> None:
    shown.click("#in")
    before = window(shown)
    x, y = on_screen(shown, 600, 300)
    shown.drag(x, y, x - 200)
    after = window(shown)
    assert after[0] > before[0]
    assert after[1] - after[0] == pytest.approx(before[1] - before[0], rel=0.01)
    left, top = corner(shown, "whole")
    shown.drag(left + 400, top + 20, left + 500)
    assert window(shown)[1] - window(shown)[0] < before[1] - before[0]


def test_pointing_at_an_event_tells_what_it_is(shown: Chromium) -> None:
    shown.run("votesync.goRound(3)")
    shown.settle()
    refused = mark(shown, "vote", 3)
    while "votes no" not in shown.run(f"votesync.data.marks.text[{refused}]"):
        refused += 1
    at = shown.run(f"votesync.where({refused})")
    shown.point(*on_screen(shown, at["x"], at["y"]))
    told = shown.run("document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText")
    assert "node 2: vote, round 3, term 1" in told
    assert "votes no: session" in told
    shown.point(*on_screen(shown, 5, 5))
    assert shown.run("document.getElementById('tip').hidden")


def test_pointing_at_a_bar_tells_who_holds_the_permission(shown: Chromium) -> None:
    shown.run("votesync.goRound(4)")
    shown.settle()
    shown.run("globalThis.bar = votesync.data.bars.round.indexOf(4)")
    x = shown.run("votesync.xOf(votesync.data.bars.t[bar] + 1e5)")
    y = shown.run("votesync.where(votesync.data.marks.lane.indexOf(votesync.data.bars.lane[bar])).y")
    shown.point(*on_screen(shown, x, y))
    assert "node 3 holds the permission" in shown.run("document.getElementById('tip').innerText")


def test_lanes_and_events_can_be_left_out(shown: Chromium) -> None:
    everything = drawn(shown)
    shown.click(LANES.format(4))
    assert shown.run("votesync.state.shownLanes") == [0, 1, 2, 3]
    without = drawn(shown)
    assert without["arrows"] < everything["arrows"]
    shown.click('input[name="kind-votes"]')
    fewer = drawn(shown)
    assert fewer["marks"] < without["marks"]
    assert fewer["arrows"] < without["arrows"]
    shown.click('input[name="kind-votes"]')
    shown.click(LANES.format(4))
    assert drawn(shown)["arrows"] == everything["arrows"]


def test_one_jumps_to_a_round_and_reads_what_was_logged_of_it(shown: Chromium) -> None:
    shown.click("#round")
    shown.press("4")
    shown.press("Enter")
    shown.settle()
    start, end = spell(shown, 4)
    seen = window(shown)
    assert seen[0] <= start < end <= seen[1]
    assert seen[1] - seen[0] < 3 * (end - start)
    told = shown.run("document.getElementById('detail').innerText")
    assert "Round 4" in told
    assert "turn 0 stalled: nothing from node 3" in told
    shown.click("#after")
    assert shown.run("votesync.state.round") == 6


def test_a_round_that_there_is_not_is_said_and_nothing_moves(shown: Chromium) -> None:
    before = window(shown)
    shown.click("#round")
    for key in "999":
        shown.press(key)
    shown.press("Enter")
    said = shown.run("document.getElementById('round').validationMessage")
    assert said == "This run has rounds 2 to 6; 999 is not among them."
    assert window(shown) == before


def test_a_violation_is_marked_at_its_place_and_one_jumps_to_it(shown: Chromium) -> None:
    assert shown.run("document.getElementById('violations').innerText") == "✗ 1 violation"
    shown.click("#violations")
    shown.settle()
    start, end = spell(shown, 4)
    seen = window(shown)
    assert seen[0] <= start < end <= seen[1]
    x = shown.run(f"votesync.xOf({start})")
    assert colour(shown, x + 1, 20) == variable(shown, "bad")
    assert colour(shown, x - 8, 20) != variable(shown, "bad")
    assert "order: its time is less" in shown.run("document.getElementById('detail').innerText")
    shown.point(*on_screen(shown, x + 30, 24))
    assert "✗ order" in shown.run("document.getElementById('tip').innerText")


def test_without_a_verdict_it_does_not_say_that_all_is_well(browser: Chromium, tmp_path: Path) -> None:
    browser.open(make_page(tmp_path, story()))
    assert browser.run("document.getElementById('violations').innerText") == "Not judged"


def test_idle_time_can_be_squeezed(shown: Chromium) -> None:
    shown.run("votesync.goRound(2)")
    narrow = "(() => { const r = votesync.rounds[0]; return votesync.xOf(r.end) - votesync.xOf(r.start); })()"
    shown.click("#fit")
    before = shown.run(narrow)
    shown.click("#squeeze")
    shown.click("#fit")
    assert shown.run(narrow) > 2 * before
    places = shown.run("[...votesync.data.marks.t].map((t) => votesync.xOf(t))")
    assert places == sorted(places)


def test_it_follows_the_scheme_of_the_reader_and_can_be_told_otherwise(shown: Chromium) -> None:
    def paper() -> Any:
        return shown.run("getComputedStyle(document.body).backgroundColor")

    light = paper()
    shown.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    shown.until("document.documentElement.dataset.theme === 'dark'")
    assert paper() != light
    shown.click("#theme")
    assert paper() == light
    shown.call("Emulation.setEmulatedMedia", features=[])


def test_what_a_log_says_is_shown_and_never_run(browser: Chromium, tmp_path: Path) -> None:
    maker = story()
    maker.say(1, "peer_down", peer=2, reason="</script><img src=x onerror=\"document.title='owned'\">")
    browser.errors.clear()
    browser.open(make_page(tmp_path, maker))
    last = browser.run("votesync.data.marks.t.length - 1")
    at = browser.run(f"votesync.where({last})")
    browser.point(*on_screen(browser, at["x"], at["y"]))
    assert "<img src=x" in browser.run("document.getElementById('tip').innerText")
    assert browser.run("document.title") == "votesync: run"
    assert browser.run("document.querySelectorAll('img').length") == 0


def test_clients_have_lanes_with_their_messages_and_acknowledgements(browser: Chromium, tmp_path: Path) -> None:
    browser.open(make_page(tmp_path, story(), "--clients"))
    assert browser.run("votesync.state.shownLanes.length") == 10
    before = drawn(browser)["arrows"]
    browser.click('input[name="kind-clients"]')
    assert before - drawn(browser)["arrows"] == 16


def test_ten_thousand_rounds_stay_quick(browser: Chromium, large: Path) -> None:
    browser.open(large)
    assert browser.run("votesync.rounds.length") == 10_000
    whole = [drawn(browser)["ms"] for _ in range(5)]
    assert min(whole) < 250
    x, y = on_screen(browser, 640, 300)
    zooming = []
    for _ in range(10):
        browser.wheel(x, y, -240)
        zooming.append(drawn(browser)["ms"])
    assert sorted(zooming)[len(zooming) // 2] < 100
    assert drawn(browser)["arrows"] > 0
    browser.run("votesync.goRound(7777)")
    start, end = spell(browser, 7777)
    seen = window(browser)
    assert seen[0] <= start < end <= seen[1]
    near = drawn(browser)
    assert near["arrows"] >= 9
    assert near["ms"] < 100
