"""The deterministic world: one thread, virtual time, one seed; real core, duties, journal and shared file.

The world holds the network, the disks, the clocks and the clients; `faults` breaks them while the run lasts, and the
checkers watch. The same plan gives the same trace hash on every Python and hash seed.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from node_runtime.messages import NodeId
from tests.simulation.checkers import Checker, Tell, Violation
from tests.simulation.clients import SimClient
from tests.simulation.disk import SimDisk
from tests.simulation.file_checkers import file_checkers
from tests.simulation.log_checkers import log_checkers
from tests.simulation.network import Network
from tests.simulation.node_disk import OUTPUT
from tests.simulation.plan import MILLI, Plan
from tests.simulation.process import SimNode
from tests.simulation.promise_checkers import promise_checkers
from tests.simulation.totals import Totals
from tests.simulation.truth import Truth

KEPT_LINES = 400


class World:
    """Everything outside the nodes, and the run itself."""

    def __init__(
        self,
        plan: Plan,
        extra: Iterable[Checker] = (),
        kept: int | None = KEPT_LINES,
        client: type[SimClient] = SimClient,
    ) -> None:
        self.plan = plan
        self.rng = random.Random(f"world {plan.seed}")
        self.reader = random.Random(f"reader {plan.seed}")
        self.now = 0
        self.totals = Totals(seeds=1, sizes=Counter({plan.nodes: 1}))
        self.cut_by_hand = False  # somebody has cut or removed the shared file: it may have become shorter
        self.power_lost = False  # what was not synced in the shared file may be missing, until a leader has repaired it
        self.lines: deque[str] = deque(maxlen=kept)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self.truth = Truth()
        self.checkers: list[Checker] = [self.truth, *log_checkers(), *file_checkers(), *promise_checkers(), *extra]
        self.tell = Tell(self, self.checkers)
        self.texts: dict[tuple[str, int], tuple[int, str]] = {}  # (session, seq) -> (time, text), all that clients sent
        self.invoked: dict[tuple[str, int], int] = {}
        self.acked: dict[tuple[str, int], int] = {}
        self.shared = SimDisk(random.Random(f"shared {plan.seed}"))
        self.network = Network(self)
        self.nodes = [SimNode(self, node) for node in range(plan.nodes)]
        self.clients = [client(self, f"c{number}", number % plan.nodes) for number in range(plan.clients)]

    # --- the run ---

    def run(self) -> None:
        """Start everything, break it until `fault_until`, heal it, and wait until all clients are answered.

        Raises: Violation; whatever stops a node for good.
        """
        from tests.simulation.faults import FaultMaker

        self.start()
        faults = FaultMaker(self)
        faults.start()
        self.run_until(lambda: self.now >= self.plan.fault_until)
        faults.heal_all()
        limit = self.now + self.plan.heal_for
        self.run_until(lambda: self.now >= limit or self.settled())
        self.finish()

    def start(self) -> None:
        """The nodes boot, the clients begin, somebody reads the file now and then."""
        for node in self.nodes:
            self.after(self.rng.randint(0, 50) * MILLI, node.boot)
        for client in self.clients:
            self.after(self.rng.randint(0, 500) * MILLI, client.start)
        self._read_later()

    def finish(self) -> None:
        """Everything has healed: ask the checkers, close the trace hash."""
        self.tell.at_end()
        totals = self.totals
        totals.virtual_us, totals.sent, totals.decided = self.now, self.network.sent, len(self.truth.rounds)
        fingerprint = (self.rng.random(), self.now, totals.events, totals.steps, totals.sent, totals.acked)
        self._hash.update(repr(fingerprint).encode() + self.content())

    def run_until(self, done: Callable[[], bool]) -> bool:
        """Let time pass until `done`, asked after each event; whether it came."""
        events = self._events
        while not (finished := done()) and events:
            due, _, action = heapq.heappop(events)
            if due > self.now:
                self.now = due
            self.totals.events += 1
            action()
        return finished

    def after(self, delay: int, action: Callable[[], None]) -> None:
        """Do something `delay` microseconds from now."""
        self._numbers += 1
        heapq.heappush(self._events, (self.now + delay, self._numbers, action))

    def settled(self) -> bool:
        """Whether all clients are answered, all nodes run and hold the same decided log, and the file shows it."""
        if not all(client.finished for client in self.clients):
            return False
        end = len(self.truth.rounds)
        for node in self.nodes:
            if node.core is None or node.state.recovering:
                return False
            log = node.core.state.log
            if not log.decided == end == log.last.index:
                return False
        return self.content() == bytes(self.truth.file)

    # --- the trace ---

    def trace(self, node: NodeId, event: dict[str, Any]) -> None:
        """Everything that happens goes into the trace hash."""
        kept = {name: value for name, value in event.items() if name != "persist_us"}
        line = f"{self.now} {node} {json.dumps(kept, sort_keys=True)}"
        self._hash.update(line.encode())
        self.lines.append(line)
        kind = event["event"]
        if kind in ("leader", "timeout", "voted", "no_quorum") or (kind == "repair" and event["changed"]):
            self.totals.happened[kind] += 1

    @property
    def trace_hash(self) -> str:
        """The hash of the run so far."""
        return self._hash.hexdigest()

    # --- the shared file ---

    @property
    def file_size(self) -> int:
        """The size of the shared file as processes see it."""
        file = self.shared.names.get(OUTPUT)
        return len(file.seen) if file else 0

    def content(self) -> bytes:
        """The shared file."""
        return self.seen(0, self.file_size)

    def seen(self, offset: int, size: int) -> bytes:
        """A part of the shared file as processes see it."""
        file = self.shared.names.get(OUTPUT)
        return bytes(file.seen[offset : offset + size]) if file else b""

    def stored(self, size: int) -> bytes:
        """What a loss of power would certainly leave of the first `size` bytes."""
        file = self.shared.names.get(OUTPUT)
        return bytes(file.stored[:size]) if file else b""

    def _read_later(self) -> None:
        """A reader that looks at random moments; it has dice of its own."""

        def read() -> None:
            self.totals.reads += 1
            self.tell.on_read(self.content())
            self._read_later()

        self.after(self.reader.randint(1, 300) * MILLI, read)

    # --- what the nodes' disks report (Watcher) ---

    def writes(self, node: NodeId, start: int, data: bytes) -> None:
        """A node is about to write into the output file."""
        self.tell.on_write(self.nodes[node], start, data)

    def died(self, node: NodeId, kind: str, stage: str) -> None:
        """A process died in this call."""
        self.totals.deaths[kind] += 1
        self.trace(node, {"event": "died", "call": kind, "stage": stage})

    def forbidden(self, node: NodeId, call: str) -> None:
        """No node may make this call on the output file."""
        raise Violation("OnlyWrites", f"node {node} called {call} on the output file (rule 40)")

    def lose_power(self) -> None:
        """Everything is down, the machine with the shared file too; the checkers know from here on."""
        self.power_lost = True
        self.trace(-1, {"event": "power_lost"})

    def slow(self, node: NodeId) -> None:
        """A node waits for its own disk, if that is slow just now."""
        slow = self.nodes[node]
        if self.now < slow.slow_until:
            slow.busy_until = max(self.now, slow.busy_until) + self.rng.randint(5, 300) * MILLI


__all__ = ["OUTPUT", "SimNode", "Violation", "World"]
