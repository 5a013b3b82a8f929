"""One conversation in the seed's text protocol: `client/id{2}/timestamp{368186}/message{…}` -> `committed` | `sleep`.

There is no framing: one `recv` is one message. The seed's client sends, waits for the answer, and sends the same
bytes again after `sleep`. So one message is under way at a time, an answer is sent only to a request, and bytes
that come again after `sleep` are the same message with the same number: it is never doubled (promise 2).
"""

from __future__ import annotations

import itertools
import re

from node_runtime.client_port import MAX_LINE, NodePort, Sink
from node_runtime.errors import ClientProtocolError
from node_runtime.messages import MAX_TIME, Message, NodeId, Row
from node_runtime.records import render_block, text_fault

PREFIX = b"client/"

_MESSAGE = re.compile(rb"client/id\{[^{}]{0,64}\}/timestamp\{([^{}]{1,40})\}/message\{(.*)\}\Z", re.DOTALL)
_BOUNDARY = re.compile(rb"\}\s*(?=client/id\{[^{}]{0,64}\}/timestamp\{[^{}]{1,40}\}/message\{)")
_NUMBER = re.compile(r"(\d{1,20})(?:\.\d*)?(?:[eE]([+-]?\d{1,2}))?\Z")
_BODY_STARTS = b"}/message{"


def read_time(text: str) -> int:
    """The sort key of a timestamp, which may be a decimal: its whole part.

    Raises: ClientProtocolError for what is no number from 0 to MAX_TIME: NaN, infinities, a sign (rule 50).
    """
    match = _NUMBER.match(text)
    if match is not None and text.isascii():
        value = int(match[1]) if match[2] is None else int(float(text))
        if value <= MAX_TIME:
            return value
    raise ClientProtocolError("bad_time", f"timestamp: takes a number from 0 to {MAX_TIME}", close=True)


def read_message(data: bytes) -> tuple[int, str]:
    """The time and the body of one message.

    Raises: ClientProtocolError.
    """
    match = _MESSAGE.match(data)
    if match is None:
        takes = "takes client/id{…}/timestamp{…}/message{…}"
        raise ClientProtocolError("garbage", f"this is no message of the text protocol; {takes}", close=True)
    try:
        stamp, body = match[1].decode("ascii"), match[2].decode()
    except UnicodeDecodeError:
        raise ClientProtocolError("bad_text", "message: is not UTF-8", close=True) from None
    fault = text_fault(body)
    if fault is not None:
        raise ClientProtocolError("bad_text", f"message: {fault}; send it without", close=True)
    return read_time(stamp), body


def cut(data: bytes) -> tuple[bytes, bytes] | None:
    """The first message of `data` and what follows it, or None while its end is missing."""
    boundary = _BOUNDARY.search(data)
    if boundary is not None:
        return data[: boundary.start() + 1], data[boundary.end() :]
    piece = data.rstrip()
    is_whole = piece.endswith(b"}") and _BODY_STARTS in piece
    return (piece, b"") if is_whole or b"\n" in data else None


class TextTalk:
    """See `Talk`. A session is `<name>-<n>`; a new one starts where a message was given up by its client."""

    def __init__(self, name: str, node: NodeId, port: NodePort, sink: Sink) -> None:
        self._names = (f"{name}.{number}" for number in itertools.count(1))
        self._session = name
        self._seq = 0
        self._node = node
        self._port = port
        self._sink = sink
        self._bytes = b""  # the last message that was submitted and not answered `committed`
        self._message: Message | None = None
        self._is_asked = False  # its answer is owed to the client
        self._is_done = False  # it was committed after the client had heard `sleep`

    def feed(self, data: bytes) -> bytes:
        """Work on one message after the other, as long as none is under way."""
        while not self._is_asked:
            data = data.lstrip()
            parts = cut(data)
            if parts is None:
                if len(data) > MAX_LINE:
                    self._refuse(ClientProtocolError("too_long", f"a message is longer than {MAX_LINE} bytes", close=True))
                    return b""
                return data
            piece, data = parts
            try:
                self._take(piece)
            except ClientProtocolError as error:
                self._refuse(error)
                return b""
        return data

    def end(self, data: bytes) -> bytes:
        """A message that is cut short is dropped: its end is unknown."""
        return data if self._is_asked else b""

    def is_waiting(self) -> bool:
        """See `Talk`."""
        return self._is_asked

    def is_full(self) -> bool:
        """See `Talk`: one message is under way at a time."""
        return self._is_asked

    def committed(self, session: str, rows: list[Row]) -> None:
        """See `Replies`."""
        if self._message is None or session != self._session or all(row[0] != self._seq for row in rows):
            return
        if self._is_asked:
            self._answer_committed()
            self._sink.again()
        else:
            self._is_done = True

    def failed(self, session: str, seq: int, code: str, text: str, retry: bool, expected: int | None = None) -> None:
        """See `Replies`. The message may still be decided, so its bytes are kept."""
        if not self._is_asked or session != self._session or seq != self._seq:
            return
        self._is_asked = False
        if retry:
            self._sink.reply("sleep")
            self._sink.again()
        else:
            self._refuse(ClientProtocolError(code, text, close=True))

    def _take(self, piece: bytes) -> None:
        time, body = read_message(piece)
        if not body:
            return
        is_again = self._message is not None and piece == self._bytes
        if is_again and self._is_done:
            self._answer_committed()
            return
        if not (self._port.has_leader() and self._port.can_take()):
            self._sink.reply("sleep")
            return
        if not is_again:
            self._new_message(time, body)
            self._bytes = piece
        assert self._message is not None
        self._is_asked = True
        self._port.submit([self._message], self)

    def _new_message(self, time: int, body: str) -> None:
        if self._message is not None:  # given up by the client, its fate unknown: nothing may wait for it
            self._session = next(self._names)
            self._seq = 0
        self._seq += 1
        self._is_done = False
        self._message = Message(time, self._node, self._session, self._seq, render_block(self._node, body))

    def _answer_committed(self) -> None:
        self._is_asked = False
        self._message = None
        self._bytes = b""
        self._sink.reply("committed")

    def _refuse(self, error: ClientProtocolError) -> None:
        self._port.on_refused("client", error.code)
        self._sink.refuse(f"error: {error}\n")
