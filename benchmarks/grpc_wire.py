"""Just enough gRPC over HTTP/2 (RFC 9113, RFC 7541) to put load on etcd without being its bottleneck. Knows no socket.

The client libraries for Python manage some 3,000 calls a second and process; this one more than 50,000, since headers are
packed once and answers are only counted. Strings are not Huffman-coded and no table of headers is kept, both of which
the standards allow.
"""

from __future__ import annotations

import struct

from node_runtime.bench_lanes import WireError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_FIRST_WINDOW = 65_535
_CREDIT = 1 << 20  # bytes taken after which the other side is given new credit


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field_bytes(number: int, value: bytes) -> bytes:
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def field_int(number: int, value: int) -> bytes:
    """A protobuf field of a number."""
    return varint(number << 3) + varint(value)


def fields(data: bytes) -> dict[int, int | bytes]:
    """The fields of a message, the last one of each number. Fixed-width fields do not occur in what is read here.

    Raises: WireError.
    """
    found: dict[int, int | bytes] = {}
    place = 0
    while place < len(data):
        key, place = _varint_at(data, place)
        if key & 7 == 0:
            found[key >> 3], place = _varint_at(data, place)
        elif key & 7 == 2:
            length, place = _varint_at(data, place)
            found[key >> 3], place = data[place : place + length], place + length
        else:
            raise WireError("a field of an unknown kind")
    return found


def _varint_at(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 127) << shift
        shift, place = shift + 7, place + 1
        if byte < 128:
            return value, place


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame."""
    return struct.pack(">I", len(payload) << 8 | kind) + struct.pack(">BI", flags, stream) + payload


def greeting() -> bytes:
    """What a client sends first: no table of headers, and as much credit as there is."""
    settings = struct.pack(">HIHI", 1, 0, 4, 0x7FFFFFFF)
    return PREFACE + frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW, 0, 0, struct.pack(">I", 1 << 30))


def header_block(path: str, authority: str) -> bytes:
    """The packed headers of a call: indexed ones, and literals that are not to be indexed."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    return (
        b"\x83\x86"  # :method POST, :scheme http
        + b"\x04" + text(path)
        + b"\x01" + text(authority)
        + b"\x0f\x10" + text("application/grpc")  # content-type
        + b"\x00" + text("te") + text("trailers")
    )  # fmt: skip


class Http2:
    """One connection on which calls are made: bytes out, bytes in, which calls ended and with what."""

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._blocks: dict[str, bytes] = {}
        self._stream = 1
        self._rest = b""
        self._room = _FIRST_WINDOW
        self._held: list[tuple[bytes, int]] = []  # requests that wait for credit
        self._taken = 0
        self._bodies: dict[int, bytes] = {}

    def call(self, path: str, body: bytes) -> bytes:
        """What to send for a call now; the rest of it leaves with a later `feed`."""
        block = self._blocks.get(path)
        if block is None:
            block = self._blocks[path] = header_block(path, self._authority)
        message = b"\0" + struct.pack(">I", len(body)) + body
        stream, self._stream = self._stream, self._stream + 2
        request = frame(_HEADERS, _END_HEADERS, stream, block) + frame(_DATA, _END_STREAM, stream, message)
        self._held.append((request, len(message)))
        return self._released()

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Take what has arrived: the answers of the calls that ended, and what is to be sent back.

        Raises: WireError for an answer that is an error.
        """
        data = self._rest + data
        ended: list[bytes] = []
        back: list[bytes] = []
        place, size = 0, len(data)
        while size - place >= 9:
            length = int.from_bytes(data[place : place + 3])
            if size - place < 9 + length:
                break
            kind, flags = data[place + 3], data[place + 4]
            payload = data[place + 9 : place + 9 + length]
            stream = int.from_bytes(data[place + 5 : place + 9])
            place += 9 + length
            if kind == _DATA:
                self._taken += length
                self._bodies[stream] = self._bodies.get(stream, b"") + payload
            elif kind == _HEADERS:
                if flags & _END_STREAM:
                    ended.append(self._ended(stream))
            else:
                back.append(self._control(kind, flags, stream, payload))
        self._rest = data[place:]
        if self._taken > _CREDIT:
            back.append(frame(_WINDOW, 0, 0, struct.pack(">I", self._taken)))
            self._taken = 0
        back.append(self._released())
        return ended, b"".join(back)

    def _ended(self, stream: int) -> bytes:
        """The answer of a call: one without a body is an error, told in its headers."""
        body = self._bodies.pop(stream, b"")
        if len(body) < 5:
            raise WireError("the call was refused")
        return body[5:]

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        """Frames about the connection; returns the answer."""
        if kind == _WINDOW and stream == 0:
            self._room += int.from_bytes(payload) & 0x7FFFFFFF
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            return frame(kind, _ACK, 0, payload if kind == _PING else b"")
        elif kind == _GOAWAY:
            raise WireError("the server is closing the connection")
        elif kind == _RESET:
            raise WireError("the call was reset")
        return b""

    def _released(self) -> bytes:
        """What of the held requests the credit covers."""
        out = []
        while self._held and self._held[0][1] <= self._room:
            request, cost = self._held.pop(0)
            self._room -= cost
            out.append(request)
        return b"".join(out)


class PutWire:
    """Puts of one client, each a call of its own on one connection. Answers are matched with calls oldest first, which
    leaves the mean exact and moves quantiles a little where answers overtake one another.
    """

    def __init__(self, name: str, authority: str, size: int) -> None:
        self._name = name
        self._authority = authority
        self._size = size
        self._next = 1
        self._acked = 0
        self._link = Http2(authority)

    def greet(self) -> bytes:
        """The preface and the settings."""
        return greeting()

    def again(self) -> bytes:
        """A new connection; puts without an answer are made once more."""
        self._link, self._next = Http2(self._authority), self._acked + 1
        return greeting()

    def requests(self, count: int) -> bytes:
        """The next puts: keys are never used twice, values are as long as a message's block."""
        first, self._next = self._next, self._next + count
        return b"".join([self._link.call("/etcdserverpb.KV/Put", self._put(seq)) for seq in range(first, first + count)])

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """How many puts were answered."""
        ended, back = self._link.feed(data)
        self._acked += len(ended)
        return len(ended), back

    def _put(self, seq: int) -> bytes:
        return field_bytes(1, f"{self._name}/{seq:012}".encode()) + field_bytes(2, b"x" * self._size)
