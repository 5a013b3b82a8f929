"""What one seed draws: the shape of the cluster, which kinds of faults are on, and how often they strike (swarm testing)."""

from __future__ import annotations

import random
from dataclasses import dataclass

SECOND = 1_000_000
MILLI = 1_000

KINDS = (
    "loss", "delay", "duplicate", "reorder", "replay", "partition", "one_way", "kill", "crash", "power", "pause",
    "clock", "disk_error", "disk_full", "torn_write", "rot", "file_cut", "failover", "fsync_slow",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """All choices of one run; printed with a failure, so that it can be shrunk by hand or by `shrink`."""

    seed: int
    nodes: int
    writer: str
    clients: int
    messages: int
    window: int
    round_window_ms: float
    rounds_in_flight: int
    round_messages: int
    segment_bytes: int
    kinds: frozenset[str]
    fault_until: int = 20 * SECOND
    heal_for: int = 60 * SECOND
    fault_every: int = SECOND

    @classmethod
    def draw(cls, seed: int) -> Plan:
        """Draw everything from the seed."""
        rng = random.Random(f"plan {seed}")
        share = rng.choice((0.0, 0.15, 0.3, 0.5, 0.8))
        kinds = {kind for kind in KINDS if rng.random() < share}
        if "power" in kinds:
            kinds.discard("file_cut")  # a cut file that is rebuilt and loses power before its fsync is refused, loudly
        return cls(
            seed=seed,
            nodes=rng.choice((1, 2, 3, 3, 3, 4, 5, 5, 5, 7, 9)),
            writer=rng.choice(("turns", "winner")),
            clients=rng.randint(1, 6),
            messages=rng.choice((5, 20, 60)),
            window=rng.choice((1, 1, 4, 32)),
            round_window_ms=rng.choice((0, 1, 10, 50)),
            rounds_in_flight=rng.choice((1, 2, 4, 16)),
            round_messages=rng.choice((1, 3, 64, 4096)),
            segment_bytes=rng.choice((65_536, 65_536, 262_144)),
            kinds=frozenset(kinds),
            fault_until=rng.choice((4, 8, 12)) * SECOND,
            fault_every=rng.choice((200, 500, 1500)) * MILLI,
        )
