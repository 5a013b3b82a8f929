"""The order of the stream: by the logs, not by clocks nor by arrival; what is held back, and for how long."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.votelog_maker import LogMaker
from tests.unit.votes_reading import formed, read, rounds, told
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import Happening, Item


def test_happenings_stand_between_the_rounds_in_spite_of_clocks() -> None:
    maker = formed(5, skew=(0.0, 90.0, -90.0, 3600.0, 0.0))
    maker.burst(2)
    maker.kill(0)
    maker.elect(1)
    maker.burst(2)
    shown = {"r2:written", "r3:written", "election@1", "leader@1", "follow@4", "r5:written", "r6:written"}
    order = [name for name in told(read(maker)) if name in shown][1:]  # the first is an old term's
    assert order == ["r2:written", "r3:written", "election@1", "election@1", "leader@1", "follow@4", "r5:written", "r6:written"]
    lost = [place for place, name in enumerate(told(read(maker))) if name.startswith("peer_down")]
    assert told(read(maker)).index("r3:written") < min(lost)
    assert max(lost) < told(read(maker)).index("leader@1")


def test_a_node_that_comes_back_in_an_old_term_stands_where_its_clock_says() -> None:
    maker = formed()
    maker.burst()
    maker.kill(0)
    maker.elect(1)
    maker.now += 5
    maker.start(0)
    order = told(read(maker))
    assert order.index("leader@1") < len(order) - 1 - order[::-1].index("start@0")


def act(maker: LogMaker, action: str, node: int) -> None:
    """One step of a story; what cannot happen now does nothing."""
    node %= maker.nodes
    well = maker.leader in maker.alive and 2 * len(maker.alive) > maker.nodes
    followers = sorted(maker.alive - {maker.leader})
    if action == "burst" and well:
        maker.burst(1 + node)
    elif action == "refuse" and well and len(followers) >= maker.nodes // 2 + 1:
        maker.burst(1, no={followers[0]})
    elif action == "stall" and well:
        maker.burst(1, stalls=node)
    elif action == "elect" and followers and 2 * len(maker.alive) > maker.nodes:
        maker.elect(followers[node % len(followers)])
    elif action == "vain" and well and followers:
        maker.propose_in_vain(1 + node)
        maker.elect(followers[node % len(followers)])
    elif action == "die" and well and 2 * (len(maker.alive) - 1) > maker.nodes:
        maker.die_half_way(decided=node % 2 == 0)
        maker.elect(min(maker.alive))
    elif action == "kill" and node in maker.alive and node != maker.leader and 2 * (len(maker.alive) - 1) > maker.nodes:
        maker.kill(node)
    elif action == "restart" and node not in maker.alive:
        maker.start(node)


STORIES = st.lists(
    st.tuples(st.sampled_from(["burst", "refuse", "stall", "elect", "vain", "die", "kill", "restart"]), st.integers(0, 4)),
    max_size=14,
)


@settings(max_examples=100, deadline=None)
@given(
    story=STORIES,
    size=st.sampled_from([3, 5]),
    skew=st.lists(st.sampled_from([0.0, 0.001, -0.5, 7200.0]), max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_any_interleaving_of_the_logs_gives_the_same_stream(
    story: list[tuple[str, int]], size: int, skew: list[float], order: object
) -> None:
    maker = formed(size, skew=skew)
    for action, node in story:
        act(maker, action, node)
    expected = read(maker)
    left = {node: list(reversed(log)) for node, log in maker.logs.items()}
    stream = VoteStream(range(size))
    out: list[Item] = []
    while left:
        node = order.choice(sorted(left))  # type: ignore[attr-defined]
        for _ in range(order.randint(1, 12)):  # type: ignore[attr-defined]
            if left[node]:
                stream.feed(left[node].pop())
        if not left[node]:
            stream.hush(node)
            del left[node]
        out += stream.take()
    assert told(out + stream.close()) == told(expected)
    assert out + stream.close() == expected[: len(out)]
    numbers = [view.round for view in rounds(expected)]
    assert numbers == sorted(numbers)
    for each in range(size):
        own = [item.to_json() for item in expected if isinstance(item, Happening) and item.node == each]
        names = {event["event"] for event in own}
        logged = [event for event in maker.logs[each] if event["event"] in names]
        assert [event["ts"] for event in own] == [event["ts"] for event in logged], "a node's own order is kept"


def test_a_dead_node_is_waited_for_once() -> None:
    maker = formed(3)
    maker.burst()
    maker.kill(2)
    maker.burst(3)
    stream = VoteStream(range(3), hold_back=0.3)
    for event in maker.merged():
        stream.feed(event, now=10.0)
    assert [view.round for view in rounds(stream.take(now=10.1))] == [2]
    assert [view.round for view in rounds(stream.take(now=10.31))] == [3, 4, 5]
    more = len(maker.merged())
    maker.burst()
    for event in maker.merged()[more:]:
        stream.feed(event, now=11.0)
    assert [view.round for view in rounds(stream.take(now=11.0))] == [6]


def test_a_happening_of_an_idle_cluster_is_not_kept_back() -> None:
    maker = formed(3)
    stream = VoteStream(range(3), hold_back=0.3)
    for event in maker.merged():
        stream.feed(event, now=1.0)
    assert stream.take(now=1.2) == []
    assert "leader@0" in told(stream.take(now=1.3))


def test_memory_is_bounded_where_a_log_never_comes() -> None:
    maker = formed(3)
    maker.logs[2].clear()
    stream = VoteStream(range(3), most=50)
    out: list[Item] = []
    for _ in range(40):
        before = len(maker.merged())
        maker.burst(5, silent={2})
        for event in maker.merged()[before:]:
            stream.feed(event)
        out += stream.take()
        assert stream.waiting <= 50
    assert [view.round for view in rounds(out + stream.close())] == list(range(2, 202))


def test_a_node_that_is_known_to_be_down_is_not_waited_for() -> None:
    maker = formed(3)
    maker.kill(2)
    maker.burst()
    stream = VoteStream(range(3))
    for event in maker.merged():
        stream.feed(event)
    assert rounds(stream.take()) == []
    stream.hush(2)
    assert [view.round for view in rounds(stream.take())] == [2]


def test_a_cluster_made_anew_starts_again_at_round_one() -> None:
    old, new = formed(3), formed(3, seed=2)
    old.burst(4)
    new.burst(2)
    stream = VoteStream(range(3))
    out: list[Item] = []
    for event in (*old.merged(), *new.merged()):
        stream.feed(event)
        out += stream.take()
    out += stream.close()
    assert [view.round for view in rounds(out)] == [2, 3, 4, 5, 2, 3]


def test_logs_that_begin_in_the_middle_show_no_round_without_its_proposal() -> None:
    maker = formed(3)
    maker.burst(3)
    events = maker.merged()
    decided = next(place for place, event in enumerate(events) if event["event"] == "decided")
    cut = read(maker, events[decided + 1 :])
    assert [view.round for view in rounds(cut)] == [3, 4]
