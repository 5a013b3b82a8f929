"""The client container: `python -m node_runtime client` sends a batch of messages.

A batch that was broken off (the process was killed, the time was over) goes on where it stopped when the client is
started again, by its own history; after one that is complete comes a new one.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from node_runtime.client import Ack, Client, OutcomeUnknownError
from node_runtime.client_link import ask_last_seq
from node_runtime.config import Address, parse_peers
from node_runtime.errors import ClientProtocolError, ConfigError, NodeError
from node_runtime.history import HISTORY_DIR, History, Progress, now_mono, read_progress
from node_runtime.messages import MAX_NODES, MAX_SEQ, NodeId
from node_runtime.records import is_session, text_fault

T = TypeVar("T")

_PATIENCE_S = 5.0
_SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """What a client container is told. `rate` is messages a second, 0 as fast as they are acknowledged."""

    id: int
    nodes: tuple[tuple[NodeId, Address], ...]  # its own first
    session: str
    shared_dir: str = "/shared"
    messages: int = 50
    rate: float = 0.0
    in_flight: int = 1
    text: str = "{seq}"
    timeout: float | None = None
    cluster: str | None = None

    @property
    def history(self) -> Path:
        """Where its history is."""
        return Path(self.shared_dir) / HISTORY_DIR / f"client_{self.id + 1}.jsonl"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> LoadConfig:
        """Read the environment.

        Raises: ConfigError naming the variable, what it got and what it takes.
        """
        number = int(_number(env, "ID", None, 0, MAX_NODES - 1, whole=True))
        session = env.get("SESSION") or str(number)
        if not is_session(session):
            raise ConfigError("SESSION", session, "1 to 64 letters, digits or _ . : -")
        text = env.get("TEXT") or "{seq}"
        if text_fault(text) is not None:
            raise ConfigError("TEXT", text, "one line of at most 16384 bytes; {seq} stands for the number of the message")
        timeout = _number(env, "TIMEOUT", 0.0, 0, 1e9)
        return cls(
            id=number,
            nodes=own_first(number, parse_peers("NODES", env.get("NODES", ""))),
            session=session,
            shared_dir=env.get("SHARED_DIR") or "/shared",
            messages=int(_number(env, "MESSAGES", 50, 0, MAX_SEQ // 2, whole=True)),
            rate=_number(env, "RATE", 0.0, 0, 1e9),
            in_flight=int(_number(env, "IN_FLIGHT", 1, 1, 1_000_000, whole=True)),
            text=text,
            timeout=timeout or None,
            cluster=env.get("CLUSTER") or None,
        )


def own_first(number: int, nodes: Mapping[NodeId, Address]) -> tuple[tuple[NodeId, Address], ...]:
    """The nodes in the order in which a client tries them: its own, then those after it."""
    ring = sorted(nodes, key=lambda node: (node - number) % MAX_NODES)
    return tuple((node, nodes[node]) for node in ring)


def _number(
    env: Mapping[str, str], name: str, default: float | None, least: float, most: float, *, whole: bool = False
) -> float:
    text = env.get(name) or ("" if default is None else repr(default))
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ConfigError(name, env.get(name), f"a {'whole ' if whole else ''}number from {least:g} to {most:g}")
    return value


@dataclass(slots=True)
class Latencies:
    """Times from invoke to ack in buckets that are 5 % apart: any number of them in little memory."""

    counts: dict[int, int] = field(default_factory=dict)
    started: dict[int, int] = field(default_factory=dict)

    def start(self, seq: int) -> None:
        """Message `seq` was posted."""
        self.started[seq] = now_mono()

    def stop(self, ack: Ack) -> None:
        """It was acknowledged."""
        begun = self.started.pop(ack.seq, None)
        if begun is not None:
            bucket = round(math.log(max(1, now_mono() - begun)) * 20)
            self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def quantile_ms(self, share: float) -> float | None:
        """The time within which `share` of all messages were acknowledged, in milliseconds."""
        wanted = share * sum(self.counts.values())
        for bucket, count in sorted(self.counts.items()):
            wanted -= count
            if wanted <= 0:
                return round(math.exp(bucket / 20) / 1000, 2)
        return None


async def run_batch(config: LoadConfig, stop: asyncio.Event, report: Callable[[dict[str, object]], None]) -> bool:
    """Send what is left of the batch, or a new one; True when all of it is acknowledged.

    Raises: OSError if the history cannot be written, NodeError if it is not of this cluster or a node refuses.
    """
    history = History(config.history, config.session)
    try:
        with config.history.open("rb") as lines:
            progress = read_progress(lines, config.session)
        known = await until(stop, _last_seq(config, progress.acked))
        if known is None:
            return False
        progress = _plan(progress, known, config)
        history.begin(progress.first, progress.last)
        return await _send(config, history, progress, stop, report)
    finally:
        history.close()


def _plan(progress: Progress, known: int, config: LoadConfig) -> Progress:
    """The batch to send, given the history and the nodes' last number."""
    if not progress.complete:
        return progress
    start = max(known, progress.invoked)
    return Progress(first=start + 1, last=start + config.messages, acked=start, invoked=start, complete=False)


async def _send(
    config: LoadConfig,
    history: History,
    progress: Progress,
    stop: asyncio.Event,
    report: Callable[[dict[str, object]], None],
) -> bool:
    latencies = Latencies()
    client = Client(
        [address for _, address in config.nodes],
        config.session,
        nodes=[node for node, _ in config.nodes],
        window=config.in_flight,
        history=history,
        last_seq=progress.acked,
        invoked=progress.invoked,
        on_ack=latencies.stop,
        cluster=config.cluster,
    )
    started = now_mono()
    failed = 0
    await client.start()
    try:
        await until(stop, _produce(client, config, progress, latencies))
    except ClientProtocolError:
        failed = 1
        raise
    finally:
        unknown = await client.close()
        complete = progress.acked + client.acked >= progress.last
        history.done(client.acked, unknown, failed, complete=complete)
        outcome = {"acked": client.acked, "unknown": unknown, "of": progress.last - progress.acked, "complete": complete}
        report({"event": "done", "session": config.session, **outcome, **_speed(client.acked, started, latencies)})
    return complete


def _speed(acked: int, started: int, latencies: Latencies) -> dict[str, object]:
    seconds = max(1, now_mono() - started) / 1e6
    return {
        "seconds": round(seconds, 3),
        "rate": round(acked / seconds, 1),
        "p50_ms": latencies.quantile_ms(0.5),
        "p99_ms": latencies.quantile_ms(0.99),
    }


async def _produce(client: Client, config: LoadConfig, progress: Progress, latencies: Latencies) -> None:
    """Post every message of the batch that is not acknowledged, at the wanted rate, and wait for the acks."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for count, seq in enumerate(range(progress.acked + 1, progress.last + 1)):
        wait = start + count / config.rate - loop.time() if config.rate else 0
        if wait > 0:
            await asyncio.sleep(wait)
        stamp, text = progress.pending.get(seq, (None, config.text.replace("{seq}", str(seq))))
        given = await client.post(text, stamp)
        assert given == seq, (given, seq)
        latencies.start(seq)
    await client.drain()


async def until(stop: asyncio.Event, work: Coroutine[None, None, T]) -> T | None:
    """The result of `work`, or None if `stop` comes first."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, stopping):
            one.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)


async def _last_seq(config: LoadConfig, acked: int) -> int:
    """What the nodes say. After a restart they may need a moment until they know all that was acknowledged."""
    loop = asyncio.get_running_loop()
    patient_until = loop.time() + _PATIENCE_S
    while True:
        known = await ask_last_seq([address for _, address in config.nodes], config.session, config.cluster)
        if known >= acked:
            return known
        if loop.time() > patient_until:
            raise OutcomeUnknownError(
                f"{config.history} has acks up to {acked}, the nodes know {known}: it is of another cluster; move it away"
            )
        await asyncio.sleep(0.1)


# --- the process ---


def main(argv: Sequence[str]) -> int:
    """`client`: returns the exit code."""
    try:
        if argv:
            raise ConfigError("arguments", " ".join(argv), "nothing, or: send [--node HOST:PORT …] [--session NAME]")
        return _batch_main(LoadConfig.from_env(os.environ))
    except (NodeError, OSError) as error:
        print(f"client: {error}", file=sys.stderr)  # noqa: T201 - a process says why it ends
        return error.exit_code if isinstance(error, NodeError) else 1


def _batch_main(config: LoadConfig) -> int:
    async def run() -> int:
        stop = asyncio.Event()
        code = stop_on_signals(stop)
        if config.timeout is not None:
            asyncio.get_running_loop().call_later(config.timeout, stop.set)
        return 0 if await run_batch(config, stop, say) else (code[0] if code else 1)

    return asyncio.run(run())


def stop_on_signals(stop: asyncio.Event) -> list[int]:
    """Set `stop` at SIGTERM or SIGINT; the exit code of the signal that came, once one has."""
    code: list[int] = []
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        code.append(_SIGNALS[number])
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    return code


def say(line: dict[str, object]) -> None:
    """One line of the process's output."""
    print(json.dumps(line, ensure_ascii=False), flush=True)  # noqa: T201 - the output of the process
