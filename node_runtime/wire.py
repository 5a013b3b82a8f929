"""The parts that frames and rounds are made of: names, columns of integers, and a reader that never runs past the end."""

from __future__ import annotations

import struct
import sys
from array import array
from typing import Any

from node_runtime.errors import PeerProtocolError
from node_runtime.messages import MAX_SESSION

_LITTLE = sys.byteorder == "little"


class Reader:
    """Takes parts off a byte string, never past its end (rule 51). What is not there raises PeerProtocolError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        """The fields of a struct."""
        if self._at + form.size > len(self._data):
            raise PeerProtocolError("cut short")
        values = form.unpack_from(self._data, self._at)
        self._at += form.size
        return values

    def chunk(self, length: int) -> bytes:
        """So many bytes."""
        if length > len(self._data) - self._at:
            raise PeerProtocolError("cut short")
        self._at += length
        return self._data[self._at - length : self._at]

    def text(self) -> str:
        """A name, as `name_bytes` wrote it."""
        data, start = self._data, self._at + 1
        if start > len(data) or not 0 < data[start - 1] <= MAX_SESSION:
            raise PeerProtocolError("a session name is out of bounds")
        self._at = start + data[start - 1]
        name = data[start : self._at]
        if self._at > len(data) or not name.isascii():
            raise PeerProtocolError("a session name is cut short or not ASCII")
        return name.decode("ascii")

    def column(self, typecode: str, count: int) -> array[int]:
        """So many integers, as `column_bytes` wrote them."""
        column = array(typecode)
        start, self._at = self._at, self._at + count * column.itemsize
        if self._at > len(self._data):
            raise PeerProtocolError("cut short")
        column.frombytes(self._data[start : self._at])
        if not _LITTLE:
            column.byteswap()
        return column

    def rest(self) -> bytes:
        """All that is left."""
        start, self._at = self._at, len(self._data)
        return self._data[start:]

    def end(self) -> None:
        """Nothing is left."""
        if self._at != len(self._data):
            raise PeerProtocolError("bytes are left over")


def name_bytes(name: str) -> bytes:
    """A session's name behind its length."""
    return bytes((len(name),)) + name.encode("ascii")


def column_bytes(column: array[int]) -> bytes:
    """Integers one behind the other, little-endian."""
    if not _LITTLE:
        column = array(column.typecode, column)
        column.byteswap()
    return column.tobytes()
