"""The client against three real nodes: what is acknowledged stands in the file once, also when nodes are killed."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from node_runtime.client import Ack, Client
from node_runtime.config import Address, NodeConfig
from node_runtime.load import LoadConfig, run_batch
from node_runtime.records import SEPARATOR, native_body

LIMIT_S = 90.0


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """Node processes on loopback."""

    def __init__(self, directory: Path, nodes: int = 3) -> None:
        ports = free_ports(2 * nodes)
        self.shared = directory / "shared"
        self.shared.mkdir()
        self.addresses = [Address("127.0.0.1", port) for port in ports[:nodes]]
        peers = {node: Address("127.0.0.1", port) for node, port in enumerate(ports[nodes:])}
        self._directory = directory
        self._configs = [
            NodeConfig(node, "test", self.addresses[node], peers[node], peers, str(self.shared), str(directory / f"data{node}"))
            for node in range(nodes)
        ]
        self._processes: dict[int, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Cluster:
        for node in range(len(self._configs)):
            await self.start(node)
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in list(self._processes):
            await self.kill(node)

    async def start(self, node: int) -> None:
        env = {**os.environ, **self._configs[node].to_env()}
        with (self._directory / f"node{node}.log").open("ab") as log:
            command = (sys.executable, "-m", "node_runtime", "node")
            self._processes[node] = await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=log)

    async def kill(self, node: int) -> None:
        process = self._processes.pop(node)
        process.kill()
        await process.wait()

    def blocks(self) -> list[bytes]:
        """The blocks of the file, whole ones only."""
        data = (self.shared / "output.txt").read_bytes().replace(SEPARATOR, b"")
        lines = data.split(b"\n")
        return [b"\n".join(pair) + b"\n" for pair in zip(lines[:-1:2], lines[1::2], strict=True)]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S))


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As soon as the node listens."""
    while True:
        try:
            return await asyncio.open_connection(address.host, address.port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)


def test_promises_1_and_2_every_ack_stands_in_the_file_once_while_nodes_are_killed(tmp_path: Path) -> None:
    async def work() -> None:
        acks: list[Ack] = []
        async with Cluster(tmp_path) as cluster:
            async with Client(cluster.addresses, "c1", window=8, last_seq=0, on_ack=acks.append) as client:
                for number in range(1, 901):
                    await client.post(f"m{number}", number)
                    if number in (300, 600):
                        victim = acks[-1].node
                        await cluster.kill(victim)
                        await cluster.start(victim)
                await client.drain()
            blocks = cluster.blocks()
            data = (cluster.shared / "output.txt").read_bytes()
        assert [ack.seq for ack in acks] == list(range(1, 901))
        assert len({ack.node for ack in acks}) > 1, "it went on through another node"
        bodies = [block.decode().splitlines()[1] for block in blocks]
        assert bodies == [f"Mensagem: {native_body('c1', number, f'm{number}')}" for number in range(1, 901)]
        told = [ack for ack in acks if ack.offset is not None]
        assert len(told) > 50, "a batch is acknowledged by its last message's place"
        for ack in told:
            assert ack.offset is not None
            line = data[ack.offset :].split(b"\n", 2)[1].decode()
            assert line.endswith(f"m{ack.seq}"), "the ack names the place where the message stands"

    run(work())


def test_five_loads_at_once_and_the_seeds_client_beside_them(tmp_path: Path) -> None:
    async def work() -> None:
        async with Cluster(tmp_path) as cluster:
            nodes = [*enumerate(cluster.addresses)]
            configs = [
                LoadConfig(
                    id=number, nodes=(*nodes[number % 3 :], *nodes[: number % 3]), session=str(number),
                    shared_dir=str(cluster.shared), messages=100, in_flight=1 + 9 * (number % 2),
                )
                for number in range(5)
            ]  # fmt: skip
            batches = asyncio.gather(*(run_batch(config, asyncio.Event(), lambda _: None) for config in configs))
            reader, writer = await connect(cluster.addresses[0])
            answers: list[bytes] = []
            while answers.count(b"committed") < 10:
                number = answers.count(b"committed")
                writer.write(
                    f"client/id{{9}}/timestamp{{{number}.5}}/message{{client 9 time: {number} - message: {number}}}".encode()
                )
                answers.append(await reader.read(1024))
                assert answers[-1] in (b"committed", b"sleep")
            writer.close()
            assert all(await batches)
            blocks = cluster.blocks()
        assert len(blocks) == 510
        for number in range(5):
            mine = [block for block in blocks if f"Mensagem: client {number} ".encode() in block]
            texts = [int(block.decode().rpartition("message: ")[2]) for block in mine]
            assert texts == list(range(1, 101)), "a session keeps its order"
            assert {block.split(b"\n")[0] for block in mine} == {f"Container {number % 3} ".encode()}, "through its own node"
        assert sum(b"client 9 time" in block for block in blocks) == 10

    run(work())
