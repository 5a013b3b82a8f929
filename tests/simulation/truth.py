"""What was decided, gathered from all nodes: the log, the file that follows from it, and where each message stands.

The file is rendered here anew, straight from DESIGN section 1, so that a wrong rendering in the nodes is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from node_runtime.codec import messages_of
from node_runtime.messages import Round
from tests.simulation.checkers import Checker, Violation

if TYPE_CHECKING:
    from tests.simulation.process import SimNode
    from tests.simulation.world import World

SEPARATOR = b"#" * 56 + b"\n"


class Placed(NamedTuple):
    """Where a message stands: its place among all messages, its round, and its block's first byte in the file."""

    place: int
    round: int
    offset: int
    block: bytes


def block_of(node: int, session: str, time: int, text: str) -> bytes:
    """The two lines of a native message, as DESIGN has them."""
    return f"Container {node} \nMensagem: client {session} time: {time} - message: {text}\n".encode()


class Truth(Checker):
    """Promises 2, 3 and 4: a decided round never changes, all nodes decide the same, and it holds what clients sent.

    Rules 35, 36 and 38: each message once, a session in seq order, the messages of a round sorted.
    """

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self.terms: list[int] = []  # the term of the node that was the first to take the round for decided
        self.ends: list[int] = [0]  # ends[n]: the size of the file when round n is written
        self.file = bytearray()
        self.placed: dict[tuple[str, int], Placed] = {}
        self.last: dict[str, int] = {}

    def on_boot(self, world: World, node: SimNode, before: dict[int, bytes]) -> None:
        """What a node takes for decided when it starts was decided (rule 23)."""
        log = node.state.log
        if log.decided > len(self.rounds):
            raise Violation(self, f"node {node.id} starts with {log.decided} decided rounds of {len(self.rounds)}")
        if log.decided and log.point(log.decided).digest != self.rounds[log.decided - 1].digest:
            raise Violation(self, f"node {node.id} starts with another decided round {log.decided}")

    def on_decided(self, world: World, node: SimNode, round_: Round) -> None:
        if round_.index <= len(self.rounds):
            known = self.rounds[round_.index - 1]
            if known.digest != round_.digest:
                digests = f"{known.digest.hex()[:8]} and {round_.digest.hex()[:8]}"
                raise Violation(self, f"round {round_.index} was decided as {digests}")
            return
        if round_.index != len(self.rounds) + 1:
            raise Violation(self, f"round {round_.index} is decided before {len(self.rounds) + 1}")
        if round_.offset != len(self.file):
            raise Violation(self, f"round {round_.index} starts at {round_.offset}, not at {len(self.file)}")
        self._take(world, round_)
        self.rounds.append(round_)
        self.terms.append(node.state.term)
        self.ends.append(len(self.file))
        if round_.end != len(self.file):
            raise Violation(self, f"round {round_.index} ends at {round_.end}, but its text at {len(self.file)}")

    def _take(self, world: World, round_: Round) -> None:
        before: tuple[int, int, str, int] | None = None
        for message in messages_of(round_):
            name = f"{message.session}:{message.seq}"
            if message.seq != self.last.get(message.session, 0) + 1:
                raise Violation(self, f"{name} follows {message.session}:{self.last.get(message.session, 0)}")
            sent = world.texts.get((message.session, message.seq))
            block = block_of(message.node, message.session, *sent) if sent else b""
            if sent is None or message.time != sent[0] or message.block != block:
                raise Violation(self, f"{name} is decided as {message.block!r}, which its client never sent")
            if message.node not in range(len(world.nodes)):
                raise Violation(self, f"{name} came in through node {message.node}, which does not exist")
            if before is not None and message[:4] <= before:
                raise Violation(self, f"round {round_.index} is not sorted at {name}")
            before = message[:4]
            self.last[message.session] = message.seq
            self.placed[message.session, message.seq] = Placed(len(self.placed), round_.index, len(self.file), block)
            self.file += block
        if before is not None:
            self.file += SEPARATOR
