"""The client port with real sockets: limits, deadlines, back-pressure, half-closed clients, the seed's own client."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from node_runtime import gateway
from node_runtime.client_port import MAX_LINE
from tests.component.gateway_node import OneNode

LIMIT_S = 30.0


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S))


async def connect(node: OneNode) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(node.address.host, node.address.port)


async def until(condition: Any) -> None:
    """Wait for a condition; the limit is that of `run`."""
    while not condition():
        await asyncio.sleep(0.005)


def line(seq: int, text: str = "x", session: str = "c2") -> bytes:
    request = {"op": "append", "session": session, "seq": seq, "time": seq, "message": text}
    return json.dumps(request).encode() + b"\n"


async def replies(reader: asyncio.StreamReader, count: int) -> list[dict[str, Any]]:
    return [json.loads(await reader.readline()) for _ in range(count)]


def test_a_conversation_as_in_the_documentation() -> None:
    async def work() -> None:
        async with OneNode(node=1) as node:
            reader, writer = await connect(node)
            writer.write(b'{"op":"append","session":"c2","seq":1,"time":368186,"message":"3"}\n')
            assert await reader.readline() == b'{"ok":true,"session":"c2","seq":1,"round":1,"offset":0}\n'
            writer.write(b'{"op":"hello","session":"c2"}\n')
            assert await reader.readline() == b'{"ok":true,"session":"c2","last_seq":1}\n'
            writer.write(b'{"op":"status"}\n')
            assert json.loads(await reader.readline())["role"] == "leader"
            assert [m.block for m in node.file] == [b"Container 1 \nMensagem: client c2 time: 368186 - message: 3\n"]
            writer.close()

    run(work())


def test_pipelined_requests_and_a_client_that_ends_its_side_first() -> None:
    async def work() -> None:
        async with OneNode() as node:
            node.is_deciding = False
            reader, writer = await connect(node)
            writer.write(b"".join(line(seq) for seq in range(1, 101))[:-1])
            writer.write_eof()
            await until(lambda: len(node.queue) == 100)
            node.decide()
            assert [r["seq"] for r in await replies(reader, 100)] == list(range(1, 101))
            assert await reader.read() == b"", "the node closes when all is answered"
            await until(lambda: node.gateway.connections == 0)
            writer.close()

    run(work())


def test_the_text_protocols_client_may_end_its_side_first_too() -> None:
    async def work() -> None:
        async with OneNode() as node:
            node.is_deciding = False
            reader, writer = await connect(node)
            writer.write(b"client/id{2}/timestamp{1}/message{a}client/id{2}/timestamp{2}/message{b}")
            writer.write_eof()
            await until(lambda: len(node.queue) == 1)
            node.decide()
            await until(lambda: len(node.queue) == 1)
            node.decide()
            assert await reader.read() == b"committedcommitted"
            writer.close()

    run(work())


def test_the_first_bytes_may_come_one_by_one() -> None:
    async def work() -> None:
        async with OneNode() as node:
            for data, answer in ((b"client/id{2}/timestamp{1}/message{a}", b"comm"), (line(1), b'{"ok')):
                reader, writer = await connect(node)
                for byte in data:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0)
                assert await reader.readexactly(4) == answer
                writer.close()

    run(work())


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"x" * (4 * MAX_LINE), b"[" * 60_000 + b"\n", b"\x16\x03\x01\n"])
def test_rule_52_garbage_gets_one_error_line_then_the_connection_closes(data: bytes) -> None:
    async def work() -> None:
        async with OneNode() as node:
            reader, writer = await connect(node)
            writer.write(data)
            answer = await reader.read()
            assert answer.count(b"\n") == 1
            assert json.loads(answer)["ok"] is False
            assert len(node.refused) == 1
            writer.close()
            await until(lambda: node.gateway.connections == 0)

    run(work())


@pytest.mark.parametrize("data", [b'{"op":', b"clie", b"client/id{2}/timest"])
def test_rule_52_half_a_line_has_a_deadline_and_silence_has_none(data: bytes) -> None:
    async def work() -> None:
        async with OneNode() as node:
            idle_reader, idle = await connect(node)
            reader, writer = await connect(node)
            writer.write(data)
            assert b"half a request" in await reader.read()
            assert node.refused == ["half_line"]
            idle.write(line(1))
            assert (await replies(idle_reader, 1))[0]["ok"]
            for one in (idle, writer):
                one.close()

    run(work())


def test_rule_52_a_drip_does_not_extend_the_deadline() -> None:
    async def work() -> None:
        async with OneNode() as node:
            reader, writer = await connect(node)
            ended = asyncio.ensure_future(reader.read())
            while not ended.done():
                writer.write(b" ")
                await asyncio.sleep(0.02)
            assert b"half a request" in ended.result()
            writer.close()

    run(work())


def test_rule_52_connections_are_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MAX_CONNECTIONS", 2)

    async def work() -> None:
        async with OneNode() as node:
            first = [await connect(node) for _ in range(2)]
            await until(lambda: node.gateway.connections == 2)
            reader, writer = await connect(node)
            assert json.loads(await reader.read())["code"] == "too_many"
            first[0][1].close()
            await until(lambda: node.gateway.connections == 1)
            reader2, writer2 = await connect(node)
            writer2.write(line(1))
            assert (await replies(reader2, 1))[0]["ok"]
            for one in (first[1][1], writer, writer2):
                one.close()

    run(work())


def test_rule_17_a_full_queue_stops_the_reading_and_nothing_is_lost() -> None:
    async def work() -> None:
        async with OneNode(room=100) as node:
            node.is_deciding = False
            reader, writer = await connect(node)
            total = 20_000
            writer.write(b"".join(line(seq, "y" * 100) for seq in range(1, total + 1)))
            await until(lambda: len(node.queue) >= 100)
            status_reader, status = await connect(node)
            status.write(b'{"op":"status"}\n')
            assert (await replies(status_reader, 1))[0]["ok"], "questions are answered meanwhile"
            got: list[int] = []
            while len(got) < total:
                waiting = len(node.queue)
                node.decide()
                got += [r["seq"] for r in await replies(reader, waiting)]
                await asyncio.sleep(0)
            assert got == list(range(1, total + 1))
            assert node.most_queued < 100 + 1100, "bounded by the room and one read"
            assert len(node.file) == total
            for one in (writer, status):
                one.close()

    run(work())


def test_rule_52_a_client_that_never_reads_is_cut_off_and_takes_no_memory() -> None:
    async def work() -> None:
        async with OneNode() as node:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (node.address.host, node.address.port))
            data = b'{"op":"status"}\n' * 4000

            async def flood() -> None:
                while True:
                    await loop.sock_sendall(sock, data)

            flooding = asyncio.ensure_future(flood())
            await until(lambda: node.gateway.connections == 1)
            (connection,) = node.gateway._connections
            await until(lambda: connection._is_choked or flooding.done())
            transport = connection._transport
            assert transport is not None
            assert transport.get_write_buffer_size() < 2 * gateway.MAX_UNREAD
            node.is_deciding = False
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
            sock.close()
            await until(lambda: node.gateway.connections == 0)

    run(work())


def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    async def work() -> None:
        async with OneNode() as node:
            node.is_deciding = False
            _, writer = await connect(node)
            writer.write(line(1) + line(2) + b'{"op"')
            await until(lambda: len(node.queue) == 2)
            writer.transport.abort()
            await until(lambda: node.gateway.connections == 0)
            node.decide()
            assert len(node.file) == 2, "what was taken is decided all the same"

    run(work())


def test_close_sends_what_is_answered() -> None:
    async def work() -> None:
        node = OneNode()
        await node.gateway.start()
        reader, writer = await connect(node)
        writer.write(line(1))
        await until(lambda: node.file)
        await node.gateway.close()
        assert json.loads(await reader.read())["seq"] == 1
        writer.close()

    run(work())


def test_a_port_that_is_taken_is_an_oserror() -> None:
    async def work() -> None:
        async with OneNode() as node:
            other = OneNode(port=node.address.port)
            with pytest.raises(OSError, match="address already in use"):
                await other.gateway.start()

    run(work())


def seed_client(number: int, messages: int, address: tuple[str, int], asleep: threading.Event) -> list[str]:
    """What the seed's client does: send, recv(1024), next on `committed`, the same again on `sleep`, then nothing more."""
    answers: list[str] = []
    with socket.create_connection(address, timeout=LIMIT_S) as connection:
        done = 0
        while done < messages:
            time = 1000 * number + done
            text = f"client {number} time: {time} - message: {done}"
            connection.send(f"client/id{{{number}}}/timestamp{{{time}.5}}/message{{{text}}}".encode())
            answer = connection.recv(1024).decode()
            answers.append(answer)
            if answer == "committed":
                done += 1
            elif answer == "sleep":
                asleep.set()
                threading.Event().wait(0.01)
            else:
                return answers
        connection.send(b"")
    return answers


def test_five_of_the_seeds_clients_at_once() -> None:
    async def work() -> None:
        async with OneNode() as node:
            node.leader = False
            asleep = threading.Event()
            address = (node.address.host, node.address.port)
            clients = [asyncio.to_thread(seed_client, number, 20, address, asleep) for number in range(5)]
            results = asyncio.gather(*clients)
            await until(asleep.is_set)
            node.leader = True
            for answers in await results:
                assert answers.count("committed") == 20
                assert set(answers) <= {"committed", "sleep"}
            bodies = [m.block.decode().splitlines()[1] for m in node.file]
            wanted = [f"Mensagem: client {c} time: {1000 * c + n} - message: {n}" for c in range(5) for n in range(20)]
            assert sorted(bodies) == sorted(wanted)
            assert len({m.session for m in node.file}) == 5
            await until(lambda: node.gateway.connections == 0)

    run(work())
