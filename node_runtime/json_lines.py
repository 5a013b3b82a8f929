"""The native client protocol, JSON Lines: requests and replies to text and back (DESIGN section 5).

Everything a client sends is checked here, before it is proposed (rules 38, 50, 52): what passes can be rendered,
encoded and applied by every node.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from node_runtime.client_port import MAX_LINE
from node_runtime.errors import ClientProtocolError
from node_runtime.messages import MAX_SEQ, MAX_SESSION, MAX_TIME, Message, NodeId, Row
from node_runtime.records import is_session, native_block, text_fault

_known_session = lru_cache(maxsize=4096)(is_session)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_scan = json.JSONDecoder(parse_constant=_no_constant).raw_decode


class Append(NamedTuple):
    """One append request: `messages` have the numbers first, first + 1, …"""

    session: str
    first: int
    last: int
    is_batch: bool


def read_request(line: str) -> dict[str, Any]:
    """The object on a line.

    Raises: ClientProtocolError (`close`) for what is not a JSON object.
    """
    if line[:1] in " \t":
        line = line.lstrip(" \t")
    try:
        value, end = _scan(line)
        if end != len(line) and line[end:].strip(" \t\r"):
            value = None
        if not line.isascii():
            line.encode()  # bytes that are not UTF-8 came as lone surrogates
    except (ValueError, RecursionError):
        raise garbage("this line is not JSON in UTF-8") from None
    if type(value) is not dict:
        raise garbage("this line is not one JSON object")
    return value


def garbage(why: str, code: str = "garbage") -> ClientProtocolError:
    """The error for what no client sends; the connection closes."""
    return ClientProtocolError(code, f"{why}; send one JSON object a line, as in docs/PROTOCOL.md", close=True)


def read_session(request: dict[str, Any]) -> str:
    """The session of a request.

    Raises: ClientProtocolError.
    """
    session = request.get("session")
    if type(session) is not str or len(session) > MAX_SESSION or not _known_session(session):
        takes = f"takes 1 to {MAX_SESSION} letters, digits or _ . : -"
        raise ClientProtocolError("bad_session", f"session: {takes}", seq=_known_seq(request))
    return session


def read_append(request: dict[str, Any], node: NodeId, into: list[Message]) -> Append:
    """Add the messages of an append request to `into`: all of them, or none if one is wrong.

    Raises: ClientProtocolError, with the number of the message that is wrong.
    """
    session = read_session(request)
    seq = request.get("seq")
    if type(seq) is not int or not 1 <= seq <= MAX_SEQ:
        raise ClientProtocolError("bad_seq", f"seq: takes a whole number from 1 to {MAX_SEQ}")
    pairs = request.get("messages")
    if pairs is None:
        into += _messages(session, seq, ((request.get("time"), request.get("message")),), node)
        return Append(session, seq, seq, False)
    if type(pairs) is not list or not pairs or seq + len(pairs) - 1 > MAX_SEQ:
        raise ClientProtocolError("bad_request", 'messages: takes [[time, "text"], …] with at least one pair', seq=seq)
    for number, pair in enumerate(pairs, seq):
        if type(pair) is not list or len(pair) != 2:
            raise ClientProtocolError("bad_request", 'messages: each takes [time, "text"]', seq=number)
    into += _messages(session, seq, pairs, node)
    return Append(session, seq, seq + len(pairs) - 1, True)


def _messages(session: str, first: int, pairs: Iterable[Sequence[Any]], node: NodeId) -> list[Message]:
    made: list[Message] = []
    new = tuple.__new__  # Message(...) takes twice as long, and this runs for every message
    for seq, (time, text) in enumerate(pairs, first):
        if type(time) is not int or not 0 <= time <= MAX_TIME:
            raise ClientProtocolError("bad_time", f"time: takes whole microseconds from 0 to {MAX_TIME}", seq=seq)
        if type(text) is not str:
            raise ClientProtocolError("bad_text", "message: takes a text", seq=seq)
        fault = text_fault(text)
        if fault is not None:
            raise ClientProtocolError("bad_text", f"message: {fault}; send it without", seq=seq)
        made.append(new(Message, (time, node, session, seq, native_block(node, session, time, text))))
    return made


def _known_seq(request: dict[str, Any]) -> int | None:
    seq = request.get("seq")
    return seq if type(seq) is int and 1 <= seq <= MAX_SEQ else None


# --- replies ---


def ack_line(session: str, row: Row, first: int | None = None) -> str:
    """The ack of message `row`, or of `first` up to it. Offset is where the last of them starts."""
    seq, index, offset = row
    since = "" if first is None else f',"first":{first}'
    if index is None or offset is None:
        return f'{{"ok":true,"session":"{session}","seq":{seq}{since},"round":null,"offset":null,"duplicate":true}}\n'
    return f'{{"ok":true,"session":"{session}","seq":{seq}{since},"round":{index},"offset":{offset}}}\n'


def error_line(
    code: str,
    text: str,
    *,
    session: str | None = None,
    seq: int | None = None,
    retry: bool = False,
    expected: int | None = None,
) -> str:
    """`retry` true: the same request may work later, or elsewhere; its fate is unknown until then (rule 37)."""
    reply: dict[str, Any] = {"ok": False}
    if session is not None:
        reply["session"] = session
    if seq is not None:
        reply["seq"] = seq
    reply |= {"code": code, "error": text, "retry": retry}
    if expected is not None:
        reply["expected"] = expected
    return _dump(reply)


def ok_line(fields: Mapping[str, object]) -> str:
    """Any other good reply."""
    return _dump({"ok": True, **fields})


def _dump(reply: dict[str, object]) -> str:
    return json.dumps(reply, separators=(",", ":")) + "\n"


# --- requests, as the client writes them ---


def hello_request(session: str, cluster: str | None = None) -> bytes:
    """Asks for the highest decided seq of a session; a node of another cluster than the named one refuses."""
    named = "" if cluster is None else f',"cluster":{encode_basestring(cluster)}'
    return f'{{"op":"hello","session":"{session}"{named}}}\n'.encode()


def append_requests(session: str, first: int, messages: Sequence[tuple[int, str]]) -> list[bytes]:
    """The lines that append `messages` (time, text) as first, first + 1, …: one if they fit, more if not."""
    if len(messages) == 1:
        time, text = messages[0]
        body = f'{{"op":"append","session":"{session}","seq":{first},"time":{time},"message":{encode_basestring(text)}}}\n'
        return [body.encode()]
    lines: list[bytes] = []
    pairs: list[bytes] = []
    size = 0
    for number, (time, text) in enumerate(messages, first):
        pair = f"[{time},{encode_basestring(text)}]".encode()
        if pairs and size + len(pair) > MAX_LINE - 256:
            lines.append(_batch(session, number - len(pairs), pairs))
            pairs, size = [], 0
        pairs.append(pair)
        size += len(pair) + 1
    lines.append(_batch(session, first + len(messages) - len(pairs), pairs))
    return lines


def _batch(session: str, first: int, pairs: list[bytes]) -> bytes:
    return f'{{"op":"append","session":"{session}","seq":{first},"messages":['.encode() + b",".join(pairs) + b"]}\n"
