"""The client library and its load over real sockets: exactly once through nodes that die, and a history to prove it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from node_runtime.client import Ack, Client, OutcomeUnknownError
from node_runtime.config import Address
from node_runtime.errors import ClientProtocolError
from node_runtime.history import History
from node_runtime.load import LoadConfig, run_batch
from tests.component.gateway_node import OneNode

LIMIT_S = 60.0


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S))


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def texts(node: OneNode) -> list[str]:
    return [message.block.decode().rstrip("\n").rpartition("message: ")[2] for message in node.file]


class Relay:
    """Stands for a second node of the same cluster, or for a network that breaks: forwards to a node until it is cut."""

    def __init__(self, node: OneNode) -> None:
        self.node = node
        self.is_mute = False  # passes requests on and keeps the answers back
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = Address("127.0.0.1", self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(self.node.address.host, self.node.address.port)
        self._writers += [writer, back]
        await asyncio.gather(self._pass(reader, back, mute=False), self._pass(there, writer, mute=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, mute: bool) -> None:
        try:
            while data := await reader.read(65536):
                if not (mute and self.is_mute):
                    writer.write(data)
        except ConnectionError:
            return
        finally:
            writer.close()


def test_append_waits_for_the_ack() -> None:
    async def work() -> None:
        async with OneNode() as node, Client([node.address], "c1", nodes=[7]) as client:
            assert await client.append("hello", 5) == Ack(1, 1, 0, 7)
            assert (await client.append("world")).seq == 2
            assert texts(node) == ["hello", "world"]
            assert node.file[0].time == 5

    run(work())


def test_rule_38_what_can_never_be_taken_is_refused_at_once_and_uses_no_number() -> None:
    async def work() -> None:
        async with OneNode() as node, Client([node.address], "c1") as client:
            for text in ("a\nb", "\ud800", "x" * 20_000):
                with pytest.raises(ClientProtocolError):
                    await client.append(text)
            with pytest.raises(ClientProtocolError):
                await client.append("a", -1)
            assert (await client.append("a")).seq == 1

    run(work())


@pytest.mark.parametrize("window", [1, 7, 1000])
def test_many_tasks_share_a_session_and_the_window_holds(window: int) -> None:
    async def work() -> None:
        async with OneNode() as node, Client([node.address], "c1", window=window) as client:
            node.is_deciding = False
            tasks = [asyncio.ensure_future(client.append(str(number))) for number in range(100)]
            most = 0
            while not all(task.done() for task in tasks):
                most = max(most, client.pending)
                await asyncio.sleep(0)
                if node.queue:
                    assert len(node.queue) <= window
                    node.decide()
            assert [task.result().seq for task in tasks] == list(range(1, 101)), "first come, first numbered"
            assert most <= window
            assert texts(node) == [str(number) for number in range(100)]

    run(work())


def test_a_task_that_gives_up_waiting_for_room_leaves_its_place() -> None:
    async def work() -> None:
        async with OneNode() as node, Client([node.address], "c1") as client:
            node.is_deciding = False
            first = asyncio.ensure_future(client.append("a"))
            await until(lambda: node.queue)
            with pytest.raises(OutcomeUnknownError):
                await client.append("b", timeout=0.05)
            third = asyncio.ensure_future(client.append("c"))
            node.is_deciding = True
            node.decide()
            assert ((await first).seq, (await third).seq) == (1, 2)
            assert texts(node) == ["a", "c"]

    run(work())


def test_promise_2_acks_lost_with_the_connection_double_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        history = History(tmp_path / "h.jsonl", "c1")
        async with OneNode() as node, Relay(node) as one, Relay(node) as two:
            addresses = [one.address, two.address]
            async with Client(addresses, "c1", window=50, history=history, last_seq=0, silence_s=0.3) as client:
                for number in range(400):
                    await client.post(str(number))
                    if number % 40 == 0:
                        one.is_mute = number % 80 == 0  # decided, and the answer never comes
                    if number % 60 == 59:
                        one.cut()
                        two.cut()
                await client.drain()
            assert texts(node) == [str(number) for number in range(400)]
            assert one.connections > 1
            assert two.connections > 1
        history.close()
        events = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
        invokes = [event["seq"] for event in events if event["event"] == "invoke"]
        oks = [event["seq"] for event in events if event["event"] == "ok"]
        assert invokes == oks == list(range(1, 401)), "one invoke and one outcome a message"
        assert any(event["event"] == "resend" for event in events)

    run(work())


def test_a_silent_node_is_left_for_the_next() -> None:
    async def work() -> None:
        async with OneNode() as node, OneNode() as other:
            node.is_deciding = False
            async with Client([node.address, other.address], "c1", last_seq=0, silence_s=0.2, patience_s=0.1) as client:
                assert (await client.append("a")).node == 1
            assert texts(other) == ["a"]

    run(work())


def test_a_node_without_a_leader_is_left_for_the_next() -> None:
    async def work() -> None:
        async with OneNode() as node, OneNode() as other:
            node.leader = False
            async with Client([node.address, other.address], "c1", last_seq=0, patience_s=0.1) as client:
                assert (await client.append("a")).node == 1

    run(work())


def test_the_own_node_gets_time_to_start() -> None:
    async def work() -> None:
        async with OneNode() as node, OneNode() as other:
            node.leader = False
            async with Client([node.address, other.address], "c1", last_seq=0) as client:
                pending = asyncio.ensure_future(client.append("a"))
                await until(lambda: client._failures > 1)
                node.leader = True
                assert (await pending).node == 0

    run(work())


def test_a_second_client_goes_on_with_the_sessions_numbers() -> None:
    async def work() -> None:
        async with OneNode() as node:
            for number in range(3):
                async with Client([node.address], "c1") as client:
                    assert (await client.append(str(number))).seq == number + 1

    run(work())


def test_rule_37_no_answer_is_unknown_and_never_failed(tmp_path: Path) -> None:
    async def work() -> None:
        history = History(tmp_path / "h.jsonl", "c1")
        async with OneNode() as node:
            node.is_deciding = False
            client = Client([node.address], "c1", window=3, history=history, last_seq=0)
            await client.start()
            waiting = [asyncio.ensure_future(client.append(text)) for text in ("a", "b")]
            await until(lambda: len(node.queue) == 2)
            assert await client.close() == 2
            for one in waiting:
                with pytest.raises(OutcomeUnknownError):
                    await one
            with pytest.raises(OutcomeUnknownError):
                await client.append("c")
            node.decide()
            assert texts(node) == ["a", "b"], "and so it may be written after all"
        history.close()
        events = [json.loads(line)["event"] for line in (tmp_path / "h.jsonl").read_text().splitlines()]
        assert events == ["invoke", "invoke", "unknown", "unknown"]

    run(work())


# --- the load of a container ---


def load_config(node: OneNode, shared: Path, **changes: Any) -> LoadConfig:
    return LoadConfig(id=2, nodes=((2, node.address),), session="2", shared_dir=str(shared), **changes)


def events_of(config: LoadConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in config.history.read_text().splitlines()]


def test_a_batch_and_then_the_next(tmp_path: Path) -> None:
    async def work() -> None:
        async with OneNode(node=2) as node:
            reports: list[dict[str, object]] = []
            for batch in range(2):
                config = load_config(node, tmp_path, messages=5)
                assert await run_batch(config, asyncio.Event(), reports.append)
                assert texts(node) == [str(number) for number in range(1, 5 * batch + 6)]
            assert config.history.name == "client_3.jsonl"
            begins = [(e["from"], e["to"]) for e in events_of(config) if e["event"] == "begin"]
            assert begins == [(1, 5), (6, 10)]
            assert [report["acked"] for report in reports] == [5, 5]

    run(work())


def test_a_batch_that_was_broken_off_goes_on_with_the_same_messages(tmp_path: Path) -> None:
    async def work() -> None:
        async with OneNode(node=2) as node:
            config = load_config(node, tmp_path, messages=20, in_flight=4)
            node.is_deciding = False
            stop = asyncio.Event()
            first = asyncio.ensure_future(run_batch(config, stop, lambda _: None))
            await until(lambda: len(node.queue) == 4)
            node.decide()
            await until(lambda: len(node.queue) == 4)
            stop.set()
            assert not await first
            node.is_deciding = True
            node.decide()
            assert await run_batch(config, asyncio.Event(), lambda _: None)
            assert texts(node) == [str(number) for number in range(1, 21)]
            events = events_of(config)
            assert [e["seq"] for e in events if e["event"] == "invoke"] == list(range(1, 21)), "none is invoked twice"
            assert {e["seq"] for e in events if e["event"] == "ok"} == set(range(1, 21))
            assert [e["complete"] for e in events if e["event"] == "done"] == [False, True]
            sent = {e["seq"]: e["time"] for e in events if e["event"] == "invoke"}
            assert {m.seq: m.time for m in node.file} == sent

    run(work())


def test_the_rate_is_held(tmp_path: Path) -> None:
    async def work() -> None:
        async with OneNode(node=2) as node:
            reports: list[dict[str, Any]] = []
            assert await run_batch(load_config(node, tmp_path, messages=21, rate=100.0), asyncio.Event(), reports.append)
            assert reports[0]["seconds"] >= 0.2

    run(work())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_process_ends_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    async def work() -> None:
        async with OneNode(node=0) as node:
            node.is_deciding = False
            env = {**os.environ, "ID": "0", "NODES": f"0={node.address}", "SHARED_DIR": str(tmp_path), "MESSAGES": "3"}
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "node_runtime", "client", env=env)
            await until(lambda: node.queue)
            process.send_signal(number)
            assert await process.wait() == code
            lines = (tmp_path / "history" / "client_1.jsonl").read_text().splitlines()
            assert [json.loads(line)["event"] for line in lines] == ["begin", "invoke", "unknown", "done"]

    run(work())


def test_a_killed_process_has_told_its_history_all_that_it_sent(tmp_path: Path) -> None:
    async def work() -> None:
        async with OneNode(node=0) as node:
            env = {**os.environ, "ID": "0", "NODES": f"0={node.address}", "SHARED_DIR": str(tmp_path)}
            env |= {"MESSAGES": "1000000", "IN_FLIGHT": "100"}
            command = (sys.executable, "-m", "node_runtime", "client")
            process = await asyncio.create_subprocess_exec(*command, env=env)
            await until(lambda: len(node.file) > 2000)
            process.kill()
            await process.wait()
            await until(lambda: node.gateway.connections == 0)
            path = tmp_path / "history" / "client_1.jsonl"
            events = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
            invoked = {event["seq"] for event in events if event["event"] == "invoke"}
            assert {message.seq for message in node.file} <= invoked

    run(work())


@pytest.mark.parametrize(
    ("changes", "variable"),
    [({"ID": "x"}, "ID"), ({"NODES": "nowhere"}, "NODES"), ({"MESSAGES": "-1"}, "MESSAGES"), ({"RATE": "nan"}, "RATE"),
     ({"IN_FLIGHT": "0"}, "IN_FLIGHT"), ({"SESSION": "a b"}, "SESSION"), ({"TEXT": "a\nb"}, "TEXT"),
     ({"TIMEOUT": "x"}, "TIMEOUT")],
)  # fmt: skip
def test_a_wrong_variable_is_named(changes: dict[str, str], variable: str) -> None:
    env = {"ID": "0", "NODES": "0=127.0.0.1:5000", **changes}
    with pytest.raises(Exception, match=f"^{variable}="):
        LoadConfig.from_env(env)
