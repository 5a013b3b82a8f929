"""Clients of the simulation: retries, fail-over, windows and skewed clocks, exactly once by (session, seq)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node_runtime.messages import Message, Row
from node_runtime.records import native_body, render_block
from node_runtime.state import Submitted
from tests.simulation.plan import MILLI

if TYPE_CHECKING:
    from tests.simulation.world import World



class Line:
    """One connection of a client to a node, first in, first out; answers on an old one are heard no more."""

    def __init__(self, client: SimClient, node: int) -> None:
        self.client = client
        self.node = node
        self.answered = 0
        self._due = 0

    def send(self, messages: list[Message]) -> None:
        """The client's messages travel to the node."""
        world = self.client.world
        self._due = max(self._due, world.now + world.rng.randint(50, 300))
        world.after(self._due - world.now, lambda: world.nodes[self.node].later(Submitted(messages, self)))

    def committed(self, session: str, rows: list[Row]) -> None:
        """The node's answer travels back."""
        world = self.client.world
        for seq, round_, offset in rows:
            world.tell.on_ack(self, seq, round_, offset)
        world.after(world.rng.randint(50, 300), lambda: self.client.on_acks(self, [row[0] for row in rows]))

    def failed(self, session: str, seq: int, code: str, text: str, retry: bool, expected: int | None = None) -> None:
        """The node says no for now: the client tries again, perhaps elsewhere."""
        world = self.client.world
        world.totals.refused += 1
        world.after(world.rng.randint(5, 50) * MILLI, lambda: self.client.on_failure(self, code))


class SimClient:
    """Sends `messages` messages, at most `window` unanswered, each again until it is acknowledged."""

    patience = 1500 * MILLI

    def __init__(self, world: World, session: str, home: int) -> None:
        self.world = world
        self.session = session
        self.line = Line(self, home)
        self.unanswered: dict[int, tuple[int, str]] = {}
        self.next = 1
        self.most = world.plan.messages
        self.skew = world.rng.choice((0, 0, -5_000_000, 3_000_000, 700))
        self.codes: list[str] = []
        self._progress = 0
        self._thinking = False

    @property
    def finished(self) -> bool:
        """Whether everything is sent and acknowledged."""
        return self.next > self.most and not self.unanswered

    def start(self) -> None:
        """Begin sending."""
        self._fill()
        self._watch()

    def on_acks(self, line: Line, seqs: list[int]) -> None:
        """Acknowledged: remember when, send more. An answer on an old connection counts no more."""
        if line is not self.line:
            return
        for seq in seqs:
            if self.unanswered.pop(seq, None) is not None:
                self.world.acked[self.session, seq] = self._progress = self.world.now
                self.world.totals.acked += 1
        self._more()

    def on_failure(self, line: Line, code: str) -> None:
        """Refused on the current connection: go on over a new one."""
        self.codes.append(code)
        if line is self.line:
            self._fail_over()

    def _more(self) -> None:
        """Think, then send."""
        think = self.world.plan.think_ms
        if not think:
            self._fill()
        elif not self._thinking:
            self._thinking = True
            self.world.after(self.world.rng.randint(0, think) * MILLI, self._fill)

    def _fill(self) -> None:
        plan, rng, world = self.world.plan, self.world.rng, self.world
        self._thinking = False
        fresh = []
        while self.next <= self.most and len(self.unanswered) < plan.window:
            time = max(0, world.now + self.skew + rng.choice((0, 0, 0, -20_000)) + 6_000_000)
            self.unanswered[self.next] = (time, self._text())
            world.texts[self.session, self.next] = self.unanswered[self.next]
            world.invoked[self.session, self.next] = world.now
            world.totals.submitted += 1
            fresh.append(self.next)
            self.next += 1
        self._send(fresh)

    def _text(self) -> str:
        rng = self.world.rng
        if rng.random() < 0.9:
            return str(self.next)
        start = rng.choice(("é ", "#" * 56, "Container 0 ", "Mensagem: client c0 time: 1 - message: 1 "))
        return f"{start}{'x' * rng.randint(0, 900)} {self.next}"

    def _send(self, seqs: list[int]) -> None:
        if not seqs:
            return
        line = self.line
        messages = []
        for seq in seqs:
            time, text = self.unanswered[seq]
            block = render_block(line.node, native_body(self.session, time, text))
            messages.append(Message(time, line.node, self.session, seq, block))
        line.send(messages)

    def _fail_over(self) -> None:
        plan, node = self.world.plan, self.line.node
        if "failover" in plan.kinds or self.world.nodes[node].core is None:
            node = self.elsewhere()
        self._reconnect(node)

    def elsewhere(self) -> int:
        """The node to go to when the current one does not answer, or says no."""
        return self.world.rng.randrange(self.world.plan.nodes)

    def _reconnect(self, node: int) -> None:
        self.line = Line(self, node)
        self._progress = self.world.now
        self._send(sorted(self.unanswered))

    def _watch(self) -> None:
        if self.finished:
            return
        if self.unanswered and self.world.now - self._progress > self.patience:
            self._reconnect(self.elsewhere())
        self.world.after(500 * MILLI, self._watch)
