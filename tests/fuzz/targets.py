"""What is fuzzed: functions of any bytes that must end in a value or in an error of their own class, and never otherwise.

`make test` feeds them from Hypothesis (tests/unit/test_any_bytes.py), `make fuzz` from Atheris, which is led by coverage.
"""

from __future__ import annotations

import contextlib
import io
import json
import struct
from collections.abc import Callable
from typing import Any

from node_runtime import codec, ctl, records, votelog
from node_runtime.admin import Admin
from node_runtime.config import NodeConfig
from node_runtime.errors import JournalError, PeerProtocolError
from node_runtime.faults import FaultPanel, LinkFaults
from node_runtime.history import read_progress
from node_runtime.messages import GENESIS, Message, Policy
from node_runtime.native_protocol import NativeTalk
from node_runtime.text_protocol import PREFIX, TextTalk
from tests.component.disk_bench import SimBench, fill, make_rounds, open_journal
from votesync_cli.errors import UsageError
from votesync_cli.fault_words import parse_fault
from votesync_cli.verify.reader import End, Run, read
from votesync_cli.verify.votebook import load_votes

TAG = b"cluster1"
_HOME = {"ID": "0", "PEERS": "0=127.0.0.1:6000,1=127.0.0.1:6001,2=127.0.0.1:6002", "FAULTS": "1"}


class Desk:
    """Stands for the node and for the connection behind a conversation with a client."""

    def __init__(self) -> None:
        self.submitted: list[Message] = []
        self.replies: list[str] = []
        self.is_closed = False

    def submit(self, messages: list[Message], client: Any) -> None:
        """Whatever passes the door can be encoded (rule 38)."""
        for message in messages:
            codec.encode_round(1, 1, GENESIS, Policy.TURNS, 0, [message])
            assert message.block.count(b"\n") == 2, "a message never forges a block"
        self.submitted += messages

    def last_seq(self, session: str) -> int:
        """Nothing is known of anybody."""
        return 0

    def can_take(self) -> bool:
        """Always."""
        return True

    def has_leader(self) -> bool:
        """Always."""
        return True

    def status(self) -> dict[str, Any]:
        """Something."""
        return {"role": "leader"}

    def on_refused(self, port: str, reason: str) -> None:
        """Refusals have a reason."""
        assert port == "client"
        assert reason

    def reply(self, text: str) -> None:
        """Kept."""
        self.replies.append(text)

    def refuse(self, text: str) -> None:
        """Kept; nothing is fed after it."""
        self.reply(text)
        self.is_closed = True

    def again(self) -> None:
        """Nothing waits here."""


def frame(data: bytes) -> None:
    """A payload with a right header and checksum, as a peer with a bug would send it; and the bytes as they are."""
    kind, payload = (data[0] % 10, data[1:]) if data else (0, b"")
    for whole in (codec._frame(TAG, 1, kind, payload), data):
        try:
            found = codec.decode_frame(whole, TAG)
        except PeerProtocolError:
            continue
        again = codec.decode_frame(codec.encode_frame(TAG, found.sender, found.message), TAG)
        assert again == found


def round_(data: bytes) -> None:
    """Any bytes as a round, and a sound round with some of its bytes changed."""
    bad = bytearray(make_rounds(1, messages=4)[0].encoded)
    for place, value in zip(data[::2], data[1::2], strict=False):
        bad[place % len(bad)] = value
    for encoded in (data, bytes(bad)):
        try:
            found = codec.decode_round(encoded)
        except PeerProtocolError:
            continue
        messages = list(codec.messages_of(found))
        assert b"".join(message.block for message in messages) == found.blocks


def native(data: bytes) -> None:
    """A conversation in JSON Lines, cut into pieces where the bytes say."""
    desk = Desk()
    talk, left = NativeTalk(0, desk, desk), b""
    for piece in _pieces(data):
        if not desk.is_closed:
            left = talk.feed(left + piece)
    if not desk.is_closed:
        talk.end(left)
    for reply in desk.replies:
        assert isinstance(json.loads(reply), dict)


def text(data: bytes) -> None:
    """A conversation in the seed's protocol; whatever is submitted is decided at once."""
    desk = Desk()
    talk, left, decided = TextTalk("t0-1", 0, desk, desk), b"", 0
    for piece in _pieces(PREFIX + data):
        if desk.is_closed:
            return
        left = talk.feed(left + piece)
        for message in desk.submitted[decided:]:
            talk.committed(message.session, [(message.seq, 1, 0)])
        decided = len(desk.submitted)


def record(data: bytes) -> None:
    """A body that is parsed, and one that is made of it."""
    body = data.decode(errors="surrogateescape")
    records.parse_body(body)
    if records.text_fault(body) is None:
        assert records.parse_body(records.native_body("c", 1, body)) == records.Body("c", "1", body)


def journal(data: bytes) -> None:
    """A journal with bytes changed, or cut, or anything at all: it opens with a beginning of its rounds, or refuses."""
    bench, rounds = SimBench(1), make_rounds(6)
    fill(bench.mount(), bench.root, rounds)
    path = f"{bench.root}/journal/00000001.log"
    bad = bytearray(bench.get(path))
    if data[:1] == b"\xff":
        bad[64 : 64 + len(data) - 1] = data[1:]
    else:
        for at in range(0, len(data) - 2, 3):
            place, value = struct.unpack_from("<HB", data, at)
            bad[place % 2048] = value
    bench.put(path, bytes(bad))
    try:
        opened, replayed = open_journal(bench.mount(), bench.root)
    except JournalError:
        return
    assert replayed.rounds == rounds[: len(replayed.rounds)]
    assert len(replayed.rounds) == len(rounds) or opened.recovering, "a round that was promised is missed"
    opened.close()


def shared_file(data: bytes) -> None:
    """A file for verify: every byte is accounted for."""
    end, blocks = None, 0
    for piece in read(io.BytesIO(data)):
        if isinstance(piece, Run):
            blocks += len(piece)
        elif isinstance(piece, End):
            end = piece
    assert end is not None
    assert end.size == len(data)
    assert blocks * 20 <= len(data), "a block has a head and a body"


def evidence(data: bytes) -> None:
    """Lines of vote logs and of histories."""
    lines = data.split(b"\n")
    for line in lines:
        votelog.decode(line)
    load_votes(lines)
    read_progress(lines, "c")


def admin(data: bytes) -> None:
    """A line to the admin socket."""
    config = NodeConfig.from_env(_HOME)
    panel = FaultPanel(LinkFaults(0, config.peers), config.peers, allowed=True, skew=lambda ticks: None)

    class Port:
        """Answers as a node does."""

        def status(self) -> dict[str, Any]:
            """Something."""
            return {}

        def health(self) -> tuple[bool, str]:
            """Well."""
            return True, ""

        def fault(self, request: dict[str, Any]) -> dict[str, Any]:
            """By the real panel."""
            return panel.handle(request, 0)

    reply = Admin(config, Port()).answer(data)
    assert json.loads(json.dumps(reply))["ok"] in (True, False)


def words(data: bytes) -> None:
    """The words of `votesync fault` and of `ctl`."""
    said = data.decode(errors="replace").split()
    with contextlib.suppress(UsageError):
        parse_fault(said, range(5), lambda role: 0)
    with contextlib.suppress(ctl._UsageError):
        ctl._request(said)


def _pieces(data: bytes) -> list[bytes]:
    """The bytes in pieces whose sizes the first of them chooses."""
    size = (data[0] % 64) + 1 if data else 1
    return [data[start : start + size] for start in range(0, len(data), size)]


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__.strip("_"): target
    for target in (frame, round_, native, text, record, journal, shared_file, evidence, admin, words)
}
SEEDS: dict[str, list[bytes]] = {
    "native": [b'{"op":"append","session":"c2","seq":1,"time":1,"message":"x"}\n', b'{"op":"hello","session":"c2"}\n'],
    "text": [b"id{2}/timestamp{1.5}/message{x}"],
    "shared_file": [b"Container 2 \nMensagem: client 2 time: 1 - message: 3\n" + b"#" * 56 + b"\n"],
    "evidence": [b'{"ts":1.0,"mono":1,"node":0,"event":"start","term":1,"nodes":3}\n'],
    "admin": [b'{"op":"fault","kind":"cut","from":[0],"to":[1],"for_ms":5}', b'{"op":"heal"}'],
    "words": [b"delay 2 80ms", b"fault cut --from 0 --to 1"],
}
