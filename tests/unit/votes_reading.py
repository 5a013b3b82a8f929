"""Reading a made-up cluster's logs with a `VoteStream`, and telling the result in short."""

from __future__ import annotations

from collections.abc import Sequence

from node_runtime.votelog import Event
from tests.unit.votelog_maker import LogMaker
from votesync_cli.votes import VoteStream
from votesync_cli.votes_model import Item, RoundView


def read(maker: LogMaker, events: Sequence[Event] | None = None) -> list[Item]:
    """The whole stream of finished logs."""
    stream = VoteStream(range(maker.nodes))
    out: list[Item] = []
    for event in maker.merged() if events is None else events:
        stream.feed(event)
        out += stream.take()
    return out + stream.close()


def rounds(items: Sequence[Item]) -> list[RoundView]:
    return [item for item in items if isinstance(item, RoundView)]


def told(items: Sequence[Item]) -> list[str]:
    """The stream in short: rounds as `r2`, happenings as `leader@1`."""
    return [
        f"r{item.round}:{item.state}" if isinstance(item, RoundView) else f"{item.event}@{item.node}" for item in items
    ]


def formed(nodes: int = 5, **more: object) -> LogMaker:
    """A cluster with node 0 as its leader."""
    maker = LogMaker(nodes, **more)  # type: ignore[arg-type]
    maker.elect(0)
    return maker
