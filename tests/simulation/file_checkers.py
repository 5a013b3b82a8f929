"""Checkers of the shared file and of those who write it (promises 4, 6 and 7, RULES F)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from node_runtime.messages import NodeId
from node_runtime.state import WriteTurn
from tests.simulation.checkers import Checker, Violation

if TYPE_CHECKING:
    from tests.simulation.process import SimNode
    from tests.simulation.world import World


def first_difference(left: bytes | bytearray, right: bytes | bytearray) -> int:
    """Where two byte strings part."""
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


class FileFollowsLog(Checker):
    """Promises 3, 4 and 6, rules 39 and 41: each write puts decided bytes at their place and leaves no hole."""

    def on_write(self, world: World, node: SimNode, start: int, data: bytes) -> None:
        if world.truth.file[start : start + len(data)] != data:
            raise Violation(self, f"node {node.id} wrote at {start} what is not decided there: {data[:60]!r}")
        if start > world.file_size:
            raise Violation(self, f"node {node.id} wrote at {start}, behind the end {world.file_size}")

    def at_end(self, world: World) -> None:
        found = world.content()
        if found != world.truth.file:
            at = first_difference(found, world.truth.file)
            raise Violation(self, f"the file differs from the log at byte {at} ({len(found)} of {len(world.truth.file)} bytes)")


class AlwaysAPrefix(Checker):
    """Promise 7, as a reader sees it at random moments: a prefix of what was decided, and never less than before.

    After a loss of power the file may lack what was not synced, until a leader of a newer term has repaired it, which it
    does before it grants anything. Where somebody has cut the file, it may be shorter, but a prefix still.
    """

    def __init__(self) -> None:
        self.longest = 0
        self.newest = 0
        self.before: int | None = None  # the newest term when power was lost

    def on_trace(self, world: World, node: SimNode, event: dict[str, Any]) -> None:
        self.newest = max(self.newest, event["term"])
        if world.power_lost and self.before is None:
            self.before = self.newest
        if self.before is not None and event["event"] == "grant" and event["term"] > self.before:
            self.before, world.power_lost, self.longest = None, False, 0

    def on_read(self, world: World, content: bytes) -> None:
        if world.power_lost:
            return
        if not world.truth.file.startswith(content):
            at = first_difference(content, world.truth.file)
            raise Violation(self, f"at {at} of {len(content)} a reader sees what is not decided: {content[at : at + 50]!r}")
        if len(content) < self.longest and not world.cut_by_hand:
            raise Violation(self, f"a reader sees {len(content)} bytes after it had seen {self.longest}")
        self.longest = len(content)


class OneWriter(Checker):
    """Promise 6, rule 42: the permission is one token. Its turns are written one after the other, each by one node.

    Within an attempt the turns go on without a step left out; a new attempt starts no further than the old ones came. A
    turn may be written again (a grant that came twice, over a restart), but by the same node.
    """

    def __init__(self) -> None:
        self.next: dict[tuple[int, int, int], int] = {}
        self.furthest: dict[tuple[int, int], int] = {}
        self.writers: dict[tuple[int, int, int, int], NodeId] = {}

    def on_turn(self, world: World, node: SimNode, write: WriteTurn) -> None:
        token = (write.term, write.round, write.attempt)
        furthest = self.furthest.get(token[:2], 0)
        expected = self.next.get(token)
        if write.turn > (furthest if expected is None else expected):
            raise Violation(self, f"node {node.id} wrote turn {write.turn} of {token}, of which {expected} is next")
        for turn in range(write.turn, write.upto + 1):
            if self.writers.setdefault((*token, turn), node.id) != node.id:
                raise Violation(self, f"turn {turn} of {token} was written by {self.writers[*token, turn]} and {node.id}")
        self.next[token] = max(expected or 0, write.upto + 1)
        self.furthest[token[:2]] = max(furthest, write.upto + 1)


class WrittenIsTrue(Checker):
    """Promise 1: what a node takes for written is in the file. Rule 44: what it takes for fsynced survives any crash."""

    def on_written(self, world: World, node: SimNode, written: int, synced: int) -> None:
        truth = world.truth
        if max(written, synced) > len(truth.rounds):
            raise Violation(self, f"node {node.id} takes round {max(written, synced)} of {len(truth.rounds)} for written")
        if world.cut_by_hand or world.power_lost:
            return
        if world.file_size < truth.ends[written]:
            raise Violation(self, f"node {node.id} takes round {written} for written, but the file has {world.file_size} bytes")
        if not world.stored(truth.ends[synced]) == truth.file[: truth.ends[synced]]:
            raise Violation(self, f"node {node.id} takes round {synced} for fsynced, but the disk has less")


def file_checkers() -> list[Checker]:
    """One of each; `OnlyWrites` (rule 40) is held by `World.forbidden`."""
    return [FileFollowsLog(), AlwaysAPrefix(), OneWriter(), WrittenIsTrue()]
