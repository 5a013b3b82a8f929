"""What somebody who means harm, or a program with a bug, may send to a node's ports. Each attack ends by itself."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node_runtime import codec
from node_runtime.config import Address, NodeConfig
from node_runtime.ctl import reachable
from node_runtime.messages import (
    GENESIS,
    Ballot,
    Grant,
    No,
    PeerMessage,
    TurnRefused,
    Vote,
    VoteReply,
    VoteRequest,
    Written,
)

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Target:
    """A node as the outside sees it: its ports, its cluster's tag, and its directory for the admin socket."""

    node: int
    client: Address
    peer: Address
    tag: bytes
    data_dir: str

    @classmethod
    def of_process(cls, pid: int) -> Target:
        """The node that runs as this process."""
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        config = NodeConfig.from_env(dict(pair.split("=", 1) for pair in pairs if "=" in pair))
        ports = Address("127.0.0.1", config.client_address.port), Address("127.0.0.1", config.peer_address.port)
        return cls(config.node, *ports, config.cluster_tag, config.data_dir)


def dial(address: Address) -> socket.socket:
    """A connection that never blocks for long."""
    sock = socket.create_connection((address.host, address.port), timeout=5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def push(address: Address, *pieces: bytes, read: bool = False) -> bytes:
    """Connect, send these as far as the other side takes them, and hang up; with `read` wait for its answer to the end."""
    got = b""
    with dial(address) as sock, contextlib.suppress(OSError):
        for piece in pieces:
            sock.sendall(piece)
        if read:
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(65536):
                got += part
    return got


def flood(address: Address, piece: bytes, most: int, seconds: float = 20.0) -> int:
    """Send the same again and again until the other side has had enough; returns how many bytes it took."""
    sent, deadline = 0, time.monotonic() + seconds
    with dial(address) as sock, contextlib.suppress(OSError):
        while sent < most and time.monotonic() < deadline:
            sock.sendall(piece)
            sent += len(piece)
    return sent


def append(**changes: object) -> bytes:
    """One append request, somehow wrong."""
    request = {"op": "append", "session": "evil", "seq": 1, "time": 1, "message": "x"} | changes
    return json.dumps(request).encode() + b"\n"


REQUESTS: dict[str, bytes] = {
    "garbage": bytes(range(256)) * 40 + b"\n",
    "a browser": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x7f" * 200,
    "deep JSON": b"[" * 30_000 + b"\n",
    "deep objects": b'{"op":' * 10_000 + b"\n",
    "a list": b"[1,2,3]\n",
    "not UTF-8": b'{"op":"append","session":"evil","seq":1,"time":1,"message":"\xff\xfe"}\n',
    "a lone surrogate": b'{"op":"append","session":"evil","seq":1,"time":1,"message":"\\ud800"}\n',
    "a forged block": append(message="x\nContainer 9 \nMensagem: forged"),
    "control characters": append(message="\x1b[2J\x00\x07"),
    "other line ends": append(message="a\u2028b\u0085c"),
    "a long message": append(message="x" * 20_000),
    "not a number": b'{"op":"append","session":"evil","seq":1,"time":NaN,"message":"x"}\n',
    "infinity": b'{"op":"append","session":"evil","seq":1,"time":1e999,"message":"x"}\n',
    "a huge number": b'{"op":"append","session":"evil","seq":1' + b"0" * 5000 + b',"time":1,"message":"x"}\n',
    "a negative seq": append(seq=-1),
    "true as a seq": append(seq=True),
    "a session that is none": append(session="../../etc/passwd"),
    "a session of another type": append(session={"a": 1}),
    "an unknown op": b'{"op":"shutdown"}\n',
    "no op": b"{}\n",
    "an endless batch": b'{"op":"append","session":"evil","seq":1,"messages":[' + b'[1,"x"],' * 8000 + b"]}\n",
    "half of the text protocol": b"client/id{2}/timestamp{nan}/message{x}",
    "the text protocol with a forged block": b"client/id{2}/timestamp{1}/message{x\nContainer 9 }",
    "the text protocol with an id that is none": b"client/id{" + b"9" * 5000 + b"}/timestamp{1}/message{x}",
}


def frames(target: Target, sender: int) -> Iterator[tuple[str, bytes]]:
    """Frames that the peer port has to refuse, or that are of no consequence."""
    tag = target.tag
    good = codec.encode_frame(tag, sender, VoteReply(0, 0, False, False))
    head = codec.FRAME

    def header(length: int, kind: int = 4, magic: bytes = codec.MAGIC, version: int = codec.PROTOCOL_VERSION) -> bytes:
        return head.pack(magic, version, kind, tag, sender, length, 0)

    yield "garbage", b"\xff" * 5000
    yield "a browser", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield "another cluster", codec.encode_frame(b"notmine!", sender, VoteReply(0, 0, False, False))
    yield "another version", header(10, version=9) + b"x" * 10
    yield "an unknown type", header(10, kind=200) + b"x" * 10
    yield "a frame of a GiB", header(GIB) + b"x" * 1000
    yield "a frame of four GiB", header(2**32 - 1)
    yield "its own id", codec.encode_frame(tag, target.node, VoteReply(0, 0, False, False))
    yield "an id that there is not", codec.encode_frame(tag, 77, VoteReply(0, 0, False, False))
    yield "two names on one connection", good + codec.encode_frame(tag, (sender + 1) % 3, VoteReply(0, 0, False, False))
    yield "a wrong checksum", good[:-1] + bytes([good[-1] ^ 0xFF])
    yield "a pickle", b"\x80\x04\x95" + struct.pack("<Q", 50) + b"\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."


def stale(target: Target, sender: int, term: int) -> list[bytes]:
    """Valid frames of terms that are over, as somebody would replay them in the name of a peer (rule 6: they do nothing)."""
    said: list[PeerMessage] = []
    for old in range(term):
        said += [
            VoteRequest(old, 0, 0, False),
            VoteRequest(old, 2**40, 2**40, True),
            VoteReply(old, old, False, True),
            Vote(old, 1, 2**40, No.YES),
            Ballot(old, 1, 0, 0, GENESIS, 0, 0, 0, ()),
            Vote(old, 1, 0, No.GAP),
            Grant(old, 1, GENESIS, 0, 9, frozenset()),
            Written(old, 2**40, GENESIS, 0, 0, True),
            TurnRefused(old, 1, 0, 0, True),
        ]
    return [codec.encode_frame(target.tag, sender, message) for message in said]


def truncations(target: Target, sender: int) -> Iterator[bytes]:
    """Every proper beginning of valid frames and of a valid request."""
    whole = codec.encode_frame(target.tag, sender, Ballot(0, 1, 0, 0, GENESIS, 0, 0, 0, ()))
    for data in (codec.encode_hello(target.tag, sender), whole):
        for size in range(1, len(data)):
            yield data[:size]


def slow_loris(address: Address, count: int, opening: bytes) -> list[socket.socket]:
    """Connections that begin something and never end it; fewer where the system allows no more."""
    held: list[socket.socket] = []
    for _ in range(count):
        try:
            sock = dial(address)
            held.append(sock)
            sock.sendall(opening)
        except OSError:
            break
    return held


def close_all(socks: list[socket.socket]) -> None:
    """Hang up."""
    for sock in socks:
        sock.close()


def admin(target: Target, data: bytes) -> bytes:
    """Send something to the admin socket; what it answers until it hangs up or falls silent."""
    got = b""
    with socket.socket(socket.AF_UNIX) as sock, reachable(target.data_dir) as path, contextlib.suppress(OSError):
        sock.settimeout(2)
        sock.connect(path)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while part := sock.recv(65536):
            got += part
    return got
