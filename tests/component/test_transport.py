"""Nodes that talk over real sockets: in order, in batches, over restarts of a peer, and never without a bound."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from node_runtime.config import Address
from node_runtime.messages import Forward, Message, PeerMessage
from node_runtime.peer_hub import USER_TIMEOUT_MS, tune
from node_runtime.peer_out import MAX_QUEUE, STALLED_SWEEPS
from tests.component.peer_bench import Peer, each_loop, free_addresses, peers_of, run, until, vote


def big(size: int) -> Forward:
    return Forward(1, (Message(1, 0, "c", 1, b"x" * size),))


@each_loop
def test_five_nodes_all_hear_each_other_in_order(loop: str) -> None:
    async def main() -> None:
        peers = peers_of(5)
        for peer in peers:
            await peer.transport.start()
        await until(lambda: all(peer.linked() for peer in peers))
        for number in range(0, 2000, 10):
            for peer in peers:
                for one in range(number, number + 10):
                    peer.transport.broadcast(peer.others, vote(one))
                peer.transport.flush()
            await asyncio.sleep(0)
        await until(lambda: all(len(peer.messages) == 8000 for peer in peers))
        for peer in peers:
            for other in peer.others:
                assert peer.heard(other) == [vote(number) for number in range(2000)]
            assert sorted(peer.links) == [(other, True) for other in peer.others]
            assert peer.refused == []
            state = peer.transport.links()[peer.others[0]]
            assert (state.sent, state.received, state.inbound, state.dropped, state.queued) == (2000, 2000, 1, 0, 0)
        for peer in peers:
            await peer.transport.close()

    run(main(), loop)


@each_loop
def test_large_and_small_messages_keep_their_order(loop: str) -> None:
    async def main() -> None:
        one, two = peers_of(2)
        async with one, two:
            await until(lambda: one.linked() and two.linked())
            said: list[PeerMessage] = [vote(1), big(3_000_000), vote(2), big(1), big(4_000_000), vote(3)]
            one.say(1, *said)
            await until(lambda: len(two.messages) == len(said))
            assert two.heard(0) == said

    run(main(), loop)


@each_loop
def test_the_largest_frame_there_is_gets_through(loop: str) -> None:
    async def main() -> None:
        one, two = peers_of(2)
        async with one, two:
            await until(lambda: one.linked())
            message = big(MAX_QUEUE - 60)
            one.say(1, message)
            await until(lambda: two.messages)
            assert two.heard(0) == [message]

    run(main(), loop)


def test_nothing_leaves_before_it_is_flushed() -> None:
    async def main() -> None:
        one, two = peers_of(2)
        async with one, two:
            await until(lambda: one.linked() and two.linked())
            one.transport.send(1, vote(1))
            two.say(0, vote(2))
            await until(lambda: one.messages)
            assert two.messages == []
            assert one.transport.links()[1].queued > 0
            one.transport.flush()
            await until(lambda: two.messages)

    run(main())


def test_what_is_sent_to_a_dead_link_is_dropped_and_counted() -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        async with one:
            one.say(1, vote(1), vote(2))
            one.transport.broadcast([1], vote(3))
            state = one.transport.links()[1]
            assert (state.connected, state.dropped, state.queued) == (False, 3, 0)

    run(main())


@each_loop
def test_a_peer_that_comes_back_is_dialled_again(loop: str) -> None:
    async def main() -> None:
        one, two = peers_of(2)
        async with one:
            for life in range(3):
                async with Peer(1, dict(two.config.peers)) as two:
                    await until(lambda: one.linked() and two.linked())
                    one.say(1, vote(life))
                    two.say(0, vote(life))
                    await until(lambda: two.messages and len(one.messages) > life)  # noqa: B023 — awaited in its own turn
                    assert two.heard(0) == [vote(life)]
                await until(lambda: not one.linked())
            assert one.links == [(1, True), (1, False)] * 3
            assert one.heard(1) == [vote(0), vote(1), vote(2)]
            assert one.refused == []

    run(main(), loop)


def test_a_port_that_is_taken_is_an_os_error() -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        async with one:
            with pytest.raises(OSError, match="in use"):
                await Peer(0, dict(one.config.peers)).transport.start()

    run(main())


@each_loop
def test_connections_send_small_frames_at_once_and_notice_a_peer_that_vanished(loop: str) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            _, writer = await asyncio.open_connection(*server.getsockname())
            wire: Any = writer.transport
            tune(wire)
            sock = wire.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT_MS
            writer.close()

    run(main(), loop)


def test_names_are_looked_up_and_one_that_cannot_be_does_no_harm() -> None:
    async def main() -> None:
        addresses = free_addresses(3)
        addresses[1] = Address("localhost", addresses[1].port)
        addresses[2] = Address("no..name", addresses[2].port)
        one, two = Peer(0, addresses), Peer(1, addresses)
        async with one, two:
            await until(lambda: one.linked(1))
            await until(lambda: one.transport.links()[2].dials > 2)
            assert "UnicodeError" in one.transport.links()[2].error

    run(main())


@each_loop
def test_rule_52_a_peer_that_does_not_read_costs_a_bounded_queue_and_then_its_connection(loop: str) -> None:
    async def main() -> None:
        one, _ = peers_of(2, sweep_seconds=0.05)
        with socket.create_server(("127.0.0.1", one.config.peers[1].port)) as deaf:
            deaf.setblocking(False)
            async with one:
                held = []
                for _ in range(2):
                    held.append(await asyncio.get_running_loop().sock_accept(deaf))
                    await until(lambda: one.linked())
                    dropped = one.transport.links()[1].dropped
                    for _ in range(400):  # much more than the kernel and we together will hold
                        one.say(1, big(100_000))
                        assert one.transport.links()[1].queued <= MAX_QUEUE
                    assert one.transport.links()[1].dropped > dropped + 100
                    await until(lambda: not one.linked())
                    assert one.transport.links()[1].queued == 0
                await until(lambda: len(one.links) >= 4)
                assert one.links[:4] == [(1, True), (1, False)] * 2
                assert one.errors == ["the peer takes nothing"] * 2
                for connection, _ in held:
                    connection.close()

    run(main(), loop)


@each_loop
def test_a_slow_reader_is_not_given_up_while_it_reads(loop: str) -> None:
    async def main() -> None:
        one, _ = peers_of(2, sweep_seconds=0.2)
        with socket.create_server(("127.0.0.1", one.config.peers[1].port)) as slow:
            slow.setblocking(False)
            async with one:
                events = asyncio.get_running_loop()
                connection, _ = await events.sock_accept(slow)
                await until(lambda: one.linked())
                one.say(1, *[big(1_000_000)] * 7)
                start = one.transport.links()[1].queued
                assert start > 1_000_000
                began = time.monotonic()
                while one.transport.links()[1].queued:
                    await events.sock_recv(connection, 100_000)
                    await asyncio.sleep(0.02)
                assert time.monotonic() - began > 0.2 * STALLED_SWEEPS
                assert one.links == [(1, True)]
                connection.close()

    run(main(), loop)


@each_loop
def test_the_end_of_a_connection_is_noticed_although_we_only_write(loop: str) -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        with socket.create_server(("127.0.0.1", one.config.peers[1].port)) as server:
            server.setblocking(False)
            async with one:
                connection, _ = await asyncio.get_running_loop().sock_accept(server)
                await until(lambda: one.linked())
                connection.shutdown(socket.SHUT_WR)
                await until(lambda: (1, False) in one.links)
                connection.close()

    run(main(), loop)


def test_a_peer_that_answers_on_our_connection_is_turned_away() -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        with socket.create_server(("127.0.0.1", one.config.peers[1].port)) as server:
            server.setblocking(False)
            async with one:
                connection, _ = await asyncio.get_running_loop().sock_accept(server)
                connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await until(lambda: (1, False) in one.links)
                assert one.refused == ["a peer spoke on a connection that is ours to speak on"]
                connection.close()

    run(main())


class Faulty(Peer):
    """A driver with a bug, or a broken disk."""

    def __init__(self, error: Exception, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.error = error

    def on_message(self, sender: int, message: PeerMessage) -> None:
        raise self.error


@each_loop
@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(28, "No space left on device")], ids=["bug", "disk"])
def test_rule_54_what_a_callback_raises_reaches_the_handler_of_the_loop(loop: str, error: Exception) -> None:
    """asyncio keeps an OSError that passes through a protocol to itself: it takes it for the socket's."""

    async def main() -> None:
        addresses = free_addresses(2)
        one, two = Peer(0, addresses), Faulty(error, 1, addresses)
        caught: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context.get("exception")))
        async with one, two:
            await until(lambda: one.linked())
            one.say(1, vote(1))
            await until(lambda: caught)
            assert caught[0] is error

    run(main(), loop)
