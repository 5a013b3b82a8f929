"""The process of a node: read the environment, open what it owns, run the driver, end with an exit code.

Exit codes: 0 ended when asked; 2 a wrong variable; 4 the environment (a port taken, a disk that fails); 1 anything
else that is no longer safe or makes no sense. One line on stderr says why.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from node_runtime.clock import Clock
from node_runtime.codec import rendered
from node_runtime.config import Address, NodeConfig
from node_runtime.consensus import Core
from node_runtime.errors import NodeError, SharedFileError
from node_runtime.journal import Journal
from node_runtime.log import KEPT_BYTES, Log
from node_runtime.messages import Round
from node_runtime.node import Node
from node_runtime.shared_file import PrefixCheck, SharedFile, claim
from node_runtime.state import HardState, Timing
from node_runtime.storage import OsStorage, Storage, disk_errors, make_dir


class PortTaken(NodeError):
    """A port of this node cannot be had."""

    exit_code = 4


def main(env: Mapping[str, str]) -> int:
    """Run a node until SIGTERM or SIGINT, or until it cannot go on."""
    try:
        config = NodeConfig.from_env(env)
        return run(config)
    except NodeError as error:
        print(f"votesync node: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a bug ends the process with one line and a code (rules 54 and 56)
        traceback.print_exc()
        print(f"votesync node: stopped by a bug: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1


GC_THRESHOLDS = 50_000, 20, 50  # a queue of messages is no garbage: looked through 70 times less, a message costs a sixth less


def run(config: NodeConfig) -> int:
    """Open the journal and the shared file, then run the loop (uvloop's where it is installed)."""
    clock = Clock()
    core, journal, file = open_node(config, OsStorage(), clock.ticks())
    node = Node(config, core, journal, file, clock, _emitter())
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(config, node))


def open_node(
    config: NodeConfig, storage: Storage, now: int, kept_bytes: int = KEPT_BYTES
) -> tuple[Core, Journal, SharedFile]:
    """Replay the journal, hold the shared file against it, and make the core, with `kept_bytes` of rounds in memory.

    Raises: JournalError, SharedFileError, DiskError.
    """
    with disk_errors(config.data_dir):
        make_dir(storage, config.data_dir)
    holder: list[Journal] = []
    log = Log(lambda first, most: holder[0].read(first, most), kept_bytes)
    file = SharedFile.open(storage, config.shared_dir)
    prefix = PrefixCheck(file)

    def on_round(round_: Round) -> None:
        log.restore(round_)
        prefix.feed(round_.offset, rendered(round_))

    def on_cut(after: int) -> None:
        log.cut_after(after)
        prefix.cut(log.last.end)

    segment = config.tunables.segment_bytes
    journal = Journal.open(
        storage, config.data_dir, config.cluster_tag, config.node, segment, on_round=on_round, on_cut=on_cut
    )
    holder.append(journal)
    log.restored(journal.decided_hint)
    claim(storage, config.shared_dir, config.cluster, config.node, journal.fresh, journal.identity)
    synced = min(journal.synced_hint, log.decided)
    _check_prefix(config, prefix, log.point(synced).end)
    return make_core(config, log, _standing(journal), synced, now), journal, file


def make_core(config: NodeConfig, log: Log, hard: HardState, synced: int, now: int) -> Core:
    """The core of a node with its tunables."""
    tunables = config.tunables
    return Core(
        config.node, config.peers, config.policy, Timing.of(config), hard, log, random.Random(config.seed).randint, now,
        synced=synced, rounds_in_flight=tunables.rounds_in_flight, round_messages=tunables.round_messages,
        queue_messages=tunables.queue_messages,
    )  # fmt: skip


def _standing(journal: Journal) -> HardState:
    """Term and vote; a damaged journal starts in a term of its own, above all in which it may have answered (rule 21)."""
    hard = journal.state
    if hard.recovering:
        hard = HardState(hard.term + 1, None, True)
        journal.save_state(hard)
    return hard


def _check_prefix(config: NodeConfig, prefix: PrefixCheck, synced_end: int) -> None:
    """Bytes that were fsynced and differ now are somebody else's work; behind them a torn write is repaired later."""
    if prefix.mismatch_at is not None and prefix.mismatch_at < synced_end:
        raise SharedFileError(
            f"output.txt in {config.shared_dir} is not what this cluster wrote: it differs at byte {prefix.mismatch_at}. Put"
            " the right one back, move it away to have it rebuilt, or run `votesync up --fresh`, which starts anew."
        )


async def _serve(config: NodeConfig, node: Node) -> int:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def on_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        if not ended.done():
            ended.set_exception(error)

    def on_signal() -> None:
        if not ended.done():
            ended.set_result(0)

    loop.set_exception_handler(on_error)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    reason = "asked to end"
    try:
        await _open_ports(config, node)
        return await ended
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        raise
    finally:
        await node.close(reason)


async def _open_ports(config: NodeConfig, node: Node) -> None:
    try:
        await node.start()
    except OSError as error:
        raise PortTaken(_port_sentence(config, error)) from error


def _port_sentence(config: NodeConfig, error: OSError) -> str:
    ports: dict[str, Address] = {"PORT": config.client_address, "CLUSTER_PORT": config.peer_address}
    if error.errno == errno.EADDRINUSE:
        taken = [f"{name}={address.port}" for name, address in ports.items() if str(address.port) in str(error)]
        return f"a port is taken: {' '.join(taken) or error}. Choose another, or end the process that has it."
    return f"a port cannot be opened: {error}. Check BIND, PORT, CLUSTER_PORT and DATA_DIR."


def _emitter() -> Callable[[bytes], None]:
    """Writes vote log lines to stdout; a reader that is gone does not end the node."""
    state = {"open": True}

    def emit(data: bytes) -> None:
        view = memoryview(data)
        while view and state["open"]:
            try:
                view = view[os.write(1, view) :]
            except BrokenPipeError:
                state["open"] = False

    return emit


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory

