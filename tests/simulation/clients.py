"""Clients of the simulation: retries, fail-over, windows and skewed clocks, exactly once by (session, seq)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node_runtime.messages import Message
from node_runtime.records import native_body, render_block
from node_runtime.state import Submitted
from tests.simulation.plan import MILLI

if TYPE_CHECKING:
    from tests.simulation.world import World

TIMEOUT = 1500 * MILLI


class Line:
    """One connection of a client to a node; answers on an old one are heard no more."""

    def __init__(self, client: SimClient, node: int) -> None:
        self.client = client
        self.node = node

    def committed(self, session: str, rows: list[tuple[int, int | None, int | None]]) -> None:
        """The node's answer travels back."""
        world = self.client.world
        for seq, round_, offset in rows:
            for checker in world.checkers:
                checker.on_ack(world, session, seq, round_, offset)
        world.after(world.rng.randint(50, 300), lambda: self.client.on_acks(self, [row[0] for row in rows]))

    def failed(self, session: str, seq: int, code: str, text: str, retry: bool, expected: int | None = None) -> None:
        """The node says no for now: the client tries again, perhaps elsewhere."""
        world = self.client.world
        world.after(world.rng.randint(5, 50) * MILLI, lambda: self.client.on_failure(self))


class SimClient:
    """Sends `messages` messages, at most `window` unanswered, each again until it is acknowledged."""

    def __init__(self, world: World, session: str, home: int) -> None:
        self.world = world
        self.session = session
        self.line = Line(self, home)
        self.unanswered: dict[int, tuple[int, str]] = {}
        self.next = 1
        self.skew = world.rng.choice((0, 0, -5_000_000, 3_000_000, 700))
        self._progress = 0

    @property
    def finished(self) -> bool:
        """Whether everything is sent and acknowledged."""
        return self.next > self.world.plan.messages and not self.unanswered

    def start(self) -> None:
        """Begin sending."""
        self._fill()
        self._watch()

    def on_acks(self, line: Line, seqs: list[int]) -> None:
        """Acknowledged: remember when, send more."""
        for seq in seqs:
            if self.unanswered.pop(seq, None) is not None:
                self.world.acked[self.session, seq] = self.world.now
                self._progress = self.world.now
        self._fill()

    def on_failure(self, line: Line) -> None:
        """Refused on the current connection: go on over a new one."""
        if line is self.line:
            self._fail_over()

    def _fill(self) -> None:
        plan, rng = self.world.plan, self.world.rng
        fresh = []
        while self.next <= plan.messages and len(self.unanswered) < plan.window:
            time = max(0, self.world.now + self.skew + rng.choice((0, 0, 0, -20_000)) + 6_000_000)
            text = str(self.next) if rng.random() < 0.9 else f"é #{self.next} " + "x" * rng.randint(0, 300)
            self.unanswered[self.next] = (time, text)
            self.world.texts[self.session, self.next] = (time, text)
            self.world.invoked[self.session, self.next] = self.world.now
            fresh.append(self.next)
            self.next += 1
        self._send(fresh)

    def _send(self, seqs: list[int]) -> None:
        if not seqs:
            return
        line = self.line
        messages = []
        for seq in seqs:
            time, text = self.unanswered[seq]
            block = render_block(line.node, native_body(self.session, time, text))
            messages.append(Message(time, line.node, self.session, seq, block))
        node = self.world.nodes[line.node]
        self.world.after(self.world.rng.randint(50, 300), lambda: node.later(Submitted(messages, line)))

    def _fail_over(self) -> None:
        rng, plan = self.world.rng, self.world.plan
        node = rng.randrange(plan.nodes) if "failover" in plan.kinds or self.world.nodes[self.line.node].core is None else self.line.node
        self.line = Line(self, node)
        self._progress = self.world.now
        self._send(sorted(self.unanswered))

    def _watch(self) -> None:
        if self.finished:
            return
        if self.unanswered and self.world.now - self._progress > TIMEOUT:
            self.line = Line(self, self.world.rng.randrange(self.world.plan.nodes))
            self._progress = self.world.now
            self._send(sorted(self.unanswered))
        self.world.after(500 * MILLI, self._watch)
