"""`python -m node_runtime bench`: load on running nodes through the client port, as many messages as they acknowledge.

A client is a connection with a session of its own that keeps `in_flight` messages unacknowledged. What it may send
when answers have come goes out as one batch. A client whose node goes away continues at the next one.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from node_runtime.bench_lanes import Lane, Load, Plan, Tally, WireError, report
from node_runtime.config import Address, parse_peers
from node_runtime.errors import ConfigError, NodeError

_LINE = 60 * 1024  # bytes of one request, below the 64 KiB that a node takes


class VotesyncWire:
    """The native protocol: a line for one message, a batch for more."""

    def __init__(self, session: str, size: int) -> None:
        self._session = session
        self._size = size
        self._next = 1
        self._acked = 0
        self._rest = b""
        self._single = f'{{"op":"append","session":"{session}","seq":%d,"time":%d,"message":"%s"}}\n'
        self._batch = f'{{"op":"append","session":"{session}","seq":%d,"messages":[%s]}}\n'
        self._most = max(1, _LINE // (size + 24))

    def greet(self) -> bytes:
        """A new session needs no greeting."""
        return b""

    def again(self) -> bytes:
        """Whatever was under way is sent again, under the same numbers: nothing is written twice."""
        self._rest, self._next = b"", self._acked + 1
        return f'{{"op":"hello","session":"{self._session}"}}\n'.encode()

    def requests(self, count: int) -> bytes:
        """See `Wire`. A text is the number of its message; messages of a call have the same time, which numbers order."""
        first, size, stamp = self._next, self._size, time.time_ns() // 1000
        self._next += count
        if count == 1:
            return (self._single % (first, stamp, f"{first:0>{size}}")).encode()
        lines = []
        for start in range(first, first + count, self._most):
            pairs = ",".join([f'[{stamp},"{seq:0>{size}}"]' for seq in range(start, min(start + self._most, first + count))])
            lines.append(self._batch % (start, pairs))
        return "".join(lines).encode()

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """See `Wire`. Acks are cumulative: a session's messages are decided in order."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        acked = self._acked
        for line in lines:
            reply: dict[str, Any] = json.loads(line)
            if not reply["ok"]:
                raise WireError(str(reply.get("code", "refused")))
            acked = max(acked, reply.get("seq") or reply.get("last_seq") or 0)
        news, self._acked = acked - self._acked, acked
        self._next = max(self._next, acked + 1)
        return news, b""


def run(plan: Plan, addresses: Sequence[Address], name: str, first: int = 0) -> dict[str, Any]:
    """Load on votesync's nodes: client i speaks to address i, over and over. Returns `report`.

    Raises: OSError where a node cannot be reached at first.
    """

    def lane(client: int) -> Callable[[Tally], Lane]:
        at = client % len(addresses)
        own_first = [*addresses[at:], *addresses[:at]]
        wire = VotesyncWire(f"{name}.{first + client}", plan.size)
        return lambda tally: Lane(wire, own_first, plan.in_flight, tally)

    load = Load(plan, [lane(client) for client in range(plan.clients)], endure=True)
    load.run()
    return report(plan, load)


def main(argv: Sequence[str]) -> int:
    """`bench`: one JSON line on stdout; exit code 0 where anything was acknowledged."""
    parser = argparse.ArgumentParser(prog="bench", description="Load on running nodes; one JSON line of what came of it.")
    parser.add_argument("--node", action="append", required=True, metavar="HOST:PORT", help="a node's client port; repeat it")
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--in-flight", type=int, default=1, help="messages a client has unacknowledged (default: 1)")
    parser.add_argument("--size", type=int, default=16, help="bytes of a message's text (default: 16)")
    parser.add_argument("--for", type=float, default=10.0, dest="seconds", help="seconds (default: 10)")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before, which do not count (default: 0.5)")
    parser.add_argument("--name", default=f"bench-{secrets.token_hex(4)}", help="what the sessions' names begin with")
    parser.add_argument("--first", type=int, default=0, help="the number of the first client")
    options = parser.parse_args(argv)
    plan = Plan(options.clients, options.in_flight, options.size, options.seconds, options.warm_up)
    try:
        nodes = parse_peers("--node", ",".join(f"{place}={text}" for place, text in enumerate(options.node)))
        done = run(plan, list(nodes.values()), options.name, options.first)
    except ConfigError as error:
        sys.stderr.write(f"bench: {error}\n")
        return error.exit_code
    except (NodeError, OSError) as error:
        sys.stderr.write(f"bench: a node cannot be reached: {error}. Is the cluster up?\n")
        return 1
    sys.stdout.write(json.dumps({"name": options.name, **done}) + "\n")
    return 0 if done["messages"] else 1
