"""Errors of a node, named by who is at fault; a bug is an assertion and never one of these (rule 56)."""

from __future__ import annotations


class NodeError(Exception):
    """Base of every handled error of the node; `exit_code` is what the process ends with."""

    exit_code = 1


class ConfigError(NodeError):
    """An environment variable has a value that cannot be used."""

    exit_code = 2

    def __init__(self, variable: str, got: object, takes: str) -> None:
        super().__init__(f"{variable}={got!r}: takes {takes}")
        self.variable = variable
        self.got = got
        self.takes = takes


class PeerProtocolError(NodeError):
    """A peer (or whoever speaks on the peer port) sent what no node sends."""


class ClientProtocolError(NodeError):
    """A client sent what cannot be taken; `code` goes back to it, `retry` says whether to send it again."""

    def __init__(self, code: str, text: str, *, seq: int | None = None, retry: bool = False, close: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.seq = seq
        self.retry = retry
        self.close = close


class JournalError(NodeError):
    """The node's journal or state file cannot be used as it is; starting empty instead is forbidden (rule 28)."""


class SharedFileError(NodeError):
    """The shared file is somebody else's, or cannot be written."""


class DiskError(NodeError):
    """The disk refused a write or an fsync; the process ends at once and never tries it again (rules 24, 25)."""

    exit_code = 4
