"""`bench` on the local engine: what it counts is in the file, and a node that dies meanwhile does not stop it."""

from __future__ import annotations

import json
import re

from tests.e2e.local.cluster import Cluster


def test_what_bench_counts_is_in_the_file(five: Cluster) -> None:
    said = json.loads(five.cli("bench", "--for", "0.5", "--clients", "7", "--in-flight", "8", "--json").stdout)
    assert (said["clients"], said["nodes"], said["unknown"]) == (7, 5, 0)
    written = re.findall(rf"client {said['name']}\.\d+ time: \d+ - message: \d{{16}}\n".encode(), five.data())
    assert len(written) == said["acked"] > 0
    assert said["p50_us"] > 0


def test_bench_goes_on_when_a_node_dies_and_says_so(five: Cluster) -> None:
    process = five.begin("bench", "--for", "3")
    before = five.output.stat().st_size
    while five.output.stat().st_size == before and process.poll() is None:
        pass  # until the load has begun
    five.cli("kill", "3")
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    five.cli("start", "3")


def test_a_plan_that_cannot_be_is_a_usage_error(five: Cluster) -> None:
    assert "--in-flight" in five.cli("bench", "--in-flight", "0", code=2).stderr


def test_without_nodes_bench_says_what_to_do(five: Cluster) -> None:
    five.cli("down")
    assert "votesync up" in five.cli("bench", code=1).stderr
