"""Checkers of what clients are promised (promises 1, 2, 5 and 8, RULES E)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tests.simulation.checkers import Checker, Violation

if TYPE_CHECKING:
    from tests.simulation.clients import Line
    from tests.simulation.world import World


class AckedIsWritten(Checker):
    """Promise 1 and rule 37: what is acknowledged is decided, on a majority's disks, and in the file at that moment.

    Under `world.cut_by_hand` the file may have been cut just then; after a loss of power it is a matter of repair.
    """

    def on_ack(self, world: World, line: Line, seq: int, round_: int | None, offset: int | None) -> None:
        session = line.client.session
        placed = world.truth.placed.get((session, seq))
        if placed is None:
            raise Violation(self, f"{session}:{seq} was acknowledged and is not decided")
        if round_ is not None and (round_, offset) != (placed.round, placed.offset):
            raise Violation(self, f"{session}:{seq} was acknowledged at {(round_, offset)}, it stands at {placed[1:3]}")
        digest = world.truth.rounds[placed.round - 1].digest
        holders = [node.id for node in world.nodes if node.durable.get(placed.round) == digest or node.rot]
        if len(holders) * 2 <= len(world.nodes):
            raise Violation(self, f"{session}:{seq} was acknowledged while only {holders} hold its round")
        if not world.cut_by_hand and world.seen(placed.offset, len(placed.block)) != placed.block:
            raise Violation(self, f"{session}:{seq} was acknowledged, but does not stand at byte {placed.offset}")


class RepliesInOrder(Checker):
    """DESIGN section 5: on one connection the answers to a session come in seq order, each once."""

    def on_ack(self, world: World, line: Line, seq: int, round_: int | None, offset: int | None) -> None:
        if seq <= line.answered:
            raise Violation(self, f"{line.client.session}:{seq} was acknowledged behind {line.answered} on the same connection")
        line.answered = seq


class NothingLost(Checker):
    """Promises 1 and 2 on the final file alone, line by line, without the nodes' code: each acknowledged block, once."""

    def at_end(self, world: World) -> None:
        lines = world.content().decode().split("\n")
        blocks: dict[tuple[str, str], int] = {}
        for head, body in pairwise(lines):
            if head.startswith("Container "):
                blocks[head, body] = blocks.get((head, body), 0) + 1
        found: dict[str, int] = {}
        for (_, body), count in blocks.items():
            found[body] = found.get(body, 0) + count
        for (session, seq), (time, text) in world.texts.items():
            body = f"Mensagem: client {session} time: {time} - message: {text}"
            count = found.pop(body, 0)
            if count > 1:
                raise Violation(self, f"{session}:{seq} stands {count} times in the file")
            if not count and (session, seq) in world.acked:
                raise Violation(self, f"{session}:{seq} was acknowledged and is not in the file")
        if found:
            raise Violation(self, f"nobody sent {next(iter(found))!r}, which stands in the file")


class RealTime(Checker):
    """Promise 5: what was acknowledged before another message was sent stands before it."""

    def at_end(self, world: World) -> None:
        placed = world.truth.placed
        latest_invoke = -1
        for key in sorted(placed, key=lambda key: placed[key].place):
            acked = world.acked.get(key)
            if acked is not None and acked < latest_invoke:
                raise Violation(self, f"{key}, acknowledged at {acked}, stands behind a message sent at {latest_invoke}")
            latest_invoke = max(latest_invoke, world.invoked[key])


class Converged(Checker):
    """Promise 8: when all has healed, all nodes run, all clients are answered and all agree, sessions too (rule 34)."""

    def at_end(self, world: World) -> None:
        waiting = [client.session for client in world.clients if not client.finished]
        if waiting:
            raise Violation(self, f"clients {waiting} were not answered within {world.plan.heal_for} us of healing")
        down = [node.id for node in world.nodes if node.core is None]
        if down:
            raise Violation(self, f"nodes {down} do not run")
        states = [node.state for node in world.nodes]
        ends = {(state.log.last.digest, state.log.decided) for state in states}
        if len(ends) > 1 or states[0].log.decided != len(world.truth.rounds):
            raise Violation(self, f"logs end differently: {[(s.me, s.log.decided, s.log.last.index) for s in states]}")
        for state in states:
            table = {session: place.last for session, place in state.log.sessions.snapshot().items()}
            if table != world.truth.last:
                raise Violation(self, f"node {state.me} has the sessions {table}, decided are {world.truth.last}")
        if any(state.recovering for state in states):
            raise Violation(self, f"nodes {[state.me for state in states if state.recovering]} never recovered")


def promise_checkers() -> list[Checker]:
    """One of each."""
    return [AckedIsWritten(), RepliesInOrder(), NothingLost(), RealTime(), Converged()]
