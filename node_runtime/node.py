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
from node_runtime.codec import rendered
from node_runtime.config import NodeConfig
from node_runtime.consensus import Core
from node_runtime.errors import SharedFileError
from node_runtime.faults import FaultPanel, LinkFaults
from node_runtime.gateway import Gateway
from node_runtime.journal import Journal
from node_runtime.messages import Message, NodeId, PeerMessage
from node_runtime.shared_file import SharedFile
from node_runtime.state import (
    Compare,
    Compared,
    FileSynced,
    Input,
    LinkChanged,
    Output,
    Persisted,
    Received,
    Submitted,
    TurnDone,
)
from node_runtime.status import health_of, settled_seq, status_of
from node_runtime.transport import Transport

COMPARE_BYTES = 4 * 1024 * 1024
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
        self._clock = clock
        self._emit = emit
        faults = LinkFaults(config.node, config.peers, config.seed)
        self._panel = FaultPanel(faults, config.peers, allowed=config.faults_allowed, skew=clock.skew)
        self.transport = Transport(config, self, faults)
        self.gateway = Gateway(config, self)
        self.admin = Admin(config, self)
        self._inbox: list[Input] = []
        self._lines: list[bytes] = []
        self._refused: Counter[tuple[str, str]] = Counter()
        self._refused_at = 0
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
            last=state.log.last.index, writer=state.policy.name.lower(), decided=state.log.decided, synced=state.synced, recovering=state.recovering,
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
        self._inbox.append(Received(sender, message))
        self._schedule()

    def on_link(self, peer: NodeId, up: bool) -> None:
        """The link to a peer came up or went down."""
        self._trace("peer_up", peer=peer) if up else self._trace("peer_down", peer=peer, reason="connection lost")
        self._inbox.append(LinkChanged(peer, up))
        self._schedule()

    def on_refused(self, port: str, reason: str) -> None:
        """Input from outside was turned away: counted, and one line a second at most."""
        self._refused[port, reason] += 1
        now = steady_ticks()
        if now - self._refused_at >= REFUSED_EVERY:
            self._refused_at = now
            self._trace("refused", port=port, reason=reason, count=self._refused.total())
            self._schedule()

    def submit(self, messages: list[Message], client: Replies) -> None:
        """Messages of a client of this node."""
        self._inbox.append(Submitted(messages, client))
        self._schedule()

    def last_seq(self, session: str) -> int:
        """The highest number of the session that is decided and in the file, as far as this node knows."""
        return settled_seq(self._core.state, session)

    def can_take(self) -> bool:
        """Whether the queue has room."""
        self._full = self._full or self._core.state.intake.full
        return not self._core.state.intake.full

    def has_leader(self) -> bool:
        """Whether a leader is known."""
        return self._core.state.leader is not None

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
            inputs = self._obey(self._core.step(self._clock.ticks(), inputs))
            if not inputs:
                break
        self.transport.flush()
        self.gateway.flush()
        self._write_lines()
        if self._full and not self._core.state.intake.full:
            self._full = False
            self.gateway.resume()
        self._arm()

    def _obey(self, out: Output) -> list[Input]:
        """Do what an output says, in its order; returns what came of it."""
        back: list[Input] = []
        if out.state:
            self._journal.save_state(out.state[-1])
        self._send(out.early)
        persist_us = 0
        if out.rounds:
            self.transport.flush()  # the others fsync at the same time as this node
            persist_us = self._persist(out, back)
        self._send(out.replies)
        for write in out.writes:
            back.append(TurnDone(write, short=self._file.write(write.start, write.data) is not None))
        for compare in out.compare:
            self._compare(compare)
        for client, session, rows in out.acks:
            client.committed(session, rows)
        for client, session, seq, code in out.failures:
            _refuse(client, session, seq, code)
        if out.sync:
            self._sync(out.sync[-1])
        for event in out.trace:
            if event["event"] == "vote" and event["ok"]:
                event["persist_us"] = persist_us
            self._trace(**event)
        return back

    def _persist(self, out: Output, back: list[Input]) -> int:
        before = steady_ticks()
        state = self._core.state
        self._journal.append(out.rounds[0].index - 1, out.rounds, min(state.log.decided, out.rounds[-1].index), state.synced)
        back.append(Persisted(out.rounds[-1].index, out.rounds[-1].term))
        return steady_ticks() - before

    def _send(self, messages: Iterable[tuple[NodeId, PeerMessage]]) -> None:
        """Queue messages; neighbours that are the same object are encoded once."""
        group: list[NodeId] = []
        previous: PeerMessage | None = None
        for peer, message in messages:
            if message is not previous and previous is not None:
                self.transport.broadcast(group, previous)
                group = []
            previous = message
            group.append(peer)
        if previous is not None:
            self.transport.broadcast(group, previous)

    def _compare(self, order: Compare) -> None:
        """Compare a part of the file with the log and repair it; the next part comes after what else has arrived."""
        log = self._core.state.log
        size = self._file.size()
        after = min(order.after, order.upto)
        if log.point(after).end > size:
            after = log.find_offset(size)
        rounds = [round_ for round_ in log.batch(after + 1, COMPARE_BYTES) if round_.index <= order.upto]
        index = rounds[-1].index if rounds else order.upto
        repair = self._file.repair(log.point(after).end, [rendered(round_) for round_ in rounds], rewrite=True)
        if repair.short is not None:  # cut while it was compared: find its new end
            self._compare(Compare(log.find_offset(repair.short), order.upto))
            return
        self._check_excess(index)
        self._inbox.append(Compared(after, index, repair.changed))
        self._schedule()

    def _check_excess(self, index: int) -> None:
        """Nothing stands behind the decided bytes before this cluster has written any: else it is somebody's data."""
        state = self._core.state
        if index == state.log.decided and not state.seen_written and self._file.size() > state.log.point(index).end:
            raise SharedFileError(
                f"output.txt in {self._config.shared_dir} is longer than anything this cluster decided: somebody else wrote"
                " in it. Run `votesync up --fresh`, which moves it to output-<UTC time>.txt, or move it yourself."
            )

    def _sync(self, index: int) -> None:
        """fsync the shared file beside the loop: acks do not wait for it, the journals can rebuild the file."""
        if self._syncing:
            return
        self._syncing = True
        self._loop.run_in_executor(None, self._file.sync).add_done_callback(lambda done: self._synced(done, index))

    def _synced(self, done: asyncio.Future[None], index: int) -> None:
        self._syncing = False
        if self._closed:
            return
        done.result()  # an error here ends the process (rules 24 and 54)
        self._inbox.append(FileSynced(index))
        self._schedule()

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

    # --- the vote log ---

    def _trace(self, event: str, **fields: Any) -> None:
        fields.setdefault("term", self._core.state.term)
        head = {"ts": round(self._clock.wall(), 6), "mono": self._clock.ticks(), "node": self._config.node, "event": event}
        self._lines.append(votelog.encode({**head, **fields}))

    def _write_lines(self) -> None:
        if self._lines:
            self._emit(b"".join(self._lines))
            self._lines.clear()

def _refuse(client: Replies, session: str, seq: int, code: str) -> None:
    if code.startswith("gap "):
        expected = code.removeprefix("gap ")
        client.failed(session, seq, "gap", f"seq {seq} leaves a gap; expected {expected}", True)
    else:
        client.failed(session, seq, code, "no majority has decided this message in time; send it again", True)
