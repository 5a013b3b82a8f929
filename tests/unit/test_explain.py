"""Why a block stands where it stands: found in the file, told by the logs, with what it waited for longest."""

from __future__ import annotations

import json

import pytest

from tests.unit import snapshot
from tests.unit.run_maker import RunMaker, story
from votesync_cli.blocks import Neighbourhood, Wanted, find
from votesync_cli.explain import Explanation, explain
from votesync_cli.recorded import recorded
from votesync_cli.stories import stories
from votesync_cli.views_explain import page, spoken
from votesync_cli.views_text import ASCII, UNICODE, Symbols


def answer(maker: RunMaker, wanted: Wanted) -> Explanation:
    """What is told of a block of the made-up run, or of its round."""
    found = maker.recorded()
    place = find(maker.lines(), wanted)
    assert place is not None
    told = [s for s in stories(found.said).values() if s.chosen and s.chosen.field("offset") == place.start]
    block = place.block
    sent = found.sent.get((block.session, block.number)) if block else None
    return explain("made", found, told[-1], place, sent)


def text(told: Explanation, width: int | None, symbols: Symbols = UNICODE) -> str:
    return "\n".join("".join(part for part, _ in line).rstrip() for line in page(told, width, symbols)) + "\n"


def place(maker: RunMaker, wanted: Wanted) -> Neighbourhood:
    found = find(maker.lines(), wanted)
    assert found is not None
    return found


@pytest.mark.parametrize(("line", "session", "at"), [(1, "1", 0), (2, "1", 0), (3, "0", 1), (6, "3", 2), (8, "0", 0)])
def test_a_line_leads_to_its_block_and_its_place_in_the_round(line: int, session: str, at: int) -> None:
    found = place(story(), Wanted(line=line))
    assert found.block is not None
    assert (found.block.session, found.blocks.index(found.block)) == (session, at)


def test_a_separator_stands_for_its_round() -> None:
    found = place(story(), Wanted(line=7))
    assert found.block is None
    assert (found.first, found.last, found.ordinal, len(found.blocks)) == (1, 7, 1, 3)


def test_the_kth_block_of_a_session_is_its_message_k() -> None:
    found = place(story(), Wanted(message=("3", 2)))
    assert found.block is not None
    assert (found.ordinal, found.block.number, found.block.text) == (3, 2, "2")


@pytest.mark.parametrize("wanted", [Wanted(line=99), Wanted(message=("9", 1)), Wanted(message=("3", 3)), Wanted(offset=7)])
def test_what_is_not_in_the_file_is_not_found(wanted: Wanted) -> None:
    assert find(story().lines(), wanted) is None


def test_a_round_that_is_not_closed_is_found_too() -> None:
    found = find(story().lines()[:2], Wanted(line=1))
    assert found is not None
    assert (found.end, found.last) == (None, None)


def test_the_stages_follow_one_another_from_the_client_to_its_acknowledgement() -> None:
    told = answer(story(), Wanted(message=("0", 1)))
    first = list(dict.fromkeys(step.kind for step in told.steps))
    assert first == ["sent", "proposed", "vote", "decided", "granted", "wrote", "written", "acked"]
    assert sum(wait.us for wait in told.waits) == told.steps[-1].t - told.zero


def test_a_vote_against_is_told_with_its_reason_and_an_uncounted_one_as_late() -> None:
    told = answer(story(), Wanted(line=8))
    votes = {step.node: step.text for step in told.steps if step.kind == "vote"}
    assert votes[2].startswith("node 2 voted no: session")
    assert votes[4].endswith("after the decision")
    assert "its leader" in votes[0]


def test_a_turn_that_stalled_is_what_its_round_waited_for_longest() -> None:
    told = answer(story(), Wanted(message=("3", 2)))
    assert told.longest is not None
    assert told.longest.stage == "anew"
    assert told.longest.us == 250_000
    assert told.longest.text == "for node 3, whose turn stalled"
    assert [step.node for step in told.steps if step.kind == "wrote"] == [0]


def test_whose_turn_and_from_whom() -> None:
    (row,) = answer(story(), Wanted(message=("0", 1))).to_json()
    assert [(turn["writer"], turn["from"]) for turn in row["turns"]] == [(1, 0), (0, 1), (3, 0)]
    assert row["file"]["position"] == 2
    assert "Node 0 wrote it and had the permission from node 1 (turn 1, attempt 0)." in row["why"]
    json.dumps(row)


def test_a_stale_writer_is_told_as_harmless() -> None:
    maker = story()
    position = 0
    for line in maker.logs[0]:
        event = json.loads(line)
        position = event["position"] if event["event"] == "written" and event["round"] == 4 else position
    late = maker.now + 1_000_000
    maker.say(3, "turn", term=1, at=late, round=4, attempt=0, turns=[[0, 0, position]], position=position)
    told = answer(maker, Wanted(message=("3", 2)))
    assert any("stale permission" in step.text and step.node == 3 for step in told.steps)
    assert next(step.text for step in told.steps if step.kind == "wrote").startswith("node 0")


def test_without_histories_or_logs_it_says_what_is_missing() -> None:
    maker = story()
    found = recorded([])
    told = explain("1", found, None, place(maker, Wanted(line=1)), None)
    assert told.exit_code == 3
    assert len(told.missing) == 2
    assert told.why[0].startswith("Line 1 is block 1 of 3")


def test_another_version_that_was_replaced_is_told() -> None:
    maker = story()
    maker.logs[1].append(
        json.dumps(
            {"ts": 1.0, "mono": maker.now - 50_000, "node": 1, "event": "ballot", "term": 0, "round": 3, "digest": "other",
             "count": 1, "offset": 0, "size": 9, "messages": {}}
        )
    )  # fmt: skip
    found = maker.recorded()
    told = explain("r3", found, stories(found.said)[3], None, None)
    assert any(step.kind == "replaced" for step in told.steps)
    assert any("never decided" in sentence for sentence in told.why)


def test_clocks_of_another_boot_are_put_on_the_axis_by_the_wall_clock() -> None:
    maker = story()
    shifted = [json.dumps({**json.loads(line), "mono": json.loads(line)["mono"] + 10**12}) for line in maker.logs[4]]
    maker.logs[4] = shifted
    found = maker.recorded()
    assert found.by_wall == len(shifted)
    assert max(said.t for said in found.said) < 10**9


@pytest.mark.parametrize("width", [60, 80, 120])
def test_how_it_looks(width: int) -> None:
    snapshot.check(f"explain_{width}", text(answer(story(), Wanted(message=("3", 2))), width))


def test_how_it_looks_in_ascii() -> None:
    shown = text(answer(story(), Wanted(line=8)), None, ASCII)
    assert shown.isascii()
    snapshot.check("explain_ascii", shown)


def test_what_plain_says() -> None:
    shown = "\n".join(spoken(answer(story(), Wanted(message=("3", 2))))) + "\n"
    assert shown.isascii()
    snapshot.check("explain_plain", shown)


def test_a_node_whose_clock_is_skewed_stays_where_the_clock_of_the_machine_has_it() -> None:
    def line(event: str, mono: int, ahead: int) -> str:
        told = {"ts": 1_700_000_000 + mono / 1e6 + ahead, "mono": mono, "node": 3, "event": event, "term": 1}
        return json.dumps({**told, "fault": "skew", "detail": {"kind": "skew", "amount": 3_600_000}})

    skewed = line("fault", 20, 3600), line("follow", 30, 3600)
    found = recorded([[line("start", 10, 0), *skewed, line("heal", 40, 0), line("follow", 50, 0)]])
    assert [said.t for said in found.said] == [10, 20, 30, 40, 50]
    assert found.by_wall == 0
