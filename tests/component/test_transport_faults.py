"""Faults on real links: a node harms only what it sends (and, cut off, does not hear), and heals by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node_runtime.clock import steady_ticks
from tests.component.peer_bench import Peer, each_loop, free_addresses, peers_of, run, until, vote


class Stamping(Peer):
    """Notes when each message came."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.times: list[int] = []

    def on_message(self, sender: int, message: Any) -> None:
        super().on_message(sender, message)
        self.times.append(steady_ticks())


@pytest.mark.parametrize("where", ["sender", "receiver"])
def test_a_cut_holds_in_one_direction_at_either_end_and_heals(where: str) -> None:
    async def main() -> None:
        one, two = peers_of(2)
        async with one, two:
            await until(lambda: one.linked() and two.linked())
            cut_off = one if where == "sender" else two
            cut_off.add_fault(steady_ticks(), kind="cut", **{"from": [0], "to": [1]})
            one.say(1, vote(1), vote(2))
            two.say(0, vote(3))
            await until(lambda: one.messages)
            cut_off.faults.heal()
            one.transport.broadcast([1], vote(4))
            one.transport.flush()
            await until(lambda: two.messages)
            assert one.heard(1) == [vote(3)]
            assert two.heard(0) == [vote(4)]
            assert one.transport.links()[1].dropped == (2 if where == "sender" else 0)
            assert one.links == [(1, True)]

    run(main())


def test_a_cut_ends_by_itself() -> None:
    async def main() -> None:
        one, two = peers_of(2)
        async with one, two:
            await until(lambda: one.linked())
            one.add_fault(steady_ticks(), kind="cut", for_ms=60)
            number = 0
            while not two.messages:
                number += 1
                one.say(1, vote(number))
                await asyncio.sleep(0.005)
            assert two.heard(0)[0] != vote(1)

    run(main())


@each_loop
def test_delayed_messages_come_late_in_order_and_without_another_flush(loop: str) -> None:
    async def main() -> None:
        addresses = free_addresses(2)
        one, two = Peer(0, addresses), Stamping(1, addresses)
        async with one, two:
            await until(lambda: one.linked())
            began = steady_ticks()
            one.add_fault(began, kind="delay", amount=40, jitter=30)
            said = [vote(number) for number in range(50)]
            one.say(1, *said)
            await until(lambda: len(two.messages) == 50)
            assert two.heard(0) == said
            assert two.times[0] - began >= 9_000  # loops round to milliseconds
            assert two.times[-1] - began >= 40_000

    run(main(), loop)


def test_doubled_dropped_and_reordered_messages() -> None:
    async def main() -> None:
        one, two, three, four = peers_of(4)
        async with one, two, three, four:
            await until(lambda: one.linked())
            for kind, peer, amount in (("dup", 1, 100), ("drop", 2, 50), ("reorder", 3, 50)):
                one.add_fault(steady_ticks(), kind=kind, amount=amount, **{"from": [0], "to": [peer]})
            said = [vote(number) for number in range(100)]
            for message in said:
                one.transport.broadcast(one.others, message)
            one.transport.flush()
            await until(lambda: len(two.messages) == 200 and len(four.messages) == 100)
            assert sorted(two.heard(0), key=str) == sorted(said * 2, key=str)
            await until(lambda: len(three.messages) == 100 - one.transport.links()[2].dropped)
            assert 20 < len(three.messages) < 80
            assert sorted(four.heard(0), key=str) == sorted(said, key=str)
            assert four.heard(0) != said

    run(main())


def test_a_link_that_ends_takes_what_is_held_back_with_it() -> None:
    async def main() -> None:
        one, two = peers_of(2)
        async with one:
            async with two:
                await until(lambda: one.linked())
                one.add_fault(steady_ticks(), kind="delay", amount=60_000)
                one.say(1, vote(1), vote(2))
                assert one.transport.links()[1].queued > 0
            await until(lambda: not one.linked())
            state = one.transport.links()[1]
            assert (state.queued, state.dropped) == (0, 2)
            one.faults.heal()
            async with Peer(1, dict(one.config.peers)) as two:
                await until(lambda: one.linked())
                assert two.messages == []

    run(main())


def test_rule_52_what_a_delay_holds_back_is_bounded() -> None:
    async def main() -> None:
        from node_runtime.messages import Forward, Message
        from node_runtime.peer_out import MAX_QUEUE

        one, two = peers_of(2)
        async with one, two:
            await until(lambda: one.linked())
            one.add_fault(steady_ticks(), kind="delay", amount=60_000)
            for _ in range(100):
                one.say(1, Forward(1, (Message(1, 0, "c", 1, b"x" * 200_000),)))
            state = one.transport.links()[1]
            assert 0 < state.queued <= MAX_QUEUE
            assert state.dropped > 50

    run(main())
