"""When a cluster counts as formed, and what is said of one that has not."""

from __future__ import annotations

from typing import Any

import pytest

from votesync_cli.formation import leader, missing, summary

NODES = {"a": 0, "b": 1, "c": 2}


def status(leader: int | None = 1, *, up: int = 2, healthy: bool = True, why: str = "") -> dict[str, Any]:
    peers = {str(number): {"connected": number < up} for number in range(2)}
    return {"leader": leader, "healthy": healthy, "why": why, "peers": peers}


def test_formed() -> None:
    statuses = dict.fromkeys(NODES, status())
    assert missing(NODES, statuses) == {}
    assert leader(statuses) == 1


def test_one_lost_link_is_no_obstacle() -> None:
    assert missing(NODES, {**dict.fromkeys(NODES, status()), "c": status(up=1)}) == {}


def test_one_node_alone_is_a_cluster() -> None:
    assert missing({"a": 0}, {"a": {"leader": 0, "healthy": True, "peers": {}}}) == {}


@pytest.mark.parametrize(
    ("said", "lack"),
    [
        (None, "it has not answered yet"),
        (status(None), "it knows no leader"),
        (status(up=0), "it is in touch with 0 of 2 others"),
        (status(healthy=False, why="it recovers"), "it recovers"),
        (status(healthy=False), "it says that it is not healthy"),
        ({"leader": 1}, "it is in touch with 0 of 2 others"),
    ],
)
def test_what_one_node_lacks(said: dict[str, Any] | None, lack: str) -> None:
    lacks = missing(NODES, {"a": status(), "b": status(), "c": said})
    assert list(lacks) == ["c"]
    assert lacks["c"].startswith(lack)


def test_two_leaders_are_none() -> None:
    statuses = {"a": status(0), "b": status(1), "c": status(1)}
    assert set(missing(NODES, statuses)) == set(NODES)
    assert leader(statuses) is None


def test_a_node_that_is_silent_is_missing_even_if_nobody_was_asked() -> None:
    assert set(missing(NODES, {})) == set(NODES)


def test_the_same_reason_is_said_once() -> None:
    lacks = {f"n{number}": "it sleeps" for number in range(5)} | {"m": "it dreams"}
    assert summary(lacks) == "n0, n1, n2 …: it sleeps; m: it dreams"
    assert summary({f"n{number}": f"reason {number}" for number in range(6)}).endswith("; …")
