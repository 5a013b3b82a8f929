"""Five nodes under load, and what may happen to them: the file stays right, and the clients get through."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.e2e.local.cluster import Cluster, until


@pytest.mark.parametrize("victim", ["leader", "follower"])
def test_any_one_may_be_killed_and_comes_back(watched: Cluster, victim: str) -> None:
    leader = watched.leader()
    chosen = leader if victim == "leader" else (leader + 1) % 5
    watched.start_clients()
    watched.kill(chosen)
    watched.await_clients()
    watched.revive(chosen)


def test_any_two_may_be_killed_the_leader_among_them(watched: Cluster) -> None:
    leader = watched.leader()
    victims = leader, (leader + 2) % 5
    watched.start_clients()
    watched.kill(*victims)
    watched.await_clients()
    watched.revive(*victims)


def test_without_a_majority_nothing_is_decided_until_one_is_back(watched: Cluster) -> None:
    leader = watched.leader()
    victims = [leader, (leader + 1) % 5, (leader + 2) % 5]
    watched.start_clients()
    watched.kill(*victims)
    left = [node for node in range(5) if node not in victims]
    until(lambda: all(watched.status(node).get("healthy") is False for node in left), "the rest knows that it is too few")
    size = len(watched.data())
    watched.revive(victims[0])
    until(lambda: len(watched.data()) > size, "it goes on")
    watched.await_clients()
    watched.revive(*victims[1:])


def test_a_client_whose_node_dies_goes_on_through_another(watched: Cluster) -> None:
    history = watched.directory / "shared_data" / "history" / "client_1.jsonl"
    before = len(history.read_text().splitlines())
    watched.start_clients()
    watched.kill(0)
    watched.await_clients()
    events = [json.loads(line) for line in history.read_text().splitlines()[before:]]
    through = {event["node"] for event in events if event["event"] in {"invoke", "resend"}}
    assert 0 in through, "it began with its own node"
    assert through - {0}, "and went on through another"
    assert sum(event["event"] == "ok" for event in events) == 300
    watched.revive(0)


def test_a_writer_that_stands_still_is_passed_over_and_does_no_harm_when_it_wakes(watched: Cluster) -> None:
    leader = watched.leader()
    writer = next(node for node in range(5) if node != leader)
    for _ in range(20):  # whether it holds a turn in the moment that it stops is chance
        if _stop_for_a_while(watched, leader, writer):
            break
    else:
        pytest.fail("in 20 times it never held a turn")


def _stop_for_a_while(watched: Cluster, leader: int, writer: int) -> bool:
    """Whether a turn of the writer was granted anew meanwhile; in any case the others go on, and it catches up."""
    watched.start_clients()
    before, size = len(_stalls(watched, leader, writer)), len(watched.data())
    os.kill(watched.pid(writer), signal.SIGSTOP)
    try:
        assert watched.seen(f"cluster_sync_{writer + 1}").state == "paused"
        until(lambda: len(watched.data()) > size + 5000, "the others go on")
    finally:
        os.kill(watched.pid(writer), signal.SIGCONT)
    watched.await_clients()
    until(lambda: watched.has_caught_up(writer), "it catches up")
    return len(_stalls(watched, leader, writer)) > before


def test_a_leader_that_stands_still_is_replaced_and_steps_down_when_it_wakes(watched: Cluster) -> None:
    leader = watched.leader()
    watched.start_clients()
    watched.cli("pause", str(leader))
    others = [node for node in range(5) if node != leader]
    until(lambda: any(watched.status(node).get("role") == "leader" for node in others), "another one leads")
    watched.await_clients()
    watched.cli("unpause", str(leader))
    until(lambda: watched.has_caught_up(leader) and watched.status(leader)["role"] == "follower", "the old one follows")


@pytest.mark.parametrize("harm", ["none", "torn", "half", "gone"])
def test_all_five_may_be_killed_and_the_file_is_made_whole_again(five: Cluster, harm: str) -> None:
    five.leader()
    five.start_clients()
    for pid in [five.pid(node) for node in range(5)]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(five.seen(f"cluster_sync_{node + 1}").exit_code == 137 for node in range(5)), "all are dead")
    before = five.data()
    acked = _highest_offset(five)
    assert len(before) > acked, "what was acknowledged is in the file"
    if harm == "gone":
        five.output.unlink()
    elif harm != "none":
        os.truncate(five.output, len(before) - 37 if harm == "torn" else len(before) // 2)
    five.revive(*range(5))
    five.await_clients()
    assert five.data().startswith(before), "the same bytes as before"
    five.judge()


def _stalls(cluster: Cluster, leader: int, writer: int) -> list[dict[str, object]]:
    return [event for event in cluster.events(leader, "timeout") if event["writer"] == writer]


def _highest_offset(cluster: Cluster) -> int:
    highest = 0
    for path in (cluster.directory / "shared_data" / "history").glob("*.jsonl"):
        for line in path.read_text().splitlines(keepends=True):
            event = json.loads(line) if line.endswith("\n") else {}  # the last line may be half written
            if event.get("event") == "ok":
                highest = max(highest, event["offset"] or 0)
    return highest
