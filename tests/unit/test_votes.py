"""The stream of votes: what each round tells, whatever happened to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_runtime.votelog import EVENTS
from tests.unit.votelog_maker import EPOCH
from tests.unit.votes_reading import formed, read, rounds, told
from votesync_cli.votes_model import Gathered, Happening, Selection

# --- what one round tells ---


def test_a_round_tells_messages_votes_turns_and_bytes() -> None:
    maker = formed()
    made = maker.make()
    maker.ballot(made)
    yes = maker.votes(made, silent={3}, no={4})
    maker.write(made, maker.decide(made, yes))
    (view,) = rounds(read(maker))
    assert (view.round, view.term, view.leader, view.state) == (made.index, 1, 0, "written")
    assert view.messages == {node: Gathered(*row) for node, row in made.messages.items()}
    assert {node: vote.kind for node, vote in view.votes.items()} == {0: "yes", 1: "yes", 2: "yes", 3: "silent", 4: "no"}
    assert view.votes[4].reason == "session"
    assert view.votes[1].us == 600
    assert view.quorum_us == 750
    assert [turn.writer for turn in view.turns] == [turn[0] for turn in made.turns]
    assert (view.start, view.end, view.size) == (made.offset, made.offset + made.size, made.size)
    assert (view.attempts, view.stalls) == (1, 0)


def test_a_vote_after_the_decision_is_late() -> None:
    maker = formed()
    maker.burst()
    (view,) = rounds(read(maker))
    assert [view.votes[node].kind for node in range(5)] == ["yes", "yes", "yes", "late", "late"]
    assert view.votes[4].us == 2500


def test_a_vote_that_came_after_the_write_is_late_by_the_voters_own_log() -> None:
    maker = formed(3)
    made = maker.make()
    maker.ballot(made)
    maker.write(made, maker.decide(made, maker.votes(made, silent={2})))
    maker.votes(made, silent={1})
    maker.burst()
    first, _ = rounds(read(maker))
    assert first.votes[2].kind == "late"
    assert first.votes[2].us is None


def test_a_turn_that_stalls_is_written_by_the_leader() -> None:
    maker = formed()
    while True:
        made = maker.make()
        if made.turns[-1][0] != 0 and len(made.turns) > 1:
            break
    stalled = made.turns[-1][0]
    maker.ballot(made)
    maker.write(made, maker.decide(made, maker.votes(made)), stalls=stalled)
    items = read(maker)
    view = rounds(items)[-1]
    assert (view.attempts, view.stalls) == (2, 1)
    assert view.turns[-1].owner == stalled
    assert view.turns[-1].writer == 0
    assert all(turn.stand_in is None for turn in view.turns[:-1])
    assert told(items).index("timeout@0") < told(items).index(f"r{made.index}:written")


def test_a_round_decided_by_a_leader_that_died_is_completed_by_the_next() -> None:
    maker = formed()
    maker.burst()
    maker.die_half_way(decided=True)
    maker.elect(2)
    maker.burst()
    items = read(maker)
    inherited = rounds(items)[1]
    assert inherited.state == "written"
    assert (inherited.leader, inherited.term, inherited.finisher, inherited.finished_term) == (0, 1, 2, 2)
    assert inherited.inherited
    assert inherited.quorum_us == 750
    order = told(items)
    assert order.index("r2:written") < order.index("peer_down@1") < order.index("leader@2") < order.index("r3:written")
    assert order.index("r3:written") < order.index("r5:written")


def test_a_round_whose_leader_died_before_the_decision_has_the_voters_own_words() -> None:
    maker = formed()
    maker.die_half_way(decided=False)
    maker.elect(1)
    maker.burst()
    first = rounds(read(maker))[0]
    assert first.quorum_us is None
    assert [first.votes[node].kind for node in range(5)] == ["yes"] * 5


def test_a_ballot_that_was_never_logged_is_known_by_its_votes() -> None:
    maker = formed()
    maker.burst()
    maker.die_half_way(decided=False, logged=False)
    maker.elect(1)
    maker.burst()
    views = rounds(read(maker))
    assert [view.round for view in views] == [2, 3, 5]
    assert views[1].leader is None
    assert [node for node, vote in views[1].votes.items() if vote.kind == "yes"] == [1, 2, 3, 4]


def test_a_round_proposed_again_in_a_higher_term_shows_both() -> None:
    maker = formed()
    maker.burst()
    maker.propose_in_vain(3)
    maker.elect(3)
    maker.burst(2)
    views = rounds(read(maker))
    assert [(view.round, view.term, view.state) for view in views] == [
        (2, 1, "written"), (3, 1, "replaced"), (4, 1, "replaced"), (4, 2, "written"), (5, 1, "replaced"), (5, 2, "written"),
    ]  # fmt: skip
    assert {vote.kind for vote in views[2].votes.values()} == {"yes", "silent"}
    assert views[2].turns == ()


def test_a_round_that_nobody_finished_is_told_at_the_end() -> None:
    maker = formed()
    maker.burst()
    maker.die_half_way(decided=True)
    assert [view.state for view in rounds(read(maker))] == ["written", "decided"]
    vain = formed()
    vain.propose_in_vain()
    assert [view.state for view in rounds(read(vain))] == ["open"]


def test_a_node_that_takes_old_rounds_when_it_comes_back_was_silent_on_them() -> None:
    maker = formed()
    maker.kill(4)
    maker.burst(5)
    maker.now += 60
    maker.start(4)
    maker.burst()
    items = read(maker)
    assert [view.votes[4].kind for view in rounds(items)] == ["silent"] * 5 + ["late"]
    order = told(items)
    assert order.index("r6:written") < len(order) - 1 - order[::-1].index("start@4") < order.index("r7:written")


def test_json_of_a_round_is_whole() -> None:
    maker = formed(3)
    maker.burst()
    shown = rounds(read(maker))[0].to_json()
    assert shown["event"] == "round"
    assert shown["votes"]["0"] == {"vote": "yes", "us": 310}
    assert shown["bytes"] == shown["end"] - shown["start"]
    assert set(shown["messages"]) <= {"0", "1", "2"}


# --- bad lines ---


@pytest.mark.parametrize("broken", [
    {"event": "ballot", "round": "x"}, {"event": "decided", "round": 1, "votes": 7}, {"event": "vote", "round": True},
    {"event": "grant", "round": 1, "turns": [[1]], "absent": 3}, {"event": "written", "round": None}, {"event": "repair"},
    {"event": "ballot", "round": 1, "digest": 4, "messages": {"a": 1}}, {"event": "start", "nodes": "5", "term": "1"},
])  # fmt: skip
def test_a_line_with_wrong_fields_breaks_nothing(broken: dict[str, object]) -> None:
    maker = formed(3)
    maker.burst()
    events = [{"ts": EPOCH, "node": 1, **broken}, *maker.merged()]
    shown = rounds(read(maker, events))
    assert any(view.round == 2 and view.state == "written" for view in shown)


# --- selection ---


def test_a_selection_keeps_what_it_names() -> None:
    maker = formed(3)
    maker.burst()
    maker.kill(2)
    maker.elect(1)
    items = read(maker)
    assert {name for name in told(items) if Selection(events=frozenset({"leader"})).has(items[told(items).index(name)])} == {
        "leader@0", "leader@1",
    }  # fmt: skip
    assert [told([item])[0] for item in items if Selection(events=frozenset({"round"})).has(item)] == ["r2:written"]
    about_two = [item for item in items if isinstance(item, Happening) and Selection(nodes=frozenset({2})).has(item)]
    assert {"peer_down@0", "peer_down@1", "start@2"} <= set(told(about_two))
    assert [item for item in items if Selection(since=EPOCH + 1e6).has(item)] == []


# --- the documentation ---


def test_the_documentation_names_every_event_and_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs" / "VOTELOG.md").read_text("utf-8")
    for event, fields in EVENTS.items():
        missing = [name for name in (event, *fields) if f"`{name}`" not in text]
        assert not missing, f"docs/VOTELOG.md does not name {missing} of {event}"
    maker = formed(3)
    maker.burst()
    shown = rounds(read(maker))[0].to_json()
    assert not [name for name in shown if f"`{name}`" not in text]
