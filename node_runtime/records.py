"""Blocks and separators of `output.txt`: how they are rendered and how they are read back (DESIGN section 1).

A block is two lines, `Container <node id> ` and `Mensagem: <body>`; a round ends with 56 `#`. Rendering is pure
and independent of locale (rule 46); its version is `FORMAT_VERSION`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from node_runtime.messages import MAX_MESSAGE

FORMAT_VERSION = 1
TYPED = "send-"  # how the sessions begin whose messages somebody typed (`votesync send`)
SEPARATOR = b"#" * 56 + b"\n"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SESSION = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_NATIVE = re.compile(r"client (?P<session>\S+) time: (?P<time>[0-9]+(?:\.[0-9]+)?) - message: (?P<text>.*)\Z", re.DOTALL)
_SEED = re.compile(r"client\[(?P<session>[0-9]+)\] - (?P<time>[0-9]+(?:\.[0-9]+)?) - M\[(?P<text>[0-9]+)\]\Z")


class Body(NamedTuple):
    """What a block's body says; `time` stays text: the seed's may be a decimal."""

    session: str
    time: str
    text: str


def is_session(name: str) -> bool:
    """Whether `name` can be a session: 1 to 64 letters, digits, `_ . : -`."""
    return _SESSION.match(name) is not None


def text_fault(text: str) -> str | None:
    """Why `text` cannot stand in a block, or None: control characters could forge a block (rule 38)."""
    if len(text) <= MAX_MESSAGE and text.isascii() and text.isprintable():
        return None  # the common case, ten times as fast
    if _CONTROL.search(text) is not None:
        return "has a control character or a lone surrogate"
    if len(text.encode()) > MAX_MESSAGE:
        return f"is longer than {MAX_MESSAGE} bytes"
    return None


def native_body(session: str, time: int, text: str) -> str:
    """The body of a native message: `client <session> time: <time> - message: <text>`."""
    return f"client {session} time: {time} - message: {text}"


def render_block(node: int, body: str) -> bytes:
    """The two lines of one message."""
    return f"Container {node} \nMensagem: {body}\n".encode()


def native_block(node: int, session: str, time: int, text: str) -> bytes:
    """`render_block` of the `native_body`, in one go: it is made for every message."""
    return f"Container {node} \nMensagem: client {session} time: {time} - message: {text}\n".encode()


def render_round(blocks: Iterable[bytes]) -> bytes:
    """The bytes of one round: its blocks and the separator; nothing at all where there are no blocks."""
    joined = b"".join(blocks)
    return joined + SEPARATOR if joined else b""


def parse_body(body: str) -> Body | None:
    """Read a body, native or one of the seed's older ones (`client[3] - 307326 - M[0]`); None if it is neither."""
    match = _NATIVE.match(body) or _SEED.match(body)
    return Body(match["session"], match["time"], match["text"]) if match else None
