"""Partitions of every shape: which directed links are cut, and what a cluster can still do with the others."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, pairwise, permutations

from node_runtime.quorum import majority

Link = tuple[int, int]


def all_links(nodes: int) -> frozenset[Link]:
    """Every directed link."""
    return frozenset(permutations(range(nodes), 2))


def both_ways(pairs: Iterable[Link]) -> set[Link]:
    """Undirected links as directed ones."""
    return {link for a, b in pairs for link in ((a, b), (b, a))}


def directed_graphs(nodes: int) -> Iterator[frozenset[Link]]:
    """Every set of directed links; 64 for three nodes."""
    return _subsets(sorted(all_links(nodes)))


def undirected_graphs(nodes: int) -> Iterator[frozenset[Link]]:
    """Every set of links that work both ways; 1,024 for five nodes."""
    for pairs in _subsets(list(combinations(range(nodes), 2))):
        yield frozenset(both_ways(pairs))


def _subsets(links: list[Link]) -> Iterator[frozenset[Link]]:
    for bits in range(1 << len(links)):
        yield frozenset(link for at, link in enumerate(links) if bits >> at & 1)


def connected_majority(nodes: int, links: Iterable[Link]) -> int | None:
    """A node that exchanges messages both ways with a majority, itself included; None where there is none.

    That is what a leader needs (rule 32); a majority that is connected only through third nodes has no leader.
    """
    there = set(links)
    for node in range(nodes):
        near = sum((node, other) in there and (other, node) in there for other in range(nodes) if other != node)
        if near + 1 >= majority(nodes):
            return node
    return None


# --- shapes: from the nodes, shuffled, to the links that stay ---


def _split(order: list[int], rng: random.Random) -> set[Link]:
    """Two sides, with or without a majority on either."""
    at = rng.randint(1, max(1, len(order) - 1))
    return _groups([order[:at], order[at:]])


def _islands(order: list[int], rng: random.Random) -> set[Link]:
    """Any number of sides."""
    sides: list[list[int]] = [[] for _ in range(rng.randint(2, max(2, len(order))))]
    for node in order:
        rng.choice(sides).append(node)
    return _groups(sides)


def _bridge(order: list[int], rng: random.Random) -> set[Link]:
    """Two sides that share one node."""
    at = rng.randint(0, len(order) - 1)
    return _groups([order[: at + 1], order[at:]])


def _ring(order: list[int], rng: random.Random) -> set[Link]:
    return both_ways(zip(order, order[1:] + order[:1], strict=True))


def _one_way_ring(order: list[int], rng: random.Random) -> set[Link]:
    return set(zip(order, order[1:] + order[:1], strict=True))


def _chain(order: list[int], rng: random.Random) -> set[Link]:
    return both_ways(pairwise(order))


def _star(order: list[int], rng: random.Random) -> set[Link]:
    return both_ways((order[0], other) for other in order[1:])


def _deaf(order: list[int], rng: random.Random) -> set[Link]:
    """One node hears nobody."""
    return {link for link in permutations(order, 2) if link[1] != order[0]}


def _mute(order: list[int], rng: random.Random) -> set[Link]:
    """One node is heard by nobody."""
    return {link for link in permutations(order, 2) if link[0] != order[0]}


def _half_split(order: list[int], rng: random.Random) -> set[Link]:
    """Two sides; only one of them hears the other."""
    at = rng.randint(1, max(1, len(order) - 1))
    return _groups([order[:at], order[at:]]) | {(a, b) for a in order[:at] for b in order[at:]}


def _some(order: list[int], rng: random.Random) -> set[Link]:
    """Any directed graph."""
    return {link for link in permutations(order, 2) if rng.random() < 0.6}


def _groups(groups: list[list[int]]) -> set[Link]:
    return {link for group in groups for link in permutations(group, 2)}


SHAPES: dict[str, Callable[[list[int], random.Random], set[Link]]] = {
    "split": _split, "islands": _islands, "bridge": _bridge, "ring": _ring, "one_way_ring": _one_way_ring, "chain": _chain,
    "star": _star, "deaf": _deaf, "mute": _mute, "half_split": _half_split, "some": _some,
}  # fmt: skip


def draw_cut(nodes: int, rng: random.Random) -> tuple[str, frozenset[Link]]:
    """A shape by name, and the links that it cuts."""
    name = rng.choice(sorted(SHAPES))
    order = list(range(nodes))
    rng.shuffle(order)
    return name, all_links(nodes) - SHAPES[name](order, rng)
