"""Rot: one bit of a stopped node's journal flips, never where the journal cannot know better (docs/decisions/0004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node_runtime.journal_frames import SEGMENT_HEADER, FrameReader, Owner, first_frame

if TYPE_CHECKING:
    from tests.simulation.process import SimNode
    from tests.simulation.world import World

STATE = "/data/state"
PROMISED = "/data/promised"


def flip_somewhere(world: World, node: SimNode) -> bool:
    """Flip one bit; whether there was anything to flip.

    Of the state file at most one copy between two starts. Where power is lost too, never in the last frame: with the
    unsynced watermark gone that looks like a torn write, which the decision record states as a limit.
    """
    rng, disk = world.rng, node.disk
    segments = sorted(name for name in disk.names if "/journal/" in name and name.endswith(".log"))
    what = rng.choice(("log", "log", "log", "state", "promised"))
    if what == "state" and STATE in disk.names and not node.rotted_state:
        node.rotted_state = True
        disk.flip(STATE, rng.randrange(max(1, len(disk.content(STATE)))), rng.randrange(8))
        return True
    if what == "promised" and PROMISED in disk.names and disk.content(PROMISED):
        disk.flip(PROMISED, rng.randrange(len(disk.content(PROMISED))), rng.randrange(8))
        return True
    spans = [(name, low, high) for name in segments for low, high in _frames(node, name)]
    if world.plan.kinds & {"power", "crash"}:
        spans = spans[:-1]
    if not spans:
        return False
    name, low, high = rng.choice(spans)
    disk.flip(name, rng.randrange(low, high), rng.randrange(8))
    return True


def _frames(node: SimNode, name: str) -> list[tuple[int, int]]:
    """The sound frames of a segment as [start, end)."""
    storage = node.disk.mount()
    faults, node.disk.faults = node.disk.faults, []
    try:
        handle = storage.open(name)
        owner = Owner(node.config().cluster_tag, node.id)
        reader = FrameReader(storage, handle, storage.info(handle).size, owner.seed)
        header = storage.pread(handle, SEGMENT_HEADER, 0)
        if first_frame(header, name, owner, int(name[-12:-4])) is None:
            return []
        return [(frame.start, frame.end) for frame in reader.frames(SEGMENT_HEADER)]
    finally:
        storage.kill()
        node.disk.faults = faults
