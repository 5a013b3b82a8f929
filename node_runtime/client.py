"""The client library: appends messages exactly once, through whichever nodes are alive.

A client has one session and numbers its messages from 1. What is not acknowledged is sent again, in order and under
the same numbers, after each reconnect: the nodes drop what is decided already. So an ack means once and for all,
and without one the outcome is unknown (rule 37): the client never says "failed" of what may still happen.

    async with Client([Address("127.0.0.1", 5000)], "c1", last_seq=0) as client:
        ack = await client.append("hello")
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from node_runtime.client_link import CONNECT_S, Link, ask_last_seq, backoff
from node_runtime.config import Address
from node_runtime.errors import ClientProtocolError, NodeError
from node_runtime.history import History, now_mono
from node_runtime.json_lines import append_requests, hello_request
from node_runtime.messages import MAX_TIME, NodeId
from node_runtime.records import is_session, text_fault

_TICK_S = 0.1
_BATCH = 4096


class Ack(NamedTuple):
    """Message `seq` is in the file for good. `round` and `offset` are None where the node did not tell."""

    seq: int
    round: int | None
    offset: int | None
    node: NodeId


class OutcomeUnknownError(NodeError):
    """No answer came in time: the message may be in the file, or come to be there, or not."""


class _Item(NamedTuple):
    seq: int
    time: int
    text: str
    future: asyncio.Future[Ack] | None


class Client:
    """One session. Not for more than one event loop; many tasks may append at once.

    `window` messages at most are unacknowledged at a time; more wait in `post`. `nodes` are the ids of the nodes at
    `addresses`, for the history (default: their positions). `last_seq` is the highest number the session has used
    (default: the nodes are asked); `invoked` the highest that is in the history already. A node that says nothing for
    `silence_s` is left for the next one; the first one gets `patience_s` to come up. `on_ack` hears of every ack.
    Nodes of another `cluster`, which may have come to an address whose node died, are left alone.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        session: str,
        *,
        window: int = 1,
        history: History | None = None,
        nodes: Sequence[NodeId] | None = None,
        last_seq: int | None = None,
        invoked: int = 0,
        silence_s: float = 3.0,
        patience_s: float = 3.0,
        on_ack: Callable[[Ack], None] | None = None,
        cluster: str | None = None,
    ) -> None:
        assert window >= 1
        if not is_session(session):
            raise ClientProtocolError("bad_session", f"session {session!r}: takes 1 to 64 letters, digits or _ . : -")
        self.session = session
        self.window = window
        self.acked = 0  # how many of this client's messages
        self._nodes = [*zip(nodes or range(len(addresses)), addresses, strict=True)]
        self._turn = self._failures = self._time = 0
        self._history = history
        self._last_seq = last_seq
        self._invoked = invoked
        self._silence_s = silence_s
        self._patience_s = patience_s
        self._on_ack = on_ack
        self._cluster = cluster
        self._unsent: deque[_Item] = deque()
        self._sent: deque[_Item] = deque()
        self._link: Link | None = None
        self._heard = 0.0
        self._is_pumping = False
        self._broken: NodeError | None = None
        self._reserved = 0  # places in the window of waiters that were woken and have not run
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._drained: list[asyncio.Future[None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Client:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def last_seq(self) -> int:
        """The highest number that was given out."""
        return self._last_seq or 0

    @property
    def pending(self) -> int:
        """How many messages are not acknowledged."""
        return len(self._unsent) + len(self._sent)

    async def start(self) -> None:
        """Start to connect; if the session's last number is not known, ask for it first, as long as it takes."""
        if self._last_seq is None:
            self._last_seq = await ask_last_seq([address for _, address in self._nodes], self.session, self._cluster)
        self._tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._tick())]
        for task in self._tasks:
            task.add_done_callback(self._task_ended)

    async def close(self) -> int:
        """End; returns how many messages have an unknown outcome. Their waiters get OutcomeUnknownError."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._link is not None:
            self._link.transport.abort()
            self._link = None
        mono = now_mono()
        unknown = 0
        error = self._broken or OutcomeUnknownError(
            "the client was closed before the answer came; look in the file, or ask the node with hello"
        )
        for item in [*self._sent, *self._unsent]:
            if item.seq <= self._invoked:
                unknown += 1
                if self._history is not None:
                    self._history.unknown(item.seq, mono)
        if self._history is not None:
            self._history.flush()
        self._give_up(error)
        return unknown

    async def append(self, text: str, stamp: int | None = None, timeout: float | None = None) -> Ack:
        """Send one message and wait for its ack. `stamp` is its time, microseconds (default: now).

        Raises: ClientProtocolError for what can never be taken; OutcomeUnknownError when `timeout` (seconds) passes
        or the client is closed. After a timeout the message goes on being sent until the client is closed.
        """
        future: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                await self.post(text, stamp, future)
                return await future
        except TimeoutError:
            raise OutcomeUnknownError(f"no ack in {timeout} s; the message may still be written") from None

    async def post(self, text: str, stamp: int | None = None, future: asyncio.Future[Ack] | None = None) -> int:
        """Send one message without waiting for its ack, only for room in the window; returns its number.

        Raises: ClientProtocolError for what can never be taken; OutcomeUnknownError if the client is closed.
        """
        fault = text_fault(text)
        if fault is not None:
            raise ClientProtocolError("bad_text", f"message: {fault}; send it without")
        if stamp is not None and not 0 <= stamp <= MAX_TIME:
            raise ClientProtocolError("bad_time", f"time: takes microseconds from 0 to {MAX_TIME}")
        if self._waiters or self.pending + self._reserved >= self.window:
            await self._room()
        if self._broken is not None:
            raise self._broken
        assert self._last_seq is not None, "start() comes first"
        self._last_seq += 1
        self._time = max(time.time_ns() // 1000, self._time) if stamp is None else stamp
        self._unsent.append(_Item(self._last_seq, self._time, text, future))
        self._pump_soon()
        return self._last_seq

    async def drain(self) -> None:
        """Wait until everything is acknowledged.

        Raises: ClientProtocolError, OutcomeUnknownError.
        """
        if self._broken is not None:
            raise self._broken
        if self.pending:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drained.append(future)
            await future

    # --- the connection ---

    async def _stay_connected(self) -> None:
        """Be connected to one node or another. The first node is the client's own: it gets some time to start."""
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self._patience_s
        while True:
            node, address = self._nodes[self._turn % len(self._nodes)]
            await self._visit(node, address)
            if self.acked or self._turn or loop.time() > patient_until:
                self._turn += 1
                pause = backoff(self._failures, len(self._nodes))
            else:
                pause = backoff(self._failures, 1)
            self._failures += 1
            await asyncio.sleep(pause)

    async def _visit(self, node: NodeId, address: Address) -> None:
        """Connect, say hello, stay until the connection is of no more use."""
        loop = asyncio.get_running_loop()
        link = Link(self, node)
        try:
            async with asyncio.timeout(CONNECT_S):
                await loop.create_connection(lambda: link, address.host, address.port)
        except (OSError, TimeoutError):
            return  # refused, unreachable, unknown name
        self._link, self._heard = link, loop.time()
        link.transport.write(hello_request(self.session, self._cluster))
        try:
            await link.lost
        finally:
            self._link = None
            link.transport.abort()

    def linked(self, link: Link) -> None:
        """The node answered `hello`: send what is not acknowledged, oldest first."""
        if link is not self._link:
            return
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()
        link.is_ready = True
        self.pump()

    async def _tick(self) -> None:
        """Bring the history to disk now and then, and leave a node that is silent."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S)
            if self._history is not None:
                self._history.flush()
            link = self._link
            owes = link is not None and (self._sent or not link.is_ready)
            if link is not None and owes and loop.time() - self._heard > self._silence_s:
                link.leave()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """An exception in a task is a bug or a full disk: whoever waits must hear of it (rule 54)."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._give_up(OutcomeUnknownError(f"the client stopped: {error!r}"))

    # --- sending ---

    def _pump_soon(self) -> None:
        if not self._is_pumping and self._link is not None:
            self._is_pumping = True
            asyncio.get_running_loop().call_soon(self.pump)

    def pump(self) -> None:
        """Send what is not sent, as one line if it fits."""
        self._is_pumping = False
        link = self._link
        if link is None or not link.is_ready:
            return
        if self._unsent and not self._sent:
            self._heard = asyncio.get_running_loop().time()
        while self._unsent and not link.is_choked:
            items = [self._unsent.popleft() for _ in range(min(_BATCH, len(self._unsent)))]
            try:
                self._record(items, link.node)
            except OSError as error:  # nothing may be sent that is not in the history
                self._sent.extend(items)
                self._give_up(OutcomeUnknownError(f"the history cannot be written ({error}); make room and start again"))
                return
            self._invoked = max(self._invoked, items[-1].seq)
            self._sent.extend(items)
            messages = [(item.time, item.text) for item in items]
            link.transport.writelines(append_requests(self.session, items[0].seq, messages))

    def _record(self, items: list[_Item], node: NodeId) -> None:
        history = self._history
        if history is None:
            return
        mono = now_mono()
        again = [item.seq for item in items if item.seq <= self._invoked]
        if again:
            history.resend(again[0], again[-1], node, mono)
        for item in items[len(again) :]:
            history.invoke(item.seq, item.time, item.text, node, mono)
        history.barrier()

    # --- replies ---

    def heard(self, link: Link, reply: dict[str, Any]) -> None:
        """One reply of the node."""
        if link is not self._link:
            return
        self._heard = asyncio.get_running_loop().time()
        match reply:
            case {"ok": True, "seq": int(seq)} if reply.get("session") == self.session:
                self._acknowledged(link.node, seq, reply.get("round"), reply.get("offset"))
            case {"ok": True, "last_seq": int()}:
                self.linked(link)
            case {"ok": False, "retry": False, "code": str(code), "error": str(text)}:
                self._refused(code, text, reply.get("seq"))
            case _:
                link.leave()

    def _acknowledged(self, node: NodeId, seq: int, index: int | None, offset: int | None) -> None:
        """Everything up to `seq` is in the file: a session's messages are decided in order (promise 4)."""
        mono = now_mono()
        sent, history = self._sent, self._history
        while sent and sent[0].seq <= seq:
            item = sent.popleft()
            ack = Ack(item.seq, index, offset if item.seq == seq else None, node)
            if history is not None:
                history.ok(ack.seq, ack.round, ack.offset, mono)
            self.acked += 1
            if item.future is not None and not item.future.done():
                item.future.set_result(ack)
            if self._on_ack is not None:
                self._on_ack(ack)
        self._failures = 0
        self._let_in()
        if not self.pending:
            drained, self._drained = self._drained, []
            for future in drained:
                if not future.done():
                    future.set_result(None)

    def _refused(self, code: str, text: str, seq: int | None) -> None:
        """A message can never be taken. Its number is not used up, so those behind it cannot be either."""
        items = [item for item in self._sent if item.seq == seq]
        if self._history is not None and items:
            self._history.fail(items[0].seq, code, now_mono())
        for item in items:
            self._sent.remove(item)
        error = ClientProtocolError(code, f"the node refused message {seq}: {text}", seq=seq)
        for item in items:
            if item.future is not None and not item.future.done():
                item.future.set_exception(error)
        self._give_up(error)

    def _give_up(self, error: NodeError) -> None:
        """Nothing more is sent; every waiter hears why."""
        self._broken = error
        for item in [*self._sent, *self._unsent]:
            if item.future is not None and not item.future.done():
                item.future.set_exception(error)
                item.future.exception()  # seen: it is no error if nobody waits any more
        for future in [*self._drained, *self._waiters]:
            if not future.done():
                future.set_exception(error)
                future.exception()

    # --- the window ---

    async def _room(self) -> None:
        """Wait in line for a place in the window."""
        if self._broken is not None:
            raise self._broken
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        try:
            await future
        finally:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._reserved -= 1
                self._let_in_soon()

    def _let_in_soon(self) -> None:
        """A place was taken, or given back by a task that was cancelled meanwhile."""
        if self._waiters:
            asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        """Wake as many waiters as there is room for; a place is theirs until they run."""
        while self._waiters and self.pending + self._reserved < self.window:
            future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)
                self._reserved += 1
