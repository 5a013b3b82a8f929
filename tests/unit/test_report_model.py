"""What a report says of made-up runs: votes, leaders, waits, moments, tables; and its Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit import snapshot
from tests.unit.report_maker import reported
from tests.unit.run_maker import EPOCH, RunMaker, story
from votesync_cli.report import tables
from votesync_cli.report.clients import clients
from votesync_cli.report.happenings import Stretch, by_hand, deeds_of, stretches
from votesync_cli.report.markdown import fenced, markdown, text
from votesync_cli.report.model import RunReport
from votesync_cli.report.moments import DRAWN, KINDS
from votesync_cli.report.nodes import newest, reigns
from votesync_cli.timeline import Band
from votesync_cli.verify.history import Histories


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """The report of the story."""
    return reported(story(), tmp_path_factory.mktemp("story"))


def fact(model: RunReport, name: str) -> tables.Fact:
    return next(found for found in tables.facts(model) if found.name == name)


# --- votes, turns, leaders ---


def test_each_node_has_its_votes_turns_and_terms(told: RunReport) -> None:
    own = {node.node: node for node in told.votes.nodes}
    assert (own[0].yes, own[0].terms, own[2].terms) == (4, 1, 1)
    assert dict(own[2].no) == {"session": 1}
    assert all(node.yes + node.late + node.silent + sum(node.no.values()) == 4 for node in own.values())
    assert sum(node.turns for node in own.values()) == 3 + 2 + 2 + 1
    assert (told.votes.elections, told.votes.terms, told.votes.stalls) == (2, 2, 1)
    assert told.votes.states == {"written": 4}


def test_a_leader_leads_until_it_steps_down(told: RunReport) -> None:
    first, second = told.votes.reigns
    assert (first.node, first.term, first.why) == (0, 1, "node 2 is in term 2")
    assert (second.node, second.term, second.why) == (2, 2, "the run ended")
    assert first.end <= second.start
    assert told.votes.leaderless == second.start - first.end


def test_a_leader_that_dies_leads_until_another_node_lost_it() -> None:
    maker = RunMaker()
    maker.round(maker.send("0", 0))
    maker.now += 500_000
    lost = maker.now
    maker.say(1, "peer_down", peer=0, reason="connection lost")
    maker.now += 400_000
    maker.say(1, "election", term=2, pre=False)
    maker.say(1, "leader", term=2, votes=[1, 2, 3], took_us=900)
    first, second = reigns(maker.recorded().said)
    assert (first.end, first.why) == (lost, "it was lost")
    assert second.node == 1


def test_a_node_is_down_from_when_it_was_lost_and_faults_of_the_same_time_are_one() -> None:
    maker = RunMaker()
    maker.now += 700_000
    maker.say(1, "peer_down", peer=3, reason="connection lost")
    bands = [
        Band(3, 1_500_000, 9_000_000, "down", ""), Band(1, 8_000_000, 9_000_000, "down", ""),
        Band(0, 100, 3_000_000, "cut", ""), Band(2, 200, 3_000_100, "cut", ""), Band(4, 300, 4_000_000, "cut", ""),
    ]  # fmt: skip
    found = stretches(bands, range(5), maker.recorded().said)
    down = Stretch(maker.now, 9_000_000, "down", (3,))
    assert found[:3] == [Stretch(100, 3_000_100, "cut", (0, 2)), Stretch(300, 4_000_000, "cut", (4,)), down]
    assert [stretch.text(5) for stretch in found] == ["cut at nodes 0 and 2", "cut at node 4", "node 3 down", "node 1 down"]
    assert Stretch(0, 1, "cut", (0, 1, 2)).text(3) == "cut at all nodes"


def test_what_was_done_by_hand_is_told_and_a_pause_lasts_until_it_ends() -> None:
    rows: list[object] = [
        {"ts": 1000.5, "mono": 500_000, "verb": "pause", "what": "cluster_sync_3"},
        {"ts": 1000.6, "mono": 600_000, "verb": "fault", "what": "cut 0 1"},  # the nodes tell of it
        {"ts": 1002, "mono": 2_000_000, "verb": "unpause", "what": "cluster_sync_3"},
        {"ts": 2003.0, "mono": 77, "verb": "pause", "what": "cluster_sync_1"},  # after a reboot
        {"ts": "x"}, [1],
    ]  # fmt: skip
    deeds = deeds_of([*(json.dumps(row).encode() for row in rows), b"torn {"])
    told, paused = by_hand(deeds, 1_000_000_000, 1_100_000_000)
    assert [(event.t, event.kind) for event in told] == [(500_000, "pause"), (2_000_000, "unpause"), (1_003_000_000, "pause")]
    assert paused == [Stretch(500_000, 2_000_000, "paused", (2,)), Stretch(1_003_000_000, 1_100_000_000, "paused", (0,))]
    assert paused[0].text(5) == "node 2 paused"


def test_what_was_before_the_cluster_was_made_anew_is_forgotten() -> None:
    maker = RunMaker()
    maker.round(maker.send("0", 0))
    for node in range(5):
        maker.say(node, "start", term=0, version=1, cluster="made", nodes=5, pid=2, last=0, writer="winner")
    kept = newest(maker.recorded().said)
    assert {said.kind for said in kept} == {"start"}
    assert len(kept) == 5


# --- clients ---


def test_a_wait_is_from_the_first_sending_to_the_acknowledgement(told: RunReport) -> None:
    assert told.wait is not None
    assert told.wait.many == 8
    own = {client.session: client for client in told.clients or ()}
    assert own["3"].wait is not None
    assert own["3"].wait.most > 250_000  # its turn stalled
    assert (own["4"].sent, own["4"].acked, own["4"].open) == (1, 1, 0)
    assert sum(bucket.many for bucket in told.classes) == 8


def test_another_clock_is_put_on_the_axis_by_the_wall(tmp_path: Path) -> None:
    maker = story()
    history = (maker.keep(tmp_path / "run") / "history" / "client_3.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in history.splitlines()]
    for row in rows:
        row["mono"] += 7_000_000_000  # another machine's clock, the same time of day
    shifted = tmp_path / "shifted.jsonl"
    shifted.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    histories = Histories()
    histories.read_file(shifted)
    found = clients(histories, EPOCH)
    assert found.by_wall == 2
    assert found.sends[b"3"][0] == json.loads(history.splitlines()[1])["mono"]
    assert found.rows[0].wait == reported(story(), tmp_path / "plain").clients[3].wait  # type: ignore[index]  # it has clients


def test_rates_add_up_to_the_messages(told: RunReport) -> None:
    cut = told.curves.cut
    assert sum(told.curves.rate) * cut.width / 1e6 == pytest.approx(8)
    assert told.messages == 8
    assert fact(told, "messages").value == "8"


# --- moments ---


def test_the_moments_are_the_election_the_stall_the_refusal_and_the_slowest(told: RunReport) -> None:
    kinds = {reason.kind for moment in told.moments for reason in moment.reasons}
    assert kinds == {"election", "stall", "refusal", "slow"}
    assert all(moment.svg.startswith("<svg") for moment in told.moments)
    stalled = next(moment for moment in told.moments if any(reason.kind == "stall" for reason in moment.reasons))
    assert stalled.first == 4
    assert "turn 0 stalled: nothing from node 3 for 250ms" in [reason.text for reason in stalled.reasons]


def test_of_many_moments_the_most_telling_are_drawn_and_the_others_named(tmp_path: Path) -> None:
    maker = RunMaker()
    for number in range(3 * DRAWN):
        maker.round(maker.send("1", 1), stalls=number % 3 == 0)
        maker.round(maker.send("1", 1))
    maker.elect(1)
    maker.round(maker.send("1", 1))
    model = reported(maker, tmp_path)
    shown = [moment for moment in model.moments if moment.svg]
    assert len(shown) == DRAWN
    assert len(model.moments) > DRAWN
    assert any(reason.kind == "election" for moment in shown for reason in moment.reasons)
    assert max(moment.rank for moment in shown) <= KINDS.index("stall")
    assert all(moment.undrawn for moment in model.moments if not moment.svg)


def test_an_election_after_the_last_round_is_shown_to_the_end(tmp_path: Path) -> None:
    maker = RunMaker()
    maker.round(maker.send("1", 1))
    maker.elect(1)
    moment = reported(maker, tmp_path).moments[-1]
    assert (moment.name, moment.last) == ("round 2 to the end", None)
    assert "leads term 2" in moment.svg


# --- words ---


def test_events_are_in_the_order_of_time_and_told_once_for_all_nodes(told: RunReport) -> None:
    texts = [event.text for event in told.events]
    assert texts[0] == "nodes 0, 1, 2, 3 and 4 started with an empty journal"
    assert "node 2 voted no on round 3: session" in texts
    assert "node 3: fault cut 3 → 0" in texts
    assert [event.t for event in told.events] == sorted(event.t for event in told.events)
    assert told.stretches[0].kind == "cut"


def test_a_long_table_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    maker = RunMaker()
    for _ in range(300):
        maker.now += 2_000_000
        maker.fault(1, "cut", 600_000)
    cut = tables.events(reported(maker, tmp_path))
    assert len(cut.table.rows) == tables.EVENTS
    assert "rows between the first 100 and the last 100 are left out" in cut.left_out
    assert "started" in cut.table.rows[0][2]


def test_json_is_one_object_that_json_can_hold(told: RunReport) -> None:
    (row,) = told.to_json()
    again = json.loads(json.dumps(row))
    assert again["messages"] == 8
    assert again["wait"]["p99"] == told.wait.p99  # type: ignore[union-attr]  # it is known
    assert again["verdict"][-1]["verdict"] == "PASS"
    assert "svg" not in str([key for moment in again["moments"] for key, value in moment.items() if value])


@pytest.mark.parametrize(
    ("plain", "marked"),
    [("a|b", r"a\|b"), ("<img src=x>", r"\<img src=x\>"), ("`x` *y*", r"\`x\` \*y\*"), ("two\nlines", "two lines"),
     ("[a](javascript:b)", r"\[a\](javascript:b)"), ("&lt;", r"\&lt;")],
)  # fmt: skip
def test_nothing_in_a_text_is_taken_for_markdown(plain: str, marked: str) -> None:
    assert text(plain) == marked


def test_a_fence_is_longer_than_any_that_stands_in_it() -> None:
    assert fenced("``` a ````").startswith("`````\n")


def test_markdown(told: RunReport) -> None:
    snapshot.check("report_md", "".join(markdown(told)))
