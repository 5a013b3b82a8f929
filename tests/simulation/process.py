"""One simulated node: the real core, duties, journal and shared file over this world's disk, network and clock."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from node_runtime.config import Address, NodeConfig, Tunables
from node_runtime.consensus import Core
from node_runtime.daemon import open_node
from node_runtime.duties import Duties
from node_runtime.errors import DiskError
from node_runtime.journal import Journal
from node_runtime.messages import NodeId, PeerMessage, Policy, Round
from node_runtime.shared_file import SharedFile
from node_runtime.state import CoreState, FileSynced, Input, LinkChanged, Output, Received, TurnDone
from tests.simulation.disk import SimDisk
from tests.simulation.node_disk import Doom, Killed, NodeDisk
from tests.simulation.plan import MILLI, SECOND

if TYPE_CHECKING:
    from tests.simulation.world import World

START = 100 * SECOND  # what a clock shows when the world begins


class WatchedDuties(Duties):
    """The real duties; what is durable and what is written is told to the checkers the moment it is true."""

    def __init__(self, core: Core, journal: Journal, file: SharedFile, node: SimNode) -> None:
        super().__init__(core, journal, file, node)
        self._node = node

    def obey(self, out: Output) -> list[Input]:
        """As the daemon does."""
        back = super().obey(out)
        for item in back:
            if isinstance(item, TurnDone) and not item.short:
                self._node.world.tell.on_turn(self._node, item.write)
        return back

    def _persist(self, out: Output, back: list[Input]) -> int:
        self._node.forget_durable(out.rounds[0].index)
        took = super()._persist(out, back)
        self._node.note_durable(out.rounds)
        return took


class SimNode:
    """A process and its machine."""

    def __init__(self, world: World, node_id: NodeId) -> None:
        self.world = world
        self.id = node_id
        self.disk = SimDisk(random.Random(f"disk {world.plan.seed} {node_id}"))
        self.core: Core | None = None
        self.durable: dict[int, bytes] = {}
        self.paused = False
        self.skew = 0
        self.rate = 1.0
        self.rot = 0
        self.rotted_state = False
        self.slow_until = 0
        self.busy_until = 0
        self.doom: Doom | None = None
        self.starts = 0
        self._inbox: list[Input] = []
        self._held: list[Input] = []
        self._queue: list[tuple[NodeId, PeerMessage]] = []
        self._woken_for = -1
        self._decided = self._written = self._synced = 0

    @property
    def state(self) -> CoreState:
        """The core's state; only of a node that runs."""
        assert self.core is not None
        return self.core.state

    # --- the process ---

    def boot(self) -> None:
        """Start the process, if it is not running; one that dies or finds its disk failing meanwhile is started again."""
        if self.core is not None:
            return
        self.starts += 1
        self.rotted_state = False
        doom, self.doom = self.doom, None
        config, kept = self.config(), self.world.plan.kept_bytes
        self.storage = NodeDisk(self.id, self.disk, self.world.shared, self.world, doom)
        try:
            core, self.journal, self.file = open_node(config, self.storage, self.ticks(), kept)
            log = core.state.log
            durable = {index: log.round(index).digest for index in range(1, log.last.index + 1)}  # it may die at these reads
        except (DiskError, Killed):
            self.storage.kill()
            self.world.after(50 * MILLI, self.boot)
            return
        self.core = core
        self.duties = WatchedDuties(core, self.journal, self.file, self)
        self._inbox, self._held, self._queue, self.paused = [], [], [], False
        self._woken_for, self.busy_until = -1, 0
        before, self.durable = self.durable, durable
        self._decided, self._written, self._synced = log.decided, core.state.written, core.state.synced
        self.trace({"event": "start", "last": log.last.index, "decided": log.decided, "recovering": core.state.recovering})
        self.world.tell.on_boot(self, before)
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
        """This node's clock: skewed, drifting, jumping (the core sees to it that its time never falls)."""
        return int(self.world.now * self.rate) + self.skew + START

    # --- what the duties need (Outside) ---

    def broadcast(self, peers: Iterable[NodeId], message: PeerMessage) -> None:
        """Queue one message for several peers."""
        self._queue.extend((peer, message) for peer in peers)

    def flush(self) -> None:
        """Hand the queue to the network, or do so when the disk has answered."""
        queue, self._queue = self._queue, []
        wait = self.busy_until - self.world.now
        if wait > 0 and queue:
            start = self.starts
            self.world.after(wait, lambda: self._transmit(queue, start))
        else:
            self._transmit(queue, self.starts)

    def _transmit(self, queue: list[tuple[NodeId, PeerMessage]], start: int) -> None:
        if self.core is None or start != self.starts:
            return
        for peer, message in queue:
            self.world.tell.on_send(self, peer, message)
            self.world.network.send(self.id, peer, message)

    def later(self, item: Input) -> None:
        """Feed this to the core, with whatever else arrives at the same instant."""
        if self.core is not None:
            self._inbox.append(item)
            if len(self._inbox) == 1:
                self.world.after(0, self.pump)

    def with_next(self, item: Input) -> None:
        """Feed this to the core with its next step."""
        self._held.append(item)

    def sync(self, index: int) -> None:
        """fsync the shared file a little later, as the daemon's thread does."""
        file = self.file
        self.world.after(self.world.rng.randint(1, 20) * MILLI, lambda: self._sync(file, index))

    def trace(self, event: dict[str, Any]) -> None:
        """One event for the vote log."""
        event.setdefault("term", self.state.term)
        self.world.trace(self.id, event)
        self.world.tell.on_trace(self, event)

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
        if self.world.now < self.busy_until:
            self.world.after(self.busy_until - self.world.now, self.pump)
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
        held, self._held = self._held, []
        out = self.core.step(self.ticks(), held + inputs)
        self.world.totals.steps += 1
        self._observe()
        return self.duties.obey(out)

    def _observe(self) -> None:
        state, tell = self.state, self.world.tell
        for index in range(self._decided + 1, state.log.decided + 1):
            tell.on_decided(self, state.log.round(index))
        self._decided = state.log.decided
        if state.written != self._written or state.synced != self._synced:
            self._written, self._synced = state.written, state.synced
            tell.on_written(self, state.written, state.synced)

    def _die(self) -> None:
        self.kill()
        self.world.after(self.world.rng.randint(1, 1500) * MILLI, self.boot)

    def _arm(self) -> None:
        assert self.core is not None
        delay = max(1, int((self.core.deadline() - self.ticks()) / self.rate) + 1)
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
        start = self.starts

        def tell() -> None:  # the thread's word comes a little after the sync, and not to another process
            if start == self.starts:
                self.later(FileSynced(index))

        self.world.after(self.world.rng.randint(0, 20) * MILLI, tell)

    # --- what is durable ---

    def forget_durable(self, first: int) -> None:
        """The rounds from `first` on are being replaced: until that is done, any of the old ones may be gone."""
        for index in [index for index in self.durable if index >= first]:
            del self.durable[index]

    def note_durable(self, rounds: list[Round]) -> None:
        """These are fsynced."""
        for round_ in rounds:
            self.durable[round_.index] = round_.digest
        self.world.tell.on_durable(self, rounds)

    def config(self) -> NodeConfig:
        """What this node is told."""
        plan = self.world.plan
        peers = {node: Address("127.0.0.1", 6000 + node) for node in range(plan.nodes)}
        tunables = Tunables(
            round_window_ms=plan.round_window_ms, rounds_in_flight=plan.rounds_in_flight, round_messages=plan.round_messages,
            segment_bytes=plan.segment_bytes, ack_timeout_ms=3000, turn_timeout_ms=plan.turn_timeout_ms,
        )  # fmt: skip
        seed = plan.seed * 1_000_003 + self.id * 1009 + self.starts
        return NodeConfig(
            self.id, "sim", Address("", 5000), Address("", 6000), peers, "/shared", "/data", Policy[plan.writer.upper()],
            seed=seed, tunables=tunables,
        )  # fmt: skip
