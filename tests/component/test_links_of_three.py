"""All 64 directed graphs of links between three real nodes (rule 32), one cluster for all of them, links cut by its admin.

With a connected majority (some node exchanges messages both ways with another) clients that reach it are served; without
one, every node says so and nothing is decided. After healing all agree.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

from node_runtime.config import Address, NodeConfig, Tunables
from node_runtime.ctl import ask
from node_runtime.records import SEPARATOR
from tests.component.test_client_nodes import free_ports
from tests.simulation.shapes import Link, connected_majority, directed_graphs

NODES = 3
BOUND_S = 20.0  # for each condition; generous, for this machine may have much else to do
TUNABLES = Tunables(
    round_window_ms=0, election_min_ms=120, election_max_ms=240, heartbeat_ms=25, turn_timeout_ms=60, ack_timeout_ms=400,
)  # fmt: skip


class Trio:
    """Three node processes on loopback that take faults."""

    def __init__(self, directory: Path) -> None:
        ports = free_ports(2 * NODES)
        peers = {node: Address("127.0.0.1", port) for node, port in enumerate(ports[NODES:])}
        self.output = directory / "shared" / "output.txt"
        self._log = directory / "nodes.log"
        self._configs = [
            NodeConfig(
                node, "links", Address("127.0.0.1", ports[node]), peers[node], peers, str(directory / "shared"),
                str(directory / f"data{node}"), faults_allowed=True, tunables=TUNABLES,
            )
            for node in range(NODES)
        ]  # fmt: skip
        self._processes: list[asyncio.subprocess.Process] = []
        self._lines: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def __aenter__(self) -> Trio:
        with self._log.open("ab") as log:
            for config in self._configs:
                env = {**os.environ, **config.to_env()}
                command = (sys.executable, "-m", "node_runtime", "node")
                self._processes.append(await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=log))
        for node, config in enumerate(self._configs):
            self._lines[node] = await self._connect(config.client_address)
        return self

    async def __aexit__(self, *error: object) -> None:
        for _, writer in self._lines.values():
            writer.close()
        for process in self._processes:
            process.terminate()
        codes = [await process.wait() for process in self._processes]
        assert codes == [0] * NODES, self._log.read_text()[-2000:]

    async def _connect(self, address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_connection(address.host, address.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)

    def admin(self, node: int, request: dict[str, object]) -> dict[str, Any]:
        """One request to a node's admin socket, which must be granted."""
        reply = ask(self._configs[node].data_dir, request, BOUND_S)
        assert reply["ok"], reply
        return reply

    def cut_all_but(self, links: frozenset[Link]) -> None:
        """Cut what is not in the graph, at both ends: what is under way is not heard either."""
        for source, target in permutations(range(NODES), 2):
            if (source, target) not in links:
                for end in (source, target):
                    self.admin(end, {"op": "fault", "kind": "cut", "from": [source], "to": [target]})

    def heal(self) -> None:
        """Give all links back."""
        for node in range(NODES):
            self.admin(node, {"op": "heal"})

    async def say(self, node: int, session: str) -> dict[str, Any]:
        """Send the first message of a new session to a node; its answer."""
        reader, writer = self._lines[node]
        writer.write(json.dumps({"op": "append", "session": session, "seq": 1, "time": 1, "message": session}).encode() + b"\n")
        reply: dict[str, Any] = json.loads(await asyncio.wait_for(reader.readline(), BOUND_S))
        assert reply["session"] == session, reply
        return reply

    async def say_until_taken(self, node: int, session: str) -> None:
        """Send it again and again until it is acknowledged."""
        while not (reply := await self.say(node, session))["ok"]:
            assert reply["code"] == "no_quorum", reply

    async def said_everywhere(self, name: str) -> None:
        """A message through each node is acknowledged."""
        everyone = (self.say_until_taken(node, f"{name}n{node}") for node in range(NODES))
        await asyncio.wait_for(asyncio.gather(*everyone), BOUND_S)

    async def said_somewhere(self, name: str) -> None:
        """A message through one of the nodes is acknowledged; the other nodes are left in peace when it is."""
        tries = [asyncio.create_task(self.say(node, f"{name}n{node}")) for node in range(NODES)]
        deadline = asyncio.get_running_loop().time() + BOUND_S
        while True:
            replies = await asyncio.gather(*tries)
            if any(reply["ok"] for reply in replies):
                return
            assert asyncio.get_running_loop().time() < deadline, replies
            tries = [asyncio.create_task(self.say(node, f"{name}n{node}")) for node in range(NODES)]


async def try_all(trio: Trio) -> tuple[int, int]:
    """Go through the graphs; how many were served, and how many refused."""
    served = refused = 0
    await trio.said_everywhere("start")
    for number, links in enumerate(directed_graphs(NODES)):
        trio.cut_all_but(links)
        if connected_majority(NODES, links) is None:
            replies = await asyncio.gather(*(trio.say(node, f"g{number}n{node}") for node in range(NODES)))
            assert [reply.get("code") for reply in replies] == ["no_quorum"] * NODES, (sorted(links), replies)
            assert all(reply["retry"] for reply in replies)
            refused += 1
        else:
            await trio.said_somewhere(f"g{number}")
            served += 1
        trio.heal()
        await trio.said_everywhere(f"h{number}")
    return served, refused


async def agree(trio: Trio) -> None:
    """All nodes come to hold the same decided and written rounds."""
    while True:
        states = [trio.admin(node, {"op": "status"}) for node in range(NODES)]
        if len({(state["decided"], state["last"], state["written_round"]) for state in states}) == 1:
            return
        await asyncio.sleep(0.02)


def test_rule_32_all_64_directed_graphs_of_three_real_nodes(tmp_path: Path) -> None:
    async def work() -> tuple[int, int]:
        async with Trio(tmp_path) as trio:
            counts = await try_all(trio)
            await asyncio.wait_for(agree(trio), BOUND_S)
            return counts

    assert asyncio.run(work()) == (37, 27)
    data = (tmp_path / "shared" / "output.txt").read_bytes()
    assert data.endswith(SEPARATOR)
    bodies = [line.rpartition(b" ")[2].decode() for line in data.splitlines() if line.startswith(b"Mensagem: ")]
    assert len(bodies) == len(set(bodies)), "each message once"
    wanted = {f"h{number}n{node}" for number in range(64) for node in range(NODES)}
    assert wanted <= set(bodies), "what was acknowledged is there"
