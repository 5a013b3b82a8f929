"""What a checker is: it sees the run from outside the nodes, one promise each, and fails loudly.

`Tell` passes on what happens to those who watch for it. The checkers themselves are in `truth`, `log_checkers`,
`file_checkers` and `promise_checkers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from node_runtime.messages import NodeId, PeerMessage, Round
from node_runtime.state import WriteTurn

if TYPE_CHECKING:
    from tests.simulation.clients import Line
    from tests.simulation.process import SimNode
    from tests.simulation.world import World


class Violation(AssertionError):
    """A promise was broken; the first word names the checker."""

    def __init__(self, checker: object, text: str) -> None:
        self.checker = checker if isinstance(checker, str) else type(checker).__name__
        super().__init__(f"{self.checker}: {text}")


class Checker:
    """The events that a checker may watch; each is ignored unless a subclass says otherwise."""

    def on_boot(self, world: World, node: SimNode, before: dict[int, bytes]) -> None:
        """A node has started and read its disk; `before`: the digests of the rounds that it had made durable."""

    def on_trace(self, world: World, node: SimNode, event: dict[str, Any]) -> None:
        """A vote log event of a node."""

    def on_send(self, world: World, node: SimNode, receiver: NodeId, message: PeerMessage) -> None:
        """A message leaves a node."""

    def on_durable(self, world: World, node: SimNode, rounds: list[Round]) -> None:
        """A node's journal holds these rounds now."""

    def on_decided(self, world: World, node: SimNode, round_: Round) -> None:
        """A node takes a round for decided."""

    def on_turn(self, world: World, node: SimNode, write: WriteTurn) -> None:
        """A node has written turns that it was granted."""

    def on_write(self, world: World, node: SimNode, start: int, data: bytes) -> None:
        """A node is about to write into the shared file."""

    def on_written(self, world: World, node: SimNode, written: int, synced: int) -> None:
        """A node takes the rounds up to `written` for being in the file, and up to `synced` for fsynced there."""

    def on_read(self, world: World, content: bytes) -> None:
        """Somebody has read the shared file."""

    def on_ack(self, world: World, line: Line, seq: int, round_: int | None, offset: int | None) -> None:
        """A node acknowledges a message."""

    def at_end(self, world: World) -> None:
        """Everything has healed and settled."""


class Tell:
    """One method for each event; a checker that does not watch for it costs nothing."""

    def __init__(self, world: World, checkers: Iterable[Checker]) -> None:
        listed = list(checkers)
        for event in [name for name in vars(Checker) if name.startswith(("on_", "at_"))]:
            ignored = getattr(Checker, event)
            watching = [getattr(checker, event) for checker in listed if getattr(type(checker), event) is not ignored]
            setattr(self, event, _teller(world, watching))

    def __getattr__(self, name: str) -> Callable[..., None]:
        raise AttributeError(name)


def _teller(world: World, watching: list[Callable[..., None]]) -> Callable[..., None]:
    def tell(*facts: Any) -> None:
        for watcher in watching:
            watcher(world, *facts)

    return tell
