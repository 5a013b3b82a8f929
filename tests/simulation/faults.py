"""What breaks while a run lasts; each kind is on or off by the plan, and all of it heals at the end."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.plan import MILLI, SECOND

if TYPE_CHECKING:
    from tests.simulation.world import SimNode, World


class FaultMaker:
    """Draws a fault from the plan's kinds every now and then."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._over = False
        self._kinds = sorted(world.plan.kinds & set(_STRIKES))

    def start(self) -> None:
        """Turn on what lasts for the whole fault phase, then strike again and again."""
        network, kinds, rng = self._world.network, self._world.plan.kinds, self._world.rng
        network.loss = rng.choice((0.01, 0.1, 0.3)) if "loss" in kinds else 0.0
        network.extra_delay = rng.choice((5, 50, 400)) * MILLI if "delay" in kinds else 0
        network.duplicate = 0.1 if "duplicate" in kinds else 0.0
        network.reorder = 0.2 if "reorder" in kinds else 0.0
        network.replay = 0.03 if "replay" in kinds else 0.0
        self._world.kill_chance = 0.002 if "kill" in kinds else 0.0
        for node in self._world.nodes:
            if "clock" in kinds:
                node.rate = rng.choice((0.9, 1.0, 1.0, 1.1, 1.5))
        self._next()

    def heal_all(self) -> None:
        """Everything works from here on."""
        world = self._world
        self._over = True
        network = world.network
        network.loss = network.duplicate = network.reorder = network.replay = 0.0
        network.extra_delay = 0
        network.cut.clear()
        world.kill_chance = 0.0
        world.shared.faults.clear()
        for node in world.nodes:
            node.disk.faults.clear()
            node.pause(False)
            if node.core is not None:
                node.storage.calls_left = None
            node.boot()
            for other in world.nodes:
                if other is not node and node.core is not None:
                    node.link(other.id, True)

    def _next(self) -> None:
        if self._over or not self._kinds:
            return
        rng = self._world.rng
        kind = rng.choice(self._kinds)
        node = rng.choice(self._world.nodes)
        if rng.random() < 0.3:
            node = self._leader() or node
        self._world.trace(node.id, {"event": "fault", "kind": kind})
        _STRIKES[kind](self._world, node)
        self._world.after(rng.randint(1, self._world.plan.fault_every), self._next)

    def _leader(self) -> SimNode | None:
        leaders = [node for node in self._world.nodes if node.core is not None and node.core.state.leads]
        return leaders[-1] if leaders else None


def _kill(world: World, node: SimNode) -> None:
    node.kill()
    world.after(world.rng.randint(1, 2000) * MILLI, node.boot)


def _crash(world: World, node: SimNode) -> None:
    node.crash()
    world.after(world.rng.randint(1, 2000) * MILLI, node.boot)


def _power(world: World, _: SimNode) -> None:
    """All machines lose power at once, the one with the shared file too."""
    for node in world.nodes:
        node.crash()
        world.after(world.rng.randint(1, 1000) * MILLI, node.boot)
    world.shared.crash()


def _pause(world: World, node: SimNode) -> None:
    node.pause(True)
    world.after(world.rng.randint(10, 3000) * MILLI, lambda: node.pause(False))


def _partition(world: World, _: SimNode) -> None:
    """Any split in two, with or without a majority on either side."""
    side = {node.id for node in world.nodes if world.rng.random() < 0.5}
    cut = {(a.id, b.id) for a in world.nodes for b in world.nodes if (a.id in side) != (b.id in side)}
    _cut_for_a_while(world, cut)


def _one_way(world: World, node: SimNode) -> None:
    other = world.rng.choice(world.nodes)
    _cut_for_a_while(world, {(node.id, other.id)})


def _cut_for_a_while(world: World, cut: set[tuple[int, int]]) -> None:
    world.network.cut |= cut
    world.after(world.rng.randint(50, 4000) * MILLI, lambda: world.network.cut.difference_update(cut))


def _clock(world: World, node: SimNode) -> None:
    """A jump forward, or back: the core's time stands still then."""
    node.skew += world.rng.choice((-2, -1, 1, 2, 30)) * SECOND // 2


def _disk_error(world: World, node: SimNode) -> None:
    disk = world.rng.choice((node.disk, world.shared))
    disk.fail(world.rng.choice(("pwrite", "fdatasync")), errno.EIO)


def _disk_full(world: World, node: SimNode) -> None:
    disk = world.rng.choice((node.disk, world.shared))
    disk.fail("pwrite", errno.ENOSPC, times=world.rng.randint(1, 3))


def _torn_write(world: World, node: SimNode) -> None:
    disk = world.rng.choice((node.disk, world.shared))
    disk.fail("pwrite", 0, times=3)


def _rot(world: World, node: SimNode) -> None:
    """A bit of a stopped node's journal flips; one node at a time, so that a majority is intact."""
    minority = (world.plan.nodes - 1) // 2
    if sum(other.rot > 0 for other in world.nodes) >= minority and not node.rot:
        return
    node.kill()
    world.after(world.rng.randint(1, 2000) * MILLI, node.boot)
    names = sorted(name for name in node.disk.names if "/journal/" in name and name.endswith(".log"))
    if names:
        name = world.rng.choice(names)
        used = len(node.disk.content(name).rstrip(b"\0"))
        node.disk.flip(name, world.rng.randrange(max(1, used)), world.rng.randrange(8))
        node.rot += 1


def _file_cut(world: World, _: SimNode) -> None:
    """Somebody deletes the tail of the shared file."""
    from tests.simulation.world import OUTPUT

    file = world.shared.names.get(OUTPUT)
    if file is not None and file.seen:
        world.cut_by_hand = True
        keep = world.rng.randrange(len(file.seen))
        del file.seen[keep:]
        file.touch(keep, keep + 1)


_STRIKES: dict[str, Callable[[World, SimNode], None]] = {
    "kill": _kill,
    "crash": _crash,
    "power": _power,
    "pause": _pause,
    "partition": _partition,
    "one_way": _one_way,
    "clock": _clock,
    "disk_error": _disk_error,
    "disk_full": _disk_full,
    "torn_write": _torn_write,
    "rot": _rot,
    "file_cut": _file_cut,
}
