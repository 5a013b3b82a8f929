"""What one seed draws: the shape of the cluster, which kinds of faults are on, and how often they strike (swarm testing)."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, replace
from typing import Any

SECOND = 1_000_000
MILLI = 1_000

KINDS = (
    "clock", "crash", "delay", "die", "disk_error", "disk_full", "duplicate", "failover", "file_cut", "file_gone",
    "fsync_slow", "kill", "loss", "one_way", "partition", "pause", "power", "reconnect", "reorder", "replay", "rot",
    "torn_write",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """All choices of one run; a failing one is printed as JSON, which `python -m tests.simulation --plan` takes."""

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
    turn_timeout_ms: float = 250.0
    kept_bytes: int = 4 * 1024 * 1024  # rounds that a node holds in memory; older ones it reads back from its journal
    think_ms: int = 0  # clients wait for up to this between two messages

    @classmethod
    def draw(cls, seed: int) -> Plan:
        """Draw everything from the seed."""
        rng = random.Random(f"plan {seed}")
        share = rng.choice((0.0, 0.15, 0.3, 0.5, 0.8))
        kinds = {kind for kind in KINDS if rng.random() < share}
        if "power" in kinds:
            kinds -= {"file_cut", "file_gone"}  # a file that is rebuilt and loses power before its fsync is refused, loudly
        return cls(
            seed=seed,
            nodes=rng.choice((1, 2, 3, 3, 3, 4, 5, 5, 5, 6, 7, 8, 9)),
            writer=rng.choice(("turns", "winner")),
            clients=rng.randint(1, 6),
            messages=rng.choice((5, 20, 60)),
            window=rng.choice((1, 1, 4, 32)),
            round_window_ms=rng.choice((0, 1, 10, 50)),
            rounds_in_flight=rng.choice((1, 2, 4, 16)),
            round_messages=rng.choice((1, 3, 64, 4096)),
            segment_bytes=rng.choice((4_096, 8_192, 65_536)),
            kinds=frozenset(kinds),
            fault_until=rng.choice((4, 8, 12)) * SECOND,
            fault_every=rng.choice((200, 500, 1500)) * MILLI,
            turn_timeout_ms=rng.choice((60, 250)),
            think_ms=rng.choice((0, 50, 200, 600)),
            kept_bytes=rng.choice((0, 0, 2_000, 4 * 1024 * 1024)),
        )

    @classmethod
    def calm(cls, seed: int, **changes: Any) -> Plan:
        """A small cluster without faults, for scenarios that break it themselves."""
        plan = cls(
            seed=seed, nodes=3, writer="turns", clients=1, messages=5, window=1, round_window_ms=1, rounds_in_flight=4,
            round_messages=64, segment_bytes=65_536, kinds=frozenset(), fault_until=0,
        )  # fmt: skip
        return replace(plan, **changes)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self) | {"kinds": sorted(self.kinds)})

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """What `to_json` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"kinds": frozenset(fields["kinds"])})
