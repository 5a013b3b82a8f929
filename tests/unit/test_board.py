"""`top` and `who`: what is counted, what the nodes' answers come to, and how it looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from tests.unit import snapshot
from tests.unit.votelog_maker import EPOCH, LogMaker
from votesync_cli.board import MISSED_OF, SECONDS, WINDOW, Board, Meter, board, who
from votesync_cli.results import NodeStatus
from votesync_cli.views_text import ASCII
from votesync_cli.views_top import Picture, changes, spoken
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import Gathered, Happening, RoundView, VoteView


def a_round(index: int, ts: float, us: int = 1000, **votes: str) -> RoundView:
    views = {int(node[1:]): VoteView(kind) for node, kind in votes.items()}  # type: ignore[arg-type]
    return RoundView(index, "aa", "written", 1, 0, ts, 3, 0, 60, {0: Gathered(3, 5)}, views, us)


def status(node: int, **more: Any) -> NodeStatus:
    """A node that runs and is well."""
    said = {
        "role": "follower", "term": 3, "leader": 1, "decided": 40, "last": 41, "written": 9000, "queue": node, "healthy": True,
        "why": "", "holder": None, "waiting": [], "faults": [],
        "peers": {str(peer): {"connected": True, "lag": None} for peer in range(3) if peer != node},
    }  # fmt: skip
    return NodeStatus(f"cluster_sync_{node + 1}", node, "running", {**said, **more})


def leads(node: int = 1, **more: Any) -> NodeStatus:
    holder = {"round": 41, "turn": 2, "writer": 0, "attempt": 1}
    peers = {"0": {"connected": True, "lag": 0}, "2": {"connected": False, "lag": 17}}
    return status(node, **{"role": "leader", "holder": holder, "waiting": [2, 1], "peers": peers, **more})


DOWN = NodeStatus("cluster_sync_3", 2, "exited", None, "it is exited")


def a_board() -> Board:
    maker = LogMaker(3)
    maker.elect(1)
    maker.burst(3)
    maker.kill(2)
    maker.burst(4)
    meter = Meter()
    stream = VoteStream(range(3))
    for event in maker.merged():
        stream.feed(event)
    meter.take(stream.close())
    cut = status(0, faults=[{"kind": "delay", "from": [0], "to": [1], "amount": 40}])
    return board("demo", (cut, leads(), DOWN), meter, EPOCH + 2)


def test_rates_are_of_the_last_seconds() -> None:
    meter = Meter()
    meter.take([a_round(index, EPOCH + index) for index in range(30)])
    rounds, messages = meter.rates(EPOCH + 29)
    assert rounds == pytest.approx((WINDOW + 1) / WINDOW)
    assert messages == pytest.approx(3 * rounds)
    assert meter.rates(EPOCH + 100) == (0, 0)


def test_a_sampled_round_counts_for_all_that_it_stands_for() -> None:
    meter = Meter()
    meter.take([a_round(50, EPOCH), a_round(100, EPOCH)], every=50)
    assert meter.rates(EPOCH) == (100 / WINDOW, 300 / WINDOW)


def test_latencies_and_their_history() -> None:
    meter = Meter()
    meter.take([a_round(1, EPOCH, 900), a_round(2, EPOCH + 0.5, 300), a_round(3, EPOCH + 2, 500)])
    assert meter.latencies(EPOCH + 2) == (300, 500, 900)
    history = meter.history(EPOCH + 2)
    assert len(history) == SECONDS
    assert history[-3:] == (900, 0, 500)


def test_missing_votes_are_counted_per_leader() -> None:
    meter = Meter()
    meter.take([a_round(1, EPOCH, n0="yes", n1="silent", n2="no"), a_round(2, EPOCH, n0="yes", n1="silent", n2="late")])
    assert meter.missed() == {(0, 1): 2, (0, 2): 1}
    meter.take([a_round(index, EPOCH, n0="yes", n1="yes") for index in range(MISSED_OF)])
    assert meter.missed() == {}


def test_a_replaced_round_counts_nothing() -> None:
    meter = Meter()
    meter.take([replace(a_round(1, EPOCH), state="replaced")])
    assert meter.rates(EPOCH) == (0, 0)


def test_the_leader_is_the_healthy_one_of_the_highest_term() -> None:
    nodes = (leads(0, term=2), leads(1, term=3), leads(2, term=4, healthy=False))
    joined = board("demo", nodes, Meter(), EPOCH)
    assert (joined.leader, joined.term) == (1, 3)
    assert who("demo", (status(0), status(1), status(2))).leader is None


def test_lag_is_what_the_leader_says() -> None:
    joined = a_board()
    assert [node.lag for node in joined.nodes] == [0, 0, 17]


def test_exit_codes_say_whether_a_majority_is_well() -> None:
    assert a_board().exit_code == 0
    assert board("demo", (leads(), DOWN, DOWN), Meter(), EPOCH).exit_code == 1
    assert who("demo", (status(0), leads())).exit_code == 0
    assert who("demo", (DOWN,)).exit_code == 1


def test_who_tells_the_writer_and_who_waits() -> None:
    text = who("demo", (status(0), leads(), status(2))).to_text()
    assert text == (
        "Node 0 may write: turn 2 of round 41, granted anew 1 times (node 1 leads term 3).\n"
        "Waiting for their turns, in order: 2 then 1.\n"
        "Messages that are not written yet: 1 at node 1, 2 at node 2."
    )


def test_who_tells_when_nobody_writes() -> None:
    idle = who("demo", (status(0, queue=0), leads(holder=None, waiting=[], queue=0))).to_text()
    assert "all that is decided is in the file" in idle
    assert "No messages wait" in idle
    assert who("demo", (DOWN,)).to_text().startswith("Nobody may write")


def test_json_of_both() -> None:
    (shown,) = a_board().to_json()
    assert shown["holder"] == {"round": 41, "turn": 2, "writer": 0, "attempt": 1}
    assert shown["waiting"] == [2, 1]
    assert shown["links"]["1"] == {"0": True, "2": False}
    assert shown["missed"] == [{"leader": 1, "node": 2, "rounds": 4}]
    assert shown["faults"] == [{"node": 0, "kind": "delay", "from": [0], "to": [1], "amount": 40}]
    assert shown["nodes"][2]["healthy"] is None
    (answer,) = who("demo", (status(0), leads())).to_json()
    assert answer["holder"]["writer"] == 0
    assert answer["queues"] == {"0": 0, "1": 1}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_picture_fits_its_width(width: int) -> None:
    lines = ["".join(text for text, _ in line).rstrip() for line in Picture(width, zone=UTC).lines(a_board())]
    assert max(map(len, lines)) <= width
    snapshot.check(f"top_{width}", "\n".join(lines) + "\n")


def test_the_picture_in_ascii() -> None:
    lines = Picture(100, ASCII, UTC).lines(a_board())
    assert all(text.isascii() for line in lines for text, _ in line)


def test_the_picture_leaves_out_old_events_where_there_is_no_room() -> None:
    tall, short = (len(Picture(100, zone=UTC).lines(a_board(), height)) for height in (60, 10))
    assert short < tall


@pytest.mark.parametrize(("nodes", "height"), [(3, 24), (5, 24), (7, 24)])
def test_on_80_by_24_the_last_events_are_seen(nodes: int, height: int) -> None:
    maker = LogMaker(nodes)
    maker.elect(1)
    maker.burst(3)
    meter, stream = Meter(), VoteStream(range(nodes))
    for event in maker.merged():
        stream.feed(event)
    meter.take(stream.close())
    links = {str(peer): {"connected": True, "lag": 0} for peer in range(nodes)}
    said = tuple(status(node, peers={p: link for p, link in links.items() if p != str(node)}) for node in range(nodes))
    picture = Picture(80, zone=UTC).lines(board("demo", said, meter, EPOCH + 2), height)
    shown = ["".join(text for text, _ in line) for line in picture]
    assert len(shown) <= height
    assert any(line.startswith("events") for line in shown)
    assert any("leads term" in line for line in shown[-4:])
    assert any(line.startswith("links") for line in shown)


def test_what_plain_says_of_it() -> None:
    snapshot.check("top_plain", "\n".join(spoken(a_board(), UTC)) + "\n")


def test_plain_says_only_what_has_changed() -> None:
    before = a_board()
    assert list(changes(before, before, UTC)) == []
    healthy = tuple(replace(node, healthy=True, why="") for node in before.nodes)
    assert [line.split(":")[0] for line in changes(before, replace(before, nodes=healthy), UTC)] == ["node 2"]
    later = replace(before, happenings=(*before.happenings, Happening("step_down", 1, 3, EPOCH + 3, {"reason": "asked"})))
    assert list(changes(before, later, UTC)) == ["22:13:23 node 1 steps down: asked"]
    assert list(changes(before, replace(before, leader=None), UTC)) == ["no node leads"]
    assert list(changes(before, replace(before, faults=()), UTC)) == ["faults: none"]
