"""A client keeps to its own cluster: where a node died, another cluster's may have its port (two clusters on one machine)."""

from __future__ import annotations

import asyncio

import pytest

from node_runtime.client import Client
from node_runtime.client_link import ask_last_seq
from tests.component.gateway_node import OneNode
from tests.component.test_client import texts, until


def test_promise_1_a_node_of_another_cluster_at_a_dead_nodes_address_gets_nothing() -> None:
    async def work() -> None:
        async with OneNode(cluster="other") as stranger, OneNode(cluster="mine") as node:
            addresses = [stranger.address, node.address]
            async with Client(addresses, "c1", last_seq=0, patience_s=0.1, cluster="mine") as client:
                assert (await client.append("a")).node == 1
            assert (texts(stranger), texts(node)) == ([], ["a"])
            assert set(stranger.refused) == {"wrong_cluster"}

    asyncio.run(work())


def test_the_numbers_of_another_cluster_are_not_asked_for() -> None:
    async def work() -> None:
        async with OneNode(cluster="other") as stranger, OneNode(cluster="mine") as node:
            assert await ask_last_seq([node.address], "c1", "mine") == 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await ask_last_seq([stranger.address], "c1", "mine")
            assert len(stranger.refused) > 0

    asyncio.run(work())


def test_a_client_that_names_no_cluster_is_served_by_any() -> None:
    async def work() -> None:
        async with OneNode(cluster="other") as node, Client([node.address], "c1") as client:
            assert (await client.append("a")).seq == 1
        assert node.refused == []

    asyncio.run(work())


def test_the_connection_of_a_stranger_ends_and_says_why() -> None:
    async def work() -> None:
        async with OneNode(cluster="other") as node:
            reader, writer = await asyncio.open_connection(node.address.host, node.address.port)
            writer.write(b'{"op":"hello","session":"c1","cluster":"mine"}\n{"op":"status"}\n')
            answer = await reader.read()
            assert answer.count(b"\n") == 1
            assert b'"code":"wrong_cluster"' in answer
            assert b"cluster other" in answer
            writer.close()
            await until(lambda: node.gateway.connections == 0)

    asyncio.run(work())
