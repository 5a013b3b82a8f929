"""What breaks while a run lasts; each kind is on or off by the plan, and all of it heals at the end."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.disk import SimDisk
from tests.simulation.node_disk import CALLS, OUTPUT, STAGES, Doom
from tests.simulation.plan import MILLI, SECOND
from tests.simulation.rot import flip_somewhere
from tests.simulation.shapes import draw_cut

if TYPE_CHECKING:
    from tests.simulation.process import SimNode
    from tests.simulation.world import World


class FaultMaker:
    """Draws a fault from the plan's kinds every now and then."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._over = False
        self._kinds = sorted(world.plan.kinds & set(_STRIKES))

    def start(self) -> None:
        """Turn on what lasts for the whole fault phase, then strike again and again."""
        world = self._world
        network, kinds, rng = world.network, world.plan.kinds, world.rng
        network.loss = rng.choice((0.01, 0.1, 0.3)) if "loss" in kinds else 0.0
        network.extra_delay = rng.choice((5, 50, 400)) * MILLI if "delay" in kinds else 0
        network.duplicate = 0.1 if "duplicate" in kinds else 0.0
        network.reorder = 0.2 if "reorder" in kinds else 0.0
        network.replay = 0.03 if "replay" in kinds else 0.0
        for kind in sorted(kinds - set(_STRIKES)):
            world.totals.faults[kind] += 1
        for node in world.nodes:
            if "clock" in kinds:
                node.rate = rng.choice((0.9, 1.0, 1.0, 1.1, 1.5))
            if "die" in kinds and rng.random() < 0.5:
                node.doom = _doom(world)
        self._next()

    def heal_all(self) -> None:
        """Everything works from here on."""
        world = self._world
        self._over = True
        network = world.network
        network.loss = network.duplicate = network.reorder = network.replay = 0.0
        network.extra_delay = 0
        network.heal()
        world.shared.faults.clear()
        for node in world.nodes:
            node.disk.faults.clear()
            node.doom = None
            node.slow_until = 0
            if node.core is not None:
                node.storage.doom = None
            node.pause(False)
            node.boot()
            for other in world.nodes:
                if other is not node and node.core is not None:
                    node.link(other.id, True)

    def _next(self) -> None:
        if self._over or not self._kinds:
            return
        world, rng = self._world, self._world.rng
        kind = rng.choice(self._kinds)
        node = rng.choice(world.nodes)
        if rng.random() < 0.3:
            node = self._leader() or node
        world.trace(node.id, {"event": "fault", "kind": kind, "term": 0})
        world.totals.faults[kind] += 1
        _STRIKES[kind](world, node)
        world.after(rng.randint(1, world.plan.fault_every), self._next)

    def _leader(self) -> SimNode | None:
        leaders = [node for node in self._world.nodes if node.core is not None and node.core.state.leads]
        return leaders[-1] if leaders else None


# --- processes and machines ---


def _kill(world: World, node: SimNode) -> None:
    node.kill()
    world.after(world.rng.randint(1, 2000) * MILLI, node.boot)


def _die(world: World, node: SimNode) -> None:
    """The process dies in the middle of a call to its disk, in its work or while it starts."""
    if node.core is not None and world.rng.random() < 0.7:
        node.storage.doom = _doom(world)
        return
    node.doom = _doom(world)
    _kill(world, node)


def _doom(world: World) -> Doom:
    rng = world.rng
    return Doom(rng.choice((*CALLS, "any", "any", "pwrite", "fdatasync")), rng.choice((0, 0, 1, 2, 5, 20)), rng.choice(STAGES))


def _crash(world: World, node: SimNode) -> None:
    node.crash()
    world.after(world.rng.randint(1, 2000) * MILLI, node.boot)


def _power(world: World, _: SimNode) -> None:
    """All machines lose power at once, the one with the shared file too."""
    for node in world.nodes:
        node.crash()
        world.after(world.rng.randint(1, 1000) * MILLI, node.boot)
    world.network.drop_all()
    world.shared.crash()
    world.lose_power()


def _pause(world: World, node: SimNode) -> None:
    node.pause(True)
    world.after(world.rng.randint(10, 3000) * MILLI, lambda: node.pause(False))


def _clock(world: World, node: SimNode) -> None:
    """A jump forward, or back: the core's time stands still then."""
    node.skew += world.rng.choice((-2, -1, 1, 2, 30)) * SECOND // 2


# --- the network ---


def _partition(world: World, _: SimNode) -> None:
    """Any shape."""
    shape, links = draw_cut(len(world.nodes), world.rng)
    world.totals.shapes[shape] += 1
    world.trace(-1, {"event": "partition", "shape": shape, "cut": sorted(links)})
    _heal_later(world, world.network.cut(links))


def _one_way(world: World, node: SimNode) -> None:
    other = world.rng.choice(world.nodes)
    _heal_later(world, world.network.cut({(node.id, other.id)}))


def _heal_later(world: World, number: int) -> None:
    world.after(world.rng.randint(50, 4000) * MILLI, lambda: world.network.heal(number))


def _reconnect(world: World, node: SimNode) -> None:
    world.network.reconnect(node.id, world.rng.choice(world.nodes).id)


# --- disks ---


def _some_disk(world: World, node: SimNode) -> SimDisk:
    return world.rng.choice((node.disk, world.shared))


def _disk_error(world: World, node: SimNode) -> None:
    kind = world.rng.choice(("pwrite", "fdatasync", "pwrite", "fdatasync", "open", "pread", "rename", "allocate", "fsync_dir"))
    _some_disk(world, node).fail(kind, errno.EIO, after=world.rng.choice((1, 1, 2, 5)))


def _disk_full(world: World, node: SimNode) -> None:
    kind = world.rng.choice(("pwrite", "pwrite", "allocate"))
    _some_disk(world, node).fail(kind, errno.ENOSPC, times=world.rng.randint(1, 3))


def _torn_write(world: World, node: SimNode) -> None:
    """Short writes; the rest is the node's to write. (No kernel cuts the few bytes of a watermark in two.)"""
    _some_disk(world, node).fail("pwrite", 0, times=3, path=world.rng.choice((".log", "output.txt", "/state")))


def _fsync_slow(world: World, node: SimNode) -> None:
    node.slow_until = world.now + world.rng.randint(100, 3000) * MILLI


def _rot(world: World, node: SimNode) -> None:
    """A bit of a stopped node's disk flips; on a minority of the nodes, so that a majority is intact."""
    minority = (world.plan.nodes - 1) // 2
    if sum(other.rot > 0 for other in world.nodes) >= minority and not node.rot:
        return
    _kill(world, node)
    if flip_somewhere(world, node):
        node.rot += 1


# --- the shared file, by somebody else's hand ---


def _file_cut(world: World, _: SimNode) -> None:
    """Somebody deletes the tail of the shared file."""
    file = world.shared.names.get(OUTPUT)
    if file is not None and file.seen:
        world.cut_by_hand = True
        keep = world.rng.randrange(len(file.seen))
        del file.seen[keep:]
        file.touch(keep, keep + 1)


def _file_gone(world: World, _: SimNode) -> None:
    """Somebody removes the shared file."""
    if OUTPUT in world.shared.names:
        world.cut_by_hand = True
        storage = world.shared.mount()
        world.shared.faults.clear()
        storage.unlink(OUTPUT)
        storage.fsync_dir("/shared")
        storage.kill()


_STRIKES: dict[str, Callable[[World, SimNode], None]] = {
    "clock": _clock, "crash": _crash, "die": _die, "disk_error": _disk_error, "disk_full": _disk_full, "file_cut": _file_cut,
    "file_gone": _file_gone, "fsync_slow": _fsync_slow, "kill": _kill, "one_way": _one_way, "partition": _partition,
    "pause": _pause, "power": _power, "reconnect": _reconnect, "rot": _rot, "torn_write": _torn_write,
}  # fmt: skip
