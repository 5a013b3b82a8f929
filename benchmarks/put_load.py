"""`python -m benchmarks.put_load`: one process that puts load on etcd members, and prints what came of it as one JSON line."""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.grpc_wire import PutWire
from node_runtime.bench_lanes import Lane, Load, Plan, report
from node_runtime.config import Address
from node_runtime.messages import NodeId
from node_runtime.records import native_block


def main() -> int:
    """A client for each --port, with as many puts under way as asked for."""
    parser = argparse.ArgumentParser(prog="put_load")
    parser.add_argument("--port", type=int, action="append", required=True)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm_up", type=float, required=True)
    parser.add_argument("--size", type=int, required=True)
    options = parser.parse_args()
    plan = Plan(len(options.port), options.in_flight, options.size, options.seconds, options.warm_up)
    block = len(native_block(NodeId(0), "bench.0", 1_700_000_000_000_000, "x" * options.size))
    made = []
    for client, port in enumerate(options.port):
        wire = PutWire(f"{options.name}/{client}", f"127.0.0.1:{port}", block)
        made.append(lambda tally, wire=wire, port=port: Lane(wire, [Address("127.0.0.1", port)], plan.in_flight, tally))
    load = Load(plan, made, endure=False)
    load.run()
    sys.stdout.write(json.dumps(report(plan, load)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
