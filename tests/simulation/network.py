"""The network between simulated nodes: loss, delay, doubles, reordering, stale replay, one-way cuts, partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node_runtime.messages import NodeId, PeerMessage
from tests.simulation.plan import MILLI

if TYPE_CHECKING:
    from tests.simulation.world import World

BASE_DELAY = (50, 300)


class Network:
    """Directed links. Without faults each link is first in, first out, as TCP is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last: dict[tuple[NodeId, NodeId], int] = {}
        self.cut: set[tuple[NodeId, NodeId]] = set()
        self.loss = self.duplicate = self.reorder = self.replay = 0.0
        self.extra_delay = 0
        self.sent = 0

    def send(self, sender: NodeId, receiver: NodeId, message: PeerMessage) -> None:
        """Deliver a message some time later, or not at all, or twice."""
        world, rng = self._world, self._world.rng
        self.sent += 1
        if (sender, receiver) in self.cut or (self.loss and rng.random() < self.loss):
            return
        delay = rng.randint(*BASE_DELAY) + (rng.randint(0, self.extra_delay) if self.extra_delay else 0)
        due = world.now + delay
        if not (self.reorder and rng.random() < self.reorder):
            due = max(due, self._last.get((sender, receiver), 0))
            self._last[sender, receiver] = due
        self._deliver_at(due, sender, receiver, message)
        if self.duplicate and rng.random() < self.duplicate:
            self._deliver_at(due + rng.randint(0, 50 * MILLI), sender, receiver, message)
        if self.replay and rng.random() < self.replay:
            self._deliver_at(due + rng.randint(100, 3000) * MILLI, sender, receiver, message)

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

    def _deliver_at(self, due: int, sender: NodeId, receiver: NodeId, message: PeerMessage) -> None:
        world = self._world
        world.after(due - world.now, lambda: world.nodes[receiver].receive(sender, message))
