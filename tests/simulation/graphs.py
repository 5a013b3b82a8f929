"""What a cluster does while only some of its links work: writes go on where a majority is connected, else clients are told.

The bound is generous (an old leader has to step down, a new one to be elected, a turn may stall), and yet it is a bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.simulation.checkers import Violation
from tests.simulation.clients import SimClient
from tests.simulation.plan import SECOND, Plan
from tests.simulation.shapes import Link, all_links, connected_majority
from tests.simulation.world import World

BEFORE, DURING, AFTER = 2, 3, 2  # messages of each client
FIRST_BOUND = 6 * SECOND  # until the first message is answered
BOUND = 30 * SECOND  # until all are, those too whose clients have to go from node to node
SILENCE = 4 * SECOND  # longer than a message may wait for its answer


class OrderlyClient(SimClient):
    """Waits longer than a node does, so that it hears the answer, and then goes on to the next node."""

    patience = 5 * SECOND

    def elsewhere(self) -> int:
        return (self.line.node + 1) % self.world.plan.nodes


@dataclass(frozen=True)
class Outcome:
    """What a graph allowed: how long until the first message was answered, None where they were refused."""

    took: int | None
    events: int


def try_graph(nodes: int, links: Iterable[Link], seed: int, writer: str = "turns") -> Outcome:
    """A cluster starts, loses all but these links, then gets them back; every checker watches.

    Each node has a client that goes on to another node when it is refused.

    Raises: Violation.
    """
    there = frozenset(links)
    plan = Plan.calm(seed, nodes=nodes, clients=nodes, messages=BEFORE, writer=writer, kinds=frozenset({"failover"}))
    world = World(plan, client=OrderlyClient)
    world.start()
    _all_answered(world, "before any link was cut")
    world.network.cut(all_links(nodes) - there)
    start, decided = world.now, len(world.truth.rounds)
    able = connected_majority(nodes, there) is not None
    for client in world.clients:
        client.codes.clear()
        more(client, DURING)
    took = None
    if able:
        took = _first_answered(world, there)
        _all_answered(world, f"with the links {sorted(there)}")
    else:
        world.run_until(lambda: world.now > start + SILENCE)
        _all_refused(world, decided, there)
    world.network.heal()
    for client in world.clients:
        more(client, AFTER)
    _all_answered(world, f"after the links {sorted(there)} were healed")
    limit = world.now + BOUND
    world.run_until(lambda: world.settled() or world.now > limit)
    world.finish()
    return Outcome(took, world.totals.events)


def more(client: SimClient, count: int) -> None:
    """Have a client send some more."""
    done = client.finished
    client.most += count
    if done:
        client.start()


def _first_answered(world: World, links: frozenset[Link]) -> int:
    start, acked = world.now, world.totals.acked
    world.run_until(lambda: world.totals.acked > acked or world.now > start + FIRST_BOUND)
    if world.totals.acked == acked:
        raise Violation("ConnectedMajorityGoesOn", f"nothing was answered for {FIRST_BOUND} us with the links {sorted(links)}")
    return world.now - start


def _all_answered(world: World, when: str) -> None:
    limit = world.now + BOUND
    if not world.run_until(lambda: all(client.finished for client in world.clients) or world.now > limit) or world.now > limit:
        waiting = [client.session for client in world.clients if not client.finished]
        raise Violation("ConnectedMajorityGoesOn", f"clients {waiting} were not answered within {BOUND} us {when}")


def _all_refused(world: World, decided: int, links: frozenset[Link]) -> None:
    if len(world.truth.rounds) > decided + 1:  # the ballot that was under way may have been confirmed already
        raise Violation("MinorityDecidesNothing", f"rounds were decided with the links {sorted(links)}")
    silent = [client.session for client in world.clients if "no_quorum" not in client.codes]
    if silent:
        raise Violation("MinoritySaysSo", f"clients {silent} were not told with the links {sorted(links)}")
