"""All graphs of links (rule 32): what has a connected majority goes on within a bound, what has none says so, all heal."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.simulation.graphs import Outcome, try_graph
from tests.simulation.shapes import all_links, both_ways, connected_majority, directed_graphs, undirected_graphs

SLICES = 16


def test_there_are_as_many_graphs_as_there_should_be() -> None:
    assert len(set(directed_graphs(3))) == 64
    assert len(set(undirected_graphs(5))) == 1024
    refused = [graph for graph in undirected_graphs(5) if connected_majority(5, graph) is None]
    assert len(refused) == 26, "no link, one link, or two links that share no node"


def test_what_a_connected_majority_is() -> None:
    assert connected_majority(3, both_ways([(0, 1)])) == 0
    assert connected_majority(3, {(0, 1), (1, 2), (2, 0)}) is None, "a ring in one direction carries no answer"
    assert connected_majority(5, both_ways([(0, 2), (1, 2)])) == 2
    assert connected_majority(5, both_ways([(0, 1), (2, 3)])) is None
    assert connected_majority(4, both_ways([(0, 1), (2, 3)])) is None
    assert connected_majority(1, ()) == 0


@pytest.mark.parametrize("part", range(SLICES))
def test_all_1024_undirected_graphs_of_five(part: int) -> None:
    for number, links in list(enumerate(undirected_graphs(5)))[part::SLICES]:
        outcome = try_graph(5, links, number, "winner" if number % 3 == 0 else "turns")
        assert (outcome.took is None) == (connected_majority(5, links) is None)


@pytest.mark.parametrize("writer", ["turns", "winner"])
def test_all_64_directed_graphs_of_three(writer: str) -> None:
    for number, links in enumerate(directed_graphs(3)):
        outcome = try_graph(3, links, number, writer)
        assert (outcome.took is None) == (connected_majority(3, links) is None)


@pytest.mark.parametrize("nodes", [2, 4, 6, 7, 9])
def test_chains_rings_and_stars_of_other_sizes(nodes: int) -> None:
    chain = both_ways((node, node + 1) for node in range(nodes - 1))
    ring = chain | both_ways([(0, nodes - 1)]) if nodes > 2 else chain
    star = both_ways((0, node) for node in range(1, nodes))
    for seed, links in enumerate((chain, ring, star, all_links(nodes))):
        assert isinstance(try_graph(nodes, links, seed), Outcome)


def test_a_bridge_between_two_halves_carries_the_cluster() -> None:
    halves = both_ways([*permutations((0, 1, 2), 2), *permutations((2, 3, 4), 2)])
    outcome = try_graph(5, halves, 7)
    assert outcome.took is not None
