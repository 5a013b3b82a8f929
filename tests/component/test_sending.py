"""`client send`: lines of an input, each once, with a history where the session is its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from node_runtime.sending import Order, send_lines
from tests.component.gateway_node import OneNode
from tests.component.test_client import run, texts


async def stream(*lines: str) -> AsyncIterator[str]:
    for line in lines:
        yield line


def test_lines_are_sent_in_order_and_a_bad_one_is_reported() -> None:
    async def work() -> None:
        async with OneNode() as node:
            replies: list[dict[str, Any]] = []
            assert not await send_lines(Order(((0, node.address),), "new", first=1), stream("a", "b\x00", "c"), replies.append)
            assert texts(node) == ["a", "c"]
            assert sorted(reply["ok"] for reply in replies) == [False, True, True]
            assert await send_lines(Order(((0, node.address),), "s1"), stream("d"), replies.append)
            assert await send_lines(Order(((0, node.address),), "s1"), stream("e"), replies.append)
            assert (replies[-1]["session"], replies[-1]["seq"]) == ("s1", 2)

    run(work())


def test_promise_2_lines_that_are_sent_again_under_the_same_numbers_are_written_once() -> None:
    async def work() -> None:
        async with OneNode() as node:
            replies: list[dict[str, Any]] = []
            for lines in (("a", "b"), ("a", "b", "c")):
                assert await send_lines(Order(((0, node.address),), "s1", first=1), stream(*lines), replies.append)
            assert texts(node) == ["a", "b", "c"]
            assert [reply["seq"] for reply in replies] == [1, 2, 1, 2, 3]

    run(work())


def test_send_says_so_when_no_ack_comes_in_time() -> None:
    async def work() -> None:
        async with OneNode() as node:
            node.is_deciding = False
            replies: list[dict[str, Any]] = []
            assert not await send_lines(Order(((0, node.address),), "new", first=1, timeout=0.3), stream("a"), replies.append)
            assert [(reply["code"], reply["retry"], reply["pending"]) for reply in replies] == [("unknown", True, 1)]

    run(work())


def test_lines_that_are_typed_are_evidence_too(tmp_path: Path) -> None:
    """A session of `send` has a history from its first message on; a second run keeps the times of the first."""

    told: list[dict[str, object]] = []

    async def work() -> None:
        async with OneNode() as node:
            order = Order(((0, node.address),), "send-1", first=1, shared_dir=str(tmp_path))
            for lines in (("a", "b"), ("a", "b", "c")):
                assert await send_lines(order, stream(*lines), told.append)
            assert await send_lines(replace(order, session="named"), stream("x"), told.append)

    run(work())
    [path] = (tmp_path / "history").iterdir()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["event"] for event in events][:2] == ["begin", "invoke"]
    assert [(event["seq"], event["text"]) for event in events if event["event"] == "invoke"] == [(1, "a"), (2, "b"), (3, "c")]
    assert [event["seq"] for event in events if event["event"] == "ok"] == [1, 2, 1, 2, 3]
