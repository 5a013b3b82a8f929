"""The driver: the only place where the core meets the disk, the sockets and the clock.

Whatever arrives is put in an inbox. `_pump` feeds the inbox to the core in one step and then obeys the output in its
order: make durable, send, write, answer. What the disk did goes back to the core until nothing is owed. Disk and
network share one loop, so heartbeats stop when the work stops (rule 33).
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from node_runtime import votelog
from node_runtime.admin import Admin
from node_runtime.client_port import Replies
from node_runtime.clock import Clock, steady_ticks
from node_runtime.config import NodeConfig
from node_runtime.consensus import Core
from node_runtime.duties import Duties
from node_runtime.faults import FaultPanel, LinkFaults
from node_runtime.gateway import Gateway
from node_runtime.journal import Journal
from node_runtime.messages import Message, NodeId, PeerMessage
from node_runtime.shared_file import SharedFile
from node_runtime.state import FileSynced, Input, LinkChanged, Received, Submitted
from node_runtime.status import has_current_leader, health_of, settled_seq, status_of
from node_runtime.transport import Transport

PAUSED_TICKS = 100_000
REFUSED_EVERY = 1_000_000


class Node:
    """One running node; `start` opens its ports, `close` gives them back. It answers gateway, transport and admin."""

    def __init__(
        self, config: NodeConfig, core: Core, journal: Journal, file: SharedFile, clock: Clock, emit: Callable[[bytes], None]
    ) -> None:
        self._config = config
        self._core = core
        self._journal = journal
        self._file = file
        self._duties = Duties(core, journal, file, self)
        self._clock = clock
        self._emit = emit
        faults = LinkFaults(config.node, config.peers, config.seed)
        self._panel = FaultPanel(faults, config.peers, allowed=config.faults_allowed, skew=clock.skew)
        self.transport = Transport(config, self, faults)
        self.gateway = Gateway(config, self)
        self.admin = Admin(config, self)
        self._inbox: list[Input] = []
        self._held: list[Input] = []
        self._lines: list[bytes] = []
        self._stamp: tuple[float, int] | None = None
        self._refused: Counter[tuple[str, str]] = Counter()
        self._refused_at: dict[str, int] = {}
        self._scheduled = self._syncing = self._full = self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._started = steady_ticks()

    async def start(self) -> None:
        """Open the peer port, the client port and the admin socket.

        Raises: OSError naming the port that cannot be had.
        """
        self._loop = asyncio.get_running_loop()
        state = self._core.state
        self._trace(
            "start", version=1, cluster=self._config.cluster, nodes=len(state.nodes), pid=os.getpid(),
            last=state.log.last.index, writer=state.policy.name.lower(), decided=state.log.decided, synced=state.synced,
            recovering=state.recovering,
        )  # fmt: skip
        await self.admin.start()
        await self.transport.start()
        await self.gateway.start()
        self._pump()

    async def close(self, reason: str) -> None:
        """Stop taking part, say why in the vote log, close everything that is open."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._trace("stop", reason=reason)
        self._write_lines()
        await self.gateway.close()
        await self.admin.close()
        await self.transport.close()
        self._file.close()
        self._journal.close()

    # --- what the outside brings (PeerEvents, NodePort, AdminPort) ---

    def on_message(self, sender: NodeId, message: PeerMessage) -> None:
        """A peer's message."""
        self.later(Received(sender, message))

    def on_link(self, peer: NodeId, up: bool) -> None:
        """The link to a peer came up or went down."""
        self._trace("peer_up", peer=peer) if up else self._trace("peer_down", peer=peer, reason="connection lost")
        self.later(LinkChanged(peer, up))

    def on_refused(self, port: str, reason: str) -> None:
        """Input from outside was turned away: counted, and one line a second and port at most."""
        self._refused[port, reason] += 1
        now = steady_ticks()
        if now - self._refused_at.get(port, -REFUSED_EVERY) >= REFUSED_EVERY:
            self._refused_at[port] = now
            self._trace("refused", port=port, reason=reason, count=self._refused.total())
            self._schedule()

    def submit(self, messages: list[Message], client: Replies) -> None:
        """Messages of a client of this node."""
        self.later(Submitted(messages, client))

    def last_seq(self, session: str) -> int:
        """The highest number of the session that is decided and in the file, as far as this node knows."""
        return settled_seq(self._core.state, session)

    def can_take(self) -> bool:
        """Whether the queue has room."""
        self._full = self._full or self._core.state.intake.full
        return not self._core.state.intake.full

    def has_leader(self) -> bool:
        """Whether a leader is known and has decided a round of its term here: before that, `last_seq` may be old."""
        return has_current_leader(self._core.state)

    def status(self) -> dict[str, Any]:
        """The node's state, for people and programs."""
        uptime = (steady_ticks() - self._started) / 1_000_000
        return {
            **status_of(self._core.state, {peer: link.connected for peer, link in self.transport.links().items()}),
            "cluster": self._config.cluster,
            "version": 1,
            "pid": os.getpid(),
            "uptime_s": round(uptime, 3),
            "refused": {f"{port}: {reason}": count for (port, reason), count in self._refused.items()},
            "faults": self._panel.handle({"op": "faults"}, steady_ticks())["faults"],
        }

    def health(self) -> tuple[bool, str]:
        """Whether this node can have messages decided (rule 55), and why not."""
        return health_of(self._core.state)

    def fault(self, request: dict[str, Any]) -> dict[str, Any]:
        """Faults on demand, where the cluster allows them."""
        answer = self._panel.handle(request, steady_ticks())
        if answer.get("applied"):
            self._trace("fault", fault=answer["fault"].get("kind"), detail=answer["fault"])
        for rule in answer.get("healed", ()):
            self._trace("heal", fault=rule.get("kind"))
        self._schedule()
        return answer

    # --- what the duties need (Outside) ---

    def broadcast(self, peers: Iterable[NodeId], message: PeerMessage) -> None:
        """Queue one message for several peers."""
        self.transport.broadcast(peers, message)

    def flush(self) -> None:
        """Send what is queued for peers now."""
        self.transport.flush()

    def later(self, item: Input) -> None:
        """Feed this to the core after what else has arrived."""
        self._inbox.append(item)
        self._schedule()

    def with_next(self, item: Input) -> None:
        """Feed this to the core with the next step."""
        self._held.append(item)

    def sync(self, index: int) -> None:
        """fsync the shared file beside the loop: acks do not wait for it, the journals can rebuild the file."""
        if not self._syncing:
            self._syncing = True
            self._loop.run_in_executor(None, self._file.sync).add_done_callback(lambda done: self._synced(done, index))

    def trace(self, event: dict[str, Any]) -> None:
        """One event for the vote log, with the time and the node."""
        wall, ticks = self._stamp or (self._clock.wall(), steady_ticks())
        head = {"ts": round(wall, 6), "mono": ticks, "node": self._config.node, "event": ""}
        event.setdefault("term", self._core.state.term)
        self._lines.append(votelog.encode(head | event))

    def ticks(self) -> int:
        """The machine's microseconds, which no fault touches."""
        return steady_ticks()

    # --- the pump ---

    def _schedule(self) -> None:
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Step the core with all that arrived, obey, feed back what the disk did, until nothing is owed."""
        self._scheduled = False
        if self._closed:
            return
        for rule in self._panel.poll(steady_ticks()):
            self._trace("heal", fault=rule.get("kind"))
        inputs, self._inbox = self._inbox, []
        while True:
            self._stamp = (self._clock.wall(), steady_ticks())  # events happen when the core steps, not when the disk is done
            if self._held:
                inputs, self._held = self._held + inputs, []
            inputs = self._duties.obey(self._core.step(self._clock.ticks(), inputs))
            if not inputs:
                break
        self._stamp = None
        self.transport.flush()
        self.gateway.flush()
        self._write_lines()
        if self._full and not self._core.state.intake.full:
            self._full = False
            self.gateway.resume()
        self._arm()

    def _synced(self, done: asyncio.Future[None], index: int) -> None:
        self._syncing = False
        if self._closed:
            return
        done.result()  # an error here ends the process (rules 24 and 54)
        self.later(FileSynced(index))

    def _arm(self) -> None:
        """One timer, set anew only when something is due earlier; one that fires too early does no harm."""
        deadline = self._core.deadline()
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        delay = max(0, deadline - self._clock.ticks()) / 1_000_000
        self._timer_at = deadline
        self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._clock.ticks() - self._timer_at > PAUSED_TICKS:
            self._loop.call_later(0.001, self._schedule)  # after a pause: first hear what has arrived (rule 49)
        else:
            self._pump()

    def _trace(self, event: str, **fields: Any) -> None:
        self.trace({"event": event, **fields})

    def _write_lines(self) -> None:
        if self._lines:
            self._emit(b"".join(self._lines))
            self._lines.clear()
