"""What the client port asks of the node and what the node answers: the two ends of `gateway.py`."""

from __future__ import annotations

from typing import Any, Protocol

from node_runtime.messages import Message, Row

MAX_LINE = 64 * 1024  # bytes of one request, its newline not counted


class Replies(Protocol):
    """Where the node's answers go: one conversation with one client."""

    def committed(self, session: str, rows: list[Row]) -> None:
        """Messages of `session` are decided and written (rule 37), in seq order."""

    def failed(self, session: str, seq: int, code: str, text: str, retry: bool, expected: int | None = None) -> None:
        """A message was not taken, or its fate is unknown so far (`retry`: send it again, from `expected` on)."""


class NodePort(Protocol):
    """What the driver does for the gateway."""

    def submit(self, messages: list[Message], client: Replies) -> None:
        """Take new messages in order. They are valid; gaps and duplicates are the node's to judge."""

    def last_seq(self, session: str) -> int:
        """The highest decided seq of the session, 0 if there is none."""

    def can_take(self) -> bool:
        """Whether the queue has room; while it has none, no more is read from sockets that bring messages."""

    def has_leader(self) -> bool:
        """Whether this node is in touch with a leader."""

    def status(self) -> dict[str, Any]:
        """What `status` answers."""

    def on_refused(self, port: str, reason: str) -> None:
        """Input from outside was turned away."""


class Sink(Protocol):
    """The connection, as a conversation sees it."""

    def reply(self, text: str) -> None:
        """Queue an answer; it leaves with the next flush."""

    def refuse(self, text: str) -> None:
        """Queue a last answer and close."""

    def again(self) -> None:
        """The conversation can go on with what it left in the inbox."""


class Talk(Replies, Protocol):
    """A conversation in one of the two protocols."""

    def feed(self, data: bytes) -> bytes:
        """Work on what was received; returns what is left over for the next call."""

    def end(self, data: bytes) -> bytes:
        """The client sends no more and `data` was left over; returns what still has to wait for `feed`."""

    def is_waiting(self) -> bool:
        """Whether an answer of the node is still to come."""

    def is_full(self) -> bool:
        """Whether what is left over waits for the node (else for the client to send the rest of a request)."""
