"""The load generator against a real client port."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from node_runtime import bench
from node_runtime.bench_lanes import Plan
from tests.component.gateway_node import OneNode


def load(plan: Plan, nodes: list[OneNode], name: str) -> Any:
    return asyncio.to_thread(bench.run, plan, [node.address for node in nodes], name)


@pytest.mark.parametrize(("clients", "in_flight"), [(1, 1), (5, 1), (3, 64)])
def test_what_is_counted_stands_in_the_file(clients: int, in_flight: int) -> None:
    async def run() -> None:
        async with OneNode(0) as first, OneNode(1) as second:
            plan = Plan(clients, in_flight, 16, 0.3, 0.1)
            said = await load(plan, [first, second], "b")
            written = [*first.file, *second.file]
            assert said["acked"] == len(written) > 0
            assert said["unknown"] == 0
            assert said["errors"] == {}
            assert 0 < said["messages"] <= said["acked"]
            assert sum(times for _, times in said["histogram"]) == said["messages"]
            assert said["p50_us"] <= said["p99_us"] <= said["max_us"]
            assert {message.session for message in written} == {f"b.{client}" for client in range(clients)}
            assert all(f"- message: {message.seq:016}\n".encode() in message.block for message in written)

    asyncio.run(run())


def test_a_client_goes_on_at_the_next_node() -> None:
    async def run() -> None:
        async with OneNode(1) as stays:
            goes = OneNode(0)
            await goes.gateway.start()
            stays.last = goes.last  # both nodes know the sessions, as a cluster does
            plan = Plan(1, 4, 16, 1.0, 0.0)
            running = asyncio.ensure_future(load(plan, [goes, stays], "b"))
            while len(goes.file) < 20:
                await asyncio.sleep(0.01)
            await goes.gateway.close()
            said = await running
            assert sum(said["errors"].values()) >= 1
            assert said["unknown"] == 0
            assert len(stays.file) > 0
            seqs = [message.seq for message in (*goes.file, *stays.file)]
            assert sorted(set(seqs)) == list(range(1, said["acked"] + 1))

    asyncio.run(run())


def test_the_program_prints_one_json_line() -> None:
    async def run() -> None:
        async with OneNode(0) as node:
            words = ["--node", str(node.address), "--clients", "2", "--for", "0.2", "--warm-up", "0"]
            command = [sys.executable, "-m", "node_runtime", "bench", *words]
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            out, _ = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 0
            said = json.loads(out)
            assert said["clients"] == 2
            assert said["acked"] == len(node.file)

    asyncio.run(run())


def test_no_node_at_all_is_an_error_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--node", "127.0.0.1:1", "--for", "0.1"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


def test_a_node_without_a_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--node", "nowhere"]) == 2
    assert "--node" in capsys.readouterr().err
