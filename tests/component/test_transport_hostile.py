"""Strangers, impostors and broken peers at the peer port: turned away, bounded, and no harm to the others (rules 51 to 53)."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node_runtime import codec
from node_runtime.config import Address
from node_runtime.faults import LinkFaults
from node_runtime.messages import Forward, Message
from node_runtime.peer_hub import Hub
from node_runtime.peer_in import FIRST_FRAME_SWEEPS, HALF_FRAME_SWEEPS, PER_PEER, STRANGERS, Inbox
from tests.component.peer_bench import CLUSTER, Peer, Stranger, close_all, each_loop, free_addresses, peers_of, run, until, vote

TAG = Peer(0, {0: Address("127.0.0.1", 1)}).config.cluster_tag
OTHER_TAG = Peer(0, {0: Address("127.0.0.1", 1)}, cluster="another").config.cluster_tag


def frame(number: int, sender: int = 1, tag: bytes = TAG) -> bytes:
    return codec.encode_frame(tag, sender, vote(number))


def header(length: int, kind: int = 4) -> bytes:
    return codec.FRAME.pack(codec.MAGIC, codec.PROTOCOL_VERSION, kind, TAG, 1, length, 0)


REFUSED = {
    "garbage": (b"\xff" * 100, "wrong magic"),
    "a browser": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "wrong magic"),
    "another cluster": (codec.encode_hello(OTHER_TAG, 1), "another cluster"),
    "another version": (b"VS\x09" + codec.encode_hello(TAG, 1)[3:], "speaks version 9"),
    "an unknown type": (header(10, kind=77), "type 77"),
    "a GiB": (header(1 << 30), "over the limit"),
    "four GiB": (header(2**32 - 1), "over the limit"),
    "this node's own id": (codec.encode_hello(TAG, 0), "node 0 is not a peer"),
    "an id that does not exist": (codec.encode_hello(TAG, 9), "node 9 is not a peer"),
    "a changed id": (codec.encode_hello(TAG, 1) + codec.encode_hello(TAG, 2), "changed its name to 2"),
    "a wrong checksum": (frame(1)[:-1] + b"\x77", "checksum"),
    "a payload that is none": (codec._frame(TAG, 1, 4, b"short"), "cannot be read"),
}


@each_loop
def test_rule_51_what_no_peer_sends_is_refused_with_a_reason_and_hurts_nobody_else(loop: str) -> None:
    async def main() -> None:
        one, two, three = peers_of(3)
        async with one, two, three:
            await until(lambda: two.linked())
            for number, (data, reason) in enumerate(REFUSED.values()):
                stranger = await Stranger.dial(one.address, data)
                await stranger.hung_up_on()
                stranger.close()
                await until(lambda number=number: len(one.refused) > number)  # type: ignore[misc]
                assert reason in one.refused[number]
                two.say(0, vote(number))
                await until(lambda number=number: len(one.messages) > number)  # type: ignore[misc]
            assert one.heard(1) == [vote(number) for number in range(len(REFUSED))]
            assert len(one.refused) == len(REFUSED)
            assert two.links == [(0, True), (2, True)] or two.links == [(2, True), (0, True)]

    run(main(), loop)


def test_rule_51_whole_frames_before_a_broken_one_are_delivered_and_those_after_it_are_not() -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        async with one:
            stranger = await Stranger.dial(one.address, frame(1) + frame(2) + frame(3)[:-1] + b"\x77" + frame(4))
            await stranger.hung_up_on()
            assert one.heard(1) == [vote(1), vote(2)]
            stranger.close()

    run(main())


def test_rule_51_a_length_that_is_not_followed_by_its_bytes_takes_no_memory() -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        async with one:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            strangers = [await Stranger.dial(one.address, header(codec.MAX_FRAME)) for _ in range(PER_PEER)]
            await until(lambda: one.transport.links()[1].inbound == PER_PEER)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024  # KiB; one such frame
            close_all(strangers)

    run(main())


def test_a_frame_that_comes_byte_by_byte_is_a_frame() -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        async with one:
            data = frame(1) + frame(2)
            stranger = await Stranger.dial(one.address, *(data[place : place + 1] for place in range(len(data))))
            await until(lambda: len(one.messages) == 2)
            assert one.heard(1) == [vote(1), vote(2)]
            stranger.close()

    run(main())


class Wire:
    """Stands for a connection where a test wants to choose the segments itself."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.aborted = False

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self.sock

    def abort(self) -> None:
        self.aborted = True


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_how_the_stream_is_cut_into_segments_makes_no_difference(sizes: list[int], cuts: list[int]) -> None:
    async def main() -> None:
        peer = Peer(0, free_addresses(2))
        hub = Hub(peer.config, peer, LinkFaults(0, [0, 1]))
        hub.start()
        said = [Forward(number, (Message(1, 0, "c", 1, b"x" * (size + 1)),)) for number, size in enumerate(sizes)]
        data = codec.encode_hello(TAG, 1) + b"".join(codec.encode_frame(TAG, 1, message) for message in said)
        inbound = Inbox(hub).accept()
        with socket.socket() as sock:
            wire: Any = Wire(sock)
            inbound.connection_made(wire)
            places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
            for start, end in pairwise(places):
                if end > start:
                    inbound.data_received(data[start:end])
        assert peer.heard(1) == said
        assert not wire.aborted
        hub.close()

    run(main())


@each_loop
def test_rule_52_who_does_not_finish_a_frame_in_time_is_turned_away_and_who_is_idle_is_not(loop: str) -> None:
    async def main() -> None:
        one, two = peers_of(2, sweep_seconds=0.03)
        async with one, two:
            await until(lambda: two.linked())
            silent = await Stranger.dial(one.address)
            half_header = await Stranger.dial(one.address, frame(1)[:5])
            half_frame = await Stranger.dial(one.address, frame(1) + frame(2)[:-1])
            idle = await Stranger.dial(one.address, codec.encode_hello(TAG, 1))
            for stranger in (silent, half_header, half_frame):
                await stranger.hung_up_on()
            assert one.refused == ["no whole frame in time"] * 3
            assert idle.open
            assert two.links == [(0, True)]  # it has said hello and nothing else all the while
            await idle.say(frame(3))
            await until(lambda: vote(3) in one.heard(1))
            close_all([silent, half_header, half_frame, idle])

    run(main(), loop)


@each_loop
def test_rule_52_strangers_are_capped_and_never_keep_a_peer_out(loop: str) -> None:
    async def main() -> None:
        one, two = peers_of(2)
        async with one:
            crowd = [await Stranger.dial(one.address) for _ in range(150)]
            async with two:
                await until(lambda: two.linked() and one.linked())
                crowd += [await Stranger.dial(one.address) for _ in range(150)]
                two.say(0, vote(1))
                await until(lambda: one.messages)
                await until(lambda: sum(stranger.open for stranger in crowd) <= PER_PEER + STRANGERS)
                assert any(stranger.open for stranger in crowd)
                assert two.links == [(0, True)]
            close_all(crowd)

    run(main(), loop)


@each_loop
def test_rule_53_impostors_of_a_peer_are_bounded_and_do_not_cut_it_off(loop: str) -> None:
    """A node id is a claim. Whoever makes it may deliver, like an old connection of the peer; the peer goes on."""

    async def main() -> None:
        one, two = peers_of(2, sweep_seconds=0.03)
        async with one, two:
            await until(lambda: two.linked())
            impostors: list[Stranger] = []
            for number in range(12):
                two.say(0, vote(number))  # the real one is never the most silent
                await until(lambda number=number: vote(number) in one.heard(1))  # type: ignore[misc]
                impostors.append(await Stranger.dial(one.address, frame(1000 + number)))
                await until(lambda number=number: vote(1000 + number) in one.heard(1))  # type: ignore[misc]
                assert one.transport.links()[1].inbound <= PER_PEER
                await asyncio.sleep(0.04)
            await until(lambda: sum(impostor.open for impostor in impostors) <= PER_PEER - 1)
            assert two.links == [(0, True)]
            real = [vote(number) for number in range(12)]
            assert [message for message in one.heard(1) if message in real] == real
            close_all(impostors)

    run(main(), loop)


def test_rule_53_a_peer_that_comes_back_gets_in_past_its_own_dead_connections() -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        async with one:
            dead = [await Stranger.dial(one.address, frame(number)) for number in range(PER_PEER)]
            await until(lambda: len(one.messages) == PER_PEER)
            fresh = await Stranger.dial(one.address, frame(100))
            await dead[0].hung_up_on()
            await fresh.say(frame(101))
            await until(lambda: vote(101) in one.heard(1))
            assert fresh.open
            assert one.refused == ["too many connections claim to be node 1"]
            close_all([*dead, fresh])

    run(main())


@each_loop
def test_rule_52_who_always_has_half_a_frame_out_but_goes_on_is_not_turned_away(loop: str) -> None:
    async def main() -> None:
        one, _ = peers_of(2, sweep_seconds=0.02)
        async with one:
            stranger = await Stranger.dial(one.address, frame(0)[:20])
            number = 0
            began = time.monotonic()
            while time.monotonic() - began < 0.02 * (HALF_FRAME_SWEEPS + FIRST_FRAME_SWEEPS) * 3:
                number += 1
                await stranger.say(frame(number - 1)[20:] + frame(number)[:20])
                await until(lambda: len(one.messages) >= number)  # noqa: B023 — awaited in its own turn
            assert stranger.open
            assert one.refused == []
            stranger.close()

    run(main(), loop)


def test_rule_53_the_old_and_the_new_connection_of_a_peer_both_deliver() -> None:
    async def main() -> None:
        one, _ = peers_of(2)
        async with one:
            old = await Stranger.dial(one.address, frame(1))
            new = await Stranger.dial(one.address, frame(2))
            await until(lambda: len(one.messages) == 2)
            await old.say(frame(3))
            await new.say(frame(4))
            await until(lambda: len(one.messages) == 4)
            close_all([old, new])

    run(main())


@pytest.mark.parametrize("seconds", [0.03])
def test_a_node_of_another_cluster_on_a_peers_address_is_never_taken_for_it(seconds: float) -> None:
    async def main() -> None:
        addresses = free_addresses(2)
        one, other = Peer(0, addresses, sweep_seconds=seconds), Peer(1, addresses, cluster="another", sweep_seconds=seconds)
        async with one, other:
            await until(lambda: len(one.refused) >= 2 and len(other.refused) >= 2)
            assert {*one.refused, *other.refused} == {"belongs to another cluster"}
            assert one.messages == other.messages == []
            assert one.config.cluster == CLUSTER

    run(main())
