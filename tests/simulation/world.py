"""The deterministic world: one thread, virtual time, one seed; real core, duties, journal and shared file.

The world holds the network, the disks, the clocks and the clients; `faults` breaks them while the run lasts, and the
checkers watch. The same seed gives the same trace hash on every Python and hash seed.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import random
from collections.abc import Callable, Iterable
from typing import Any

from node_runtime.codec import rendered
from node_runtime.config import Address, NodeConfig, Tunables
from node_runtime.consensus import Core
from node_runtime.daemon import open_node
from node_runtime.duties import Duties
from node_runtime.errors import DiskError, NodeError
from node_runtime.journal import Journal
from node_runtime.messages import NodeId, PeerMessage, Policy, Round
from node_runtime.shared_file import SharedFile
from node_runtime.state import FileSynced, Input, LinkChanged, Output, Received
from tests.simulation.checkers import Checker, DecidedLog, Violation, all_checkers, expected_blocks
from tests.simulation.clients import SimClient
from tests.simulation.disk import SimDisk, SimStorage
from tests.simulation.network import Network
from tests.simulation.plan import MILLI, SECOND, Plan

OUTPUT = "/shared/output.txt"


class Killed(BaseException):
    """The process died in the middle of a call to its disk."""


class NodeDisk:
    """A process's storage: its own disk, the shared one under `/shared`, and a countdown to its death in mid-call."""

    def __init__(self, world: World, node: SimNode) -> None:
        self._own = node.disk.mount()
        self._shared = world.shared.mount()
        self._world = world
        self._node = node
        self.calls_left: int | None = None

    def kill(self) -> None:
        """The process is gone; what it wrote stays in the page cache."""
        self._own.kill()
        self._shared.kill()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Each call of `Storage`, sent to the disk that its path or handle belongs to."""

        def call(first: Any = None, *rest: Any, **named: Any) -> Any:
            self._count_down()
            shared = first.startswith("/shared") if isinstance(first, str) else isinstance(first, int) and first % 2 == 1
            storage: SimStorage = self._shared if shared else self._own
            if isinstance(first, int):
                result = getattr(storage, name)(first // 2, *rest, **named)
                if name == "pwrite" and shared:
                    self._world.wrote(self._node, rest[1], bytes(rest[0])[:result])
                return result
            result = getattr(storage, name)(*(() if first is None else (first,)), *rest, **named)
            return result * 2 + shared if name == "open" else result

        return call

    def _count_down(self) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise Killed


class WatchedDuties(Duties):
    """The real duties; what the journal holds is noted for the checkers the moment it is durable."""

    def __init__(self, core: Core, journal: Journal, file: SharedFile, node: SimNode) -> None:
        super().__init__(core, journal, file, node)
        self._node = node

    def _persist(self, out: Output, back: list[Input]) -> int:
        took = super()._persist(out, back)
        for round_ in out.rounds:
            self._node.durable[round_.index] = round_.digest
        return took


class SimNode:
    """One node: the real core, duties, journal and file, over this world's disk, network and clock."""

    def __init__(self, world: World, node_id: NodeId) -> None:
        self.world = world
        self.id = node_id
        self.disk = SimDisk(random.Random(f"disk {world.plan.seed} {node_id}"))
        self.core: Core | None = None
        self.durable: dict[int, bytes] = {}
        self.lost = False
        self.paused = False
        self.skew = 0
        self.rate = 1.0
        self.rot = 0
        self.slow_until = 0
        self._inbox: list[Input] = []
        self._queue: list[tuple[NodeId, PeerMessage]] = []
        self._starts = 0
        self._woken_for = -1
        self._decided = 0

    # --- the process ---

    def boot(self) -> None:
        """Start the process, if it is not running; a node that refuses to start is tried again later."""
        if self.core is not None or self.lost:
            return
        self._starts += 1
        self.storage = NodeDisk(self.world, self)
        try:
            self.core, self.journal, self.file = open_node(self._config(), self.storage, self.ticks())
        except DiskError:
            self.storage.kill()
            self.world.after(50 * MILLI, self.boot)
            return
        self.duties = WatchedDuties(self.core, self.journal, self.file, self)
        self._inbox, self._queue, self.paused = [], [], False
        log = self.core.state.log
        self.durable = {index: log.round(index).digest for index in range(1, log.last.index + 1)}
        self._decided = log.decided
        self.world.network.link_up(self.id)
        self.pump()

    def kill(self) -> None:
        """kill -9."""
        if self.core is not None:
            self.core = None
            self.storage.kill()
            self.world.network.link_down(self.id)
            self.world.trace(self.id, {"event": "killed"})

    def crash(self) -> None:
        """This machine loses power."""
        self.kill()
        self.disk.crash()

    def pause(self, paused: bool) -> None:
        """SIGSTOP and SIGCONT."""
        if self.core is not None and paused != self.paused:
            self.paused = paused
            self.world.trace(self.id, {"event": "paused" if paused else "continued"})
            if not paused:
                self.pump()

    def ticks(self) -> int:
        """This node's clock: skewed, drifting, never backwards within a process (its core sees to that)."""
        return int(self.world.now * self.rate) + self.skew + 10 * SECOND

    # --- what the duties need (Outside) ---

    def broadcast(self, peers: Iterable[NodeId], message: PeerMessage) -> None:
        """Queue one message for several peers."""
        self._queue.extend((peer, message) for peer in peers)

    def flush(self) -> None:
        """Hand the queue to the network."""
        for peer, message in self._queue:
            for checker in self.world.checkers:
                checker.on_send(self.world, self, peer, message)
            self.world.network.send(self.id, peer, message)
        self._queue.clear()

    def later(self, item: Input) -> None:
        """Feed this to the core, with whatever else arrives at the same instant."""
        if self.core is not None:
            self._inbox.append(item)
            self.world.after(0, self.pump)

    def sync(self, index: int) -> None:
        """fsync the shared file a little later, as the daemon's thread does."""
        self.world.after(self.world.rng.randint(1, 20) * MILLI, lambda: self._sync(self.file, index))

    def trace(self, event: dict[str, Any]) -> None:
        """One event for the vote log."""
        assert self.core is not None
        event.setdefault("term", self.core.state.term)
        self.world.trace(self.id, event)
        for checker in self.world.checkers:
            checker.on_trace(self.world, self, event)

    # --- the pump ---

    def receive(self, sender: NodeId, message: PeerMessage) -> None:
        """A peer's message has arrived."""
        self.later(Received(sender, message))

    def link(self, peer: NodeId, up: bool) -> None:
        """A connection came up or went down."""
        self.later(LinkChanged(peer, up))

    def pump(self) -> None:
        """Step, obey, feed back, as the daemon does; a death in mid-call or a failing disk ends the process."""
        if self.core is None or self.paused:
            return
        inputs, self._inbox = self._inbox, []
        try:
            while True:
                inputs = self._step(inputs)
                if not inputs:
                    break
            self.flush()
        except Killed:
            self._die()
            return
        except DiskError as error:
            self.world.trace(self.id, {"event": "disk", "error": type(error).__name__})
            self._die()
            return
        self._arm()

    def _step(self, inputs: list[Input]) -> list[Input]:
        assert self.core is not None
        if self.world.rng.random() < self.world.kill_chance:
            self.storage.calls_left = self.world.rng.randint(0, 8)
        out = self.core.step(self.ticks(), inputs)
        self.world.steps += 1
        self._observe()
        return self.duties.obey(out)

    def _observe(self) -> None:
        assert self.core is not None
        state = self.core.state
        for index in range(self._decided + 1, state.log.decided + 1):
            round_ = state.log.round(index)
            for checker in self.world.checkers:
                checker.on_decided(self.world, self, round_)
        self._decided = max(self._decided, state.log.decided)
    def _die(self) -> None:
        self.kill()
        self.world.after(self.world.rng.randint(1, 1500) * MILLI, self.boot)

    def _arm(self) -> None:
        assert self.core is not None
        deadline = self.core.deadline()
        delay = max(1, int((deadline - self.ticks()) / self.rate) + 1)
        due = self.world.now + delay
        if self._woken_for <= self.world.now or due < self._woken_for:
            self._woken_for = due
            self.world.after(delay, lambda: self._wake(due))

    def _wake(self, due: int) -> None:
        if due == self._woken_for:
            self.pump()

    def _sync(self, file: SharedFile, index: int) -> None:
        if self.core is None or file is not self.file:
            return
        try:
            file.sync()
        except (DiskError, Killed):
            self._die()
            return
        self.later(FileSynced(index))

    def _config(self) -> NodeConfig:
        plan = self.world.plan
        peers = {node: Address("127.0.0.1", 6000 + node) for node in range(plan.nodes)}
        tunables = Tunables(
            round_window_ms=plan.round_window_ms, rounds_in_flight=plan.rounds_in_flight, round_messages=plan.round_messages,
            segment_bytes=plan.segment_bytes, ack_timeout_ms=3000,
        )  # fmt: skip
        seed = plan.seed * 1_000_003 + self.id * 1009 + self._starts
        return NodeConfig(
            self.id, "sim", Address("", 5000), Address("", 6000), peers, "/shared", "/data", Policy[plan.writer.upper()],
            seed=seed, tunables=tunables,
        )  # fmt: skip


class World:
    """Everything outside the nodes, and the run itself."""

    def __init__(self, plan: Plan, extra: Iterable[Checker] = ()) -> None:
        self.plan = plan
        self.rng = random.Random(f"world {plan.seed}")
        self.now = 0
        self.steps = 0
        self.kill_chance = 0.0
        self.cut_by_hand = False
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: list[str] | None = None
        self.truth = DecidedLog()
        self.checkers: list[Checker] = [*all_checkers(self.truth), *extra]
        self.acked: dict[tuple[str, int], int] = {}
        self.invoked: dict[tuple[str, int], int] = {}
        self.texts: dict[tuple[str, int], tuple[int, str]] = {}
        self.shared = SimDisk(random.Random(f"shared {plan.seed}"))
        self.network = Network(self)
        self.nodes = [SimNode(self, node) for node in range(plan.nodes)]
        self.clients = [SimClient(self, f"c{number}", number % plan.nodes) for number in range(plan.clients)]

    def run(self) -> None:
        """Start everything, break it until `fault_until`, heal it, and wait until all clients are answered.

        Raises: Violation.
        """
        from tests.simulation.faults import FaultMaker

        for node in self.nodes:
            self.after(self.rng.randint(0, 50) * MILLI, node.boot)
        for client in self.clients:
            self.after(self.rng.randint(0, 500) * MILLI, client.start)
        faults = FaultMaker(self)
        faults.start()
        self._run_until(lambda: self.now >= self.plan.fault_until)
        faults.heal_all()
        limit = self.now + self.plan.heal_for
        self._run_until(lambda: self.now >= limit or (all(client.finished for client in self.clients) and self._settled()))
        for checker in self.checkers:
            checker.at_end(self)

    def after(self, delay: int, action: Callable[[], None]) -> None:
        """Do something `delay` microseconds from now."""
        self._numbers += 1
        heapq.heappush(self._events, (self.now + delay, self._numbers, action))

    def trace(self, node: NodeId, event: dict[str, Any]) -> None:
        """Everything that happens goes into the trace hash."""
        kept = {name: value for name, value in event.items() if name != "persist_us"}
        line = f"{self.now} {node} {json.dumps(kept, sort_keys=True)}"
        self._hash.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    @property
    def trace_hash(self) -> str:
        """The hash of the run so far."""
        return self._hash.hexdigest()

    # --- what checkers and nodes ask ---

    @property
    def file_size(self) -> int:
        """The size of the shared file as processes see it."""
        file = self.shared.names.get(OUTPUT)
        return len(file.seen) if file else 0

    def content(self) -> bytes:
        """The shared file."""
        return self.shared.content(OUTPUT) if OUTPUT in self.shared.names else b""

    def seen(self, offset: int, size: int) -> bytes:
        """A part of the shared file."""
        file = self.shared.names.get(OUTPUT)
        return bytes(file.seen[offset : offset + size]) if file else b""

    def render(self, round_: Round) -> bytes:
        """A round's bytes."""
        return rendered(round_)

    def block_of(self, session: str, seq: int) -> tuple[bytes, ...]:
        """What the message of a client may look like in the file."""
        known = self.texts.get((session, seq))
        return expected_blocks(self.plan.nodes, session, *known) if known else ()

    def wrote(self, node: SimNode, start: int, data: bytes) -> None:
        """A node wrote into the shared directory; only the output file is of interest."""
        if node.core is None or data[:1] not in (b"C", b"M", b"#", b"o", b"\n") or len(data) == 33:
            return
        for checker in self.checkers:
            checker.on_write(self, node, start, data)

    def _settled(self) -> bool:
        live = [node for node in self.nodes if not node.lost]
        if any(node.core is None for node in live):
            return False
        states = [node.core.state for node in live if node.core is not None]
        end = len(self.truth.rounds)
        return all(state.log.decided == end == state.log.last.index for state in states) and self.content() == bytes(self.truth.file)

    def _run_until(self, done: Callable[[], bool]) -> None:
        while self._events and not done():
            due, _, action = heapq.heappop(self._events)
            self.now = max(self.now, due)
            action()


def run_seed(plan: Plan) -> World:
    """Run one seed; a handled error that ends a node for good, or any other exception, is a violation too.

    Raises: Violation.
    """
    world = World(plan)
    try:
        world.run()
    except Violation:
        raise
    except (AssertionError, NodeError) as error:
        raise Violation(world, f"a node stopped: {type(error).__name__}: {error}") from error
    return world


__all__ = ["Journal", "Killed", "SimNode", "World", "run_seed"]
