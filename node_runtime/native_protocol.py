"""One conversation in the native protocol: requests in, messages to the node, replies in the order of a session.

It knows no socket: `feed` takes bytes, `Sink` takes the answers.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from node_runtime.client_port import MAX_LINE, NodePort, Sink
from node_runtime.errors import ClientProtocolError
from node_runtime.json_lines import Append, ack_line, error_line, garbage, ok_line, read_append, read_request, read_session
from node_runtime.messages import Message, NodeId, Row

_SUBMIT_AT = 1024  # messages after which the node is asked whether it can take more
_MAX_HELD = 1024  # errors that wait for earlier answers


class SessionReplies:
    """Puts the replies of one session in seq order, and joins the acks of a batch.

    `awaiting` holds ranges of numbers whose answer is to come. An error waits until all lower ones are answered.
    """

    __slots__ = ("awaiting", "batches", "held", "session")

    def __init__(self, session: str) -> None:
        self.session = session
        self.awaiting: list[list[int]] = []
        self.batches: deque[tuple[int, int]] = deque()
        self.held: list[tuple[int, str]] = []

    def submitted(self, append: Append) -> None:
        """The messages of `append` go to the node."""
        awaiting = self.awaiting
        if append.is_batch:
            self.batches.append((append.first, append.last))
        if awaiting and awaiting[-1][1] + 1 == append.first:
            awaiting[-1][1] = append.last
        else:
            awaiting.append([append.first, append.last])
            if len(awaiting) > 1:
                self._merge()

    def committed(self, rows: list[Row]) -> list[str]:
        """The lines for `rows`, then the errors that waited for them."""
        last = rows[-1][0]
        if self.batches:
            lines = self._joined(rows)
        else:
            session = self.session
            lines = [ack_line(session, row) for row in rows]
        awaiting = self.awaiting
        while awaiting and awaiting[0][0] <= last:
            if awaiting[0][1] > last:
                awaiting[0][0] = last + 1
                break
            del awaiting[0]
        return lines + self._released() if self.held else lines

    def failed(self, seq: int, line: str, *, submitted: bool) -> list[str]:
        """The line of an error, or nothing as long as it has to wait."""
        if submitted:
            self._answered(seq)
        self.held.append((seq, line))
        return self._released()

    def _answered(self, seq: int) -> None:
        left: list[list[int]] = []
        for first, last in self.awaiting:
            left += [[a, b] for a, b in ((first, min(last, seq - 1)), (max(first, seq + 1), last)) if a <= b]
        self.awaiting = left

    def _merge(self) -> None:
        merged: list[list[int]] = []
        for first, last in sorted(self.awaiting):
            if merged and first <= merged[-1][1] + 1:
                merged[-1][1] = max(merged[-1][1], last)
            else:
                merged.append([first, last])
        self.awaiting = merged

    def _released(self) -> list[str]:
        lowest = self.awaiting[0][0] if self.awaiting else None
        ready = [line for seq, line in self.held if lowest is None or seq < lowest]
        if ready:
            self.held = [(seq, line) for seq, line in self.held if lowest is not None and seq >= lowest]
        return ready

    def _joined(self, rows: list[Row]) -> list[str]:
        """One line for neighbouring rows of one batch and one round."""
        lines: list[str] = []
        batches = self.batches
        start: Row | None = None
        previous: Row | None = None
        for row in rows:
            seq = row[0]
            if start is not None and previous is not None and (row[1] != previous[1] or not batches or seq > batches[0][1]):
                lines.append(ack_line(self.session, previous, start[0]))
                start = None
            while batches and batches[0][1] < seq:
                batches.popleft()
            if not batches or seq < batches[0][0]:
                lines.append(ack_line(self.session, row))
            elif start is None:
                start = row
            previous = row
        if start is not None and previous is not None:
            lines.append(ack_line(self.session, previous, start[0]))
        while batches and batches[0][1] <= rows[-1][0]:
            batches.popleft()
        return lines


class NativeTalk:
    """See `Talk`."""

    def __init__(self, node: NodeId, port: NodePort, sink: Sink) -> None:
        self._node = node
        self._port = port
        self._sink = sink
        self._sessions: dict[str, SessionReplies] = {}
        self._messages: list[Message] = []
        self._full = False  # the node has no room
        self._is_behind = False  # whole lines are left over

    def feed(self, data: bytes) -> bytes:
        """Work on all whole lines."""
        whole, newline, rest = data.rpartition(b"\n")
        left = self._lines(whole) if newline else b""
        self._is_behind = bool(left)
        if left is None:
            return b""
        if len(rest) > MAX_LINE:
            self._refuse(garbage(f"a line is longer than {MAX_LINE} bytes", "too_long"))
            return b""
        return left + rest

    def end(self, data: bytes) -> bytes:
        """The last line may lack its newline."""
        return self.feed(data + b"\n") if data.strip() else b""

    def is_waiting(self) -> bool:
        """See `Talk`."""
        return any(replies.awaiting for replies in self._sessions.values())

    def is_full(self) -> bool:
        """See `Talk`: half a line waits for its client only."""
        return self._is_behind

    def committed(self, session: str, rows: list[Row]) -> None:
        """See `Replies`."""
        replies = self._sessions.get(session)
        if replies is None or not rows:
            return
        for line in replies.committed(rows):
            self._sink.reply(line)
        self._forget(replies)

    def failed(self, session: str, seq: int, code: str, text: str, retry: bool, expected: int | None = None) -> None:
        """See `Replies`."""
        if code == "gap" and expected is None:
            expected = self._port.last_seq(session) + 1
        line = error_line(code, text, session=session, seq=seq, retry=retry, expected=expected)
        replies = self._sessions.get(session) or SessionReplies(session)
        for ready in replies.failed(seq, line, submitted=True):
            self._sink.reply(ready)
        self._forget(replies)

    def _forget(self, replies: SessionReplies) -> None:
        """Sessions with nothing to come take no memory."""
        if not replies.awaiting and not replies.held:
            self._sessions.pop(replies.session, None)

    def _lines(self, whole: bytes) -> bytes | None:
        """Work on lines; returns those for which the node has no room, or None after garbage."""
        lines = whole.decode("utf-8", "surrogateescape").split("\n")
        self._full = not self._port.can_take()
        for number, line in enumerate(lines):
            if not line or line.isspace():
                continue
            try:
                if not self._line(line):
                    self._submit()
                    return "\n".join([*lines[number:], ""]).encode("utf-8", "surrogateescape")
            except ClientProtocolError as error:
                if error.close:
                    self._submit()
                    self._refuse(error)
                    return None
                self._error(error)
            if len(self._messages) >= _SUBMIT_AT:
                self._submit()
        self._submit()
        return b""

    def _line(self, line: str) -> bool:
        """Work on one line; False if it has to wait for room."""
        if len(line) > MAX_LINE // 4 and len(line.encode("utf-8", "surrogateescape")) > MAX_LINE:
            raise garbage(f"a line is longer than {MAX_LINE} bytes", "too_long")
        request = read_request(line)
        operation = request.get("op")
        if operation == "append":
            if self._full:
                return False
            self._append(request)
        elif operation == "hello":
            self._hello(read_session(request), request.get("cluster"))
        elif operation == "status":
            self._sink.reply(ok_line(self._port.status()))
        else:
            raise ClientProtocolError("bad_request", "op: takes append, hello or status")
        return True

    def _append(self, request: dict[str, Any]) -> None:
        try:
            append = read_append(request, self._node, self._messages)
        except ClientProtocolError as error:
            self._error(error, request.get("session"))
            return
        replies = self._sessions.get(append.session)
        if replies is None:
            replies = self._sessions[append.session] = SessionReplies(append.session)
        replies.submitted(append)

    def _hello(self, session: str, cluster: object) -> None:
        """Answer where a session stands. A node without a leader may be far behind, so it does not answer.

        Raises: ClientProtocolError where the client means another cluster, whose node had this address before.
        """
        own = None if cluster is None else self._port.status().get("cluster")
        if own is not None and cluster != own:
            why = f"this is a node of cluster {own}; ask another node"
            raise ClientProtocolError("wrong_cluster", why, retry=True, close=True)
        if self._port.has_leader():
            self._sink.reply(ok_line({"session": session, "last_seq": self._port.last_seq(session)}))
        else:
            why = "this node is in touch with no leader; ask again, or another node"
            self._sink.reply(error_line("no_quorum", why, session=session, retry=True))

    def _submit(self) -> None:
        if self._messages:
            messages, self._messages = self._messages, []
            self._port.submit(messages, self)
        self._full = not self._port.can_take()

    def _error(self, error: ClientProtocolError, session: object = None) -> None:
        self._port.on_refused("client", error.code)
        replies = self._sessions.get(session) if isinstance(session, str) else None
        name = replies.session if replies is not None else None
        line = error_line(error.code, str(error), session=name, seq=error.seq, retry=error.retry)
        if error.seq is None or replies is None:
            self._sink.reply(line)
            return
        for ready in replies.failed(error.seq, line, submitted=False):
            self._sink.reply(ready)
        if len(replies.held) > _MAX_HELD:
            self._refuse(garbage(f"more than {_MAX_HELD} requests of one session were wrong"))

    def _refuse(self, error: ClientProtocolError) -> None:
        self._port.on_refused("client", error.code)
        self._sink.refuse(error_line(error.code, str(error), retry=error.retry))
