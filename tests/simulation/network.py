"""The network between simulated nodes: loss, delay, doubles, reordering, stale replay, reconnects, cuts of every shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from node_runtime.messages import NodeId, PeerMessage
from tests.simulation.plan import MILLI
from tests.simulation.shapes import Link

if TYPE_CHECKING:
    from tests.simulation.world import World

BASE_DELAY = (50, 300)


class Network:
    """Directed links. Without faults each link is first in, first out, as TCP is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last: dict[Link, int] = {}
        self._cuts: dict[int, frozenset[Link]] = {}
        self._numbers = 0
        self._cut: frozenset[Link] = frozenset()
        self._connection: dict[Link, int] = {}
        self.loss = self.duplicate = self.reorder = self.replay = 0.0
        self.extra_delay = 0
        self.sent = self.delivered = 0

    # --- faults ---

    def cut(self, links: Iterable[Link]) -> int:
        """Cut directed links, silently, until the cut of this number is healed."""
        self._numbers += 1
        self._cuts[self._numbers] = frozenset(links)
        self._cut = frozenset().union(*self._cuts.values())
        return self._numbers

    def heal(self, number: int | None = None) -> None:
        """End one cut, or all."""
        if number is None:
            self._cuts.clear()
        else:
            self._cuts.pop(number, None)
        self._cut = frozenset().union(*self._cuts.values())

    def drop_all(self) -> None:
        """No connection outlives a loss of power on both ends."""
        for sender in self._world.nodes:
            for receiver in self._world.nodes:
                self._break((sender.id, receiver.id))

    def reconnect(self, sender: NodeId, receiver: NodeId) -> None:
        """A connection breaks with what is under way on it, and is made again a little later (rule 53)."""
        world = self._world
        if sender == receiver:
            return
        if world.rng.random() < 0.5:  # else what is under way on the old one still arrives, beside the new one's
            self._break((sender, receiver))
        node = world.nodes[sender]
        node.link(receiver, False)
        world.after(world.rng.randint(50, 500) * MILLI, lambda: node.link(receiver, True))

    def _break(self, link: Link) -> None:
        self._connection[link] = self._connection.get(link, 0) + 1

    # --- messages ---

    def send(self, sender: NodeId, receiver: NodeId, message: PeerMessage) -> None:
        """Deliver a message some time later, or not at all, or twice."""
        world, rng, link = self._world, self._world.rng, (sender, receiver)
        self.sent += 1
        if link in self._cut or (self.loss and rng.random() < self.loss):
            return
        delay = rng.randint(*BASE_DELAY) + (rng.randint(0, self.extra_delay) if self.extra_delay else 0)
        due = world.now + delay
        if not (self.reorder and rng.random() < self.reorder):
            due = max(due, self._last.get(link, 0))
            self._last[link] = due
        self._deliver_at(due, link, message)
        if self.duplicate and rng.random() < self.duplicate:
            self._deliver_at(due + rng.randint(0, 50 * MILLI), link, message)
        if self.replay and rng.random() < self.replay:
            self._deliver_at(due + rng.randint(100, 3000) * MILLI, link, message)

    def _deliver_at(self, due: int, link: Link, message: PeerMessage) -> None:
        world = self._world
        connection = self._connection.get(link, 0)

        def deliver() -> None:
            if connection == self._connection.get(link, 0) and link not in self._cut:
                self.delivered += 1
                world.nodes[link[1]].receive(link[0], message)

        world.after(due - world.now, deliver)

    # --- connections ---

    def link_down(self, node: NodeId) -> None:
        """A process is gone: the others' connections to it break after a moment."""
        self._tell(node, up=False)

    def link_up(self, node: NodeId) -> None:
        """A process is back: connections are made both ways."""
        self._tell(node, up=True)

    def _tell(self, node: NodeId, *, up: bool) -> None:
        world = self._world
        for other in world.nodes:
            if other.id == node:
                continue
            delay = world.rng.randint(100, 5000)
            if other.core is not None:
                world.after(delay, lambda other=other: other.link(node, up))  # type: ignore[misc]
                if up:
                    back = world.nodes[node]
                    world.after(delay, lambda other=other, back=back: back.link(other.id, True))  # type: ignore[misc]
