"""`python -m node_runtime client send`: appends each line of its input once, and notes what it sent as evidence.

A session of its own has a history in the shared directory from its first message on. One that somebody named may have
messages from elsewhere, of which nothing is known here: it has none.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from node_runtime.client import Ack, Client, OutcomeUnknownError
from node_runtime.config import Address, parse_peers
from node_runtime.errors import ClientProtocolError, NodeError
from node_runtime.history import HISTORY_DIR, History, Progress, read_progress
from node_runtime.load import own_first, say, stop_on_signals, until
from node_runtime.messages import NodeId
from node_runtime.records import TYPED

Report = Callable[[dict[str, object]], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be sent where.

    `first` is the number of the first line where the caller knows it: a second run with the same lines then writes none
    of them twice. `timeout` is how many seconds the last acks may take after the input's end, `shared_dir` where the
    history goes.
    """

    nodes: Sequence[tuple[NodeId, Address]]
    session: str
    first: int | None = None
    window: int = 64
    timeout: float | None = None
    shared_dir: str | None = None


async def send_lines(order: Order, lines: AsyncIterator[str], report: Report) -> bool:
    """Append each line once, as it comes; `report` gets one reply a line, in order. True if all are acknowledged."""
    history, progress = _open_history(order)
    client = _client(order, history, progress, report)
    complete = False
    try:
        async with asyncio.timeout(order.timeout) as limit:
            await client.start()
            if history is not None:
                history.begin(client.last_seq + 1, None)
            complete = await _post_lines(client, lines, progress, report, limit, order.timeout)
    except (TimeoutError, ClientProtocolError, OutcomeUnknownError) as error:
        why = str(error) or f"no ack in {order.timeout:g} s; is a majority of the nodes up?"
        reply = {"ok": False, "session": order.session, "code": "unknown", "error": why, "retry": True}
        report({**reply, "pending": client.pending})
    finally:
        unknown = await client.close()
        if history is not None:
            history.done(client.acked, unknown, 0, complete=not unknown)
            history.close()
    return complete


def _client(order: Order, history: History | None, progress: Progress, report: Report) -> Client:
    def on_ack(ack: Ack) -> None:
        where = {"round": ack.round, "offset": ack.offset, "node": ack.node}
        report({"ok": True, "session": order.session, "seq": ack.seq, **where})

    return Client(
        [address for _, address in order.nodes],
        order.session,
        nodes=[node for node, _ in order.nodes],
        window=order.window,
        history=history,
        last_seq=None if order.first is None else order.first - 1,
        invoked=progress.invoked,
        on_ack=on_ack,
        cluster=os.environ.get("CLUSTER"),
    )


def _open_history(order: Order) -> tuple[History | None, Progress]:
    """The history of a session that began here, and how far it came in a run before this one."""
    if order.shared_dir is None or order.first is None or not order.session.startswith(TYPED):
        return None, Progress()
    path = Path(order.shared_dir) / HISTORY_DIR / f"{order.session}.jsonl"
    try:
        history = History(path, order.session)
        with path.open("rb") as lines:
            return history, read_progress(lines, order.session)
    except OSError as error:
        print(f"client: no history is kept: {path}: {error.strerror}", file=sys.stderr)  # noqa: T201 - not for the acks' stream
        return None, Progress()


async def _post_lines(
    client: Client,
    lines: AsyncIterator[str],
    progress: Progress,
    report: Report,
    limit: asyncio.Timeout,
    timeout: float | None,
) -> bool:
    """Post every line; one that can never be taken is reported and passed over. True if there was none."""
    all_taken = True
    async for line in lines:
        stamp, _ = progress.pending.get(client.last_seq + 1, (None, ""))  # what was sent before has its time
        try:
            await client.post(line, stamp)
        except ClientProtocolError as error:
            all_taken = False
            report({"ok": False, "session": client.session, "code": error.code, "error": str(error), "retry": error.retry})
        if timeout is not None:
            limit.reschedule(asyncio.get_running_loop().time() + timeout)
    await client.drain()
    return all_taken


async def input_lines(source: Iterable[str]) -> AsyncIterator[str]:
    """Lines of a file that may block, read ahead by one thread."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1024)

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody wants the rest
            for line in source:
                asyncio.run_coroutine_threadsafe(queue.put(line.rstrip("\r\n")), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=read, daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line


def main(argv: Sequence[str]) -> int:
    """`client send`: returns the exit code."""
    try:
        return asyncio.run(_run(_order(argv)))
    except (NodeError, OSError) as error:
        print(f"client: {error}", file=sys.stderr)  # noqa: T201 - a process says why it ends
        return error.exit_code if isinstance(error, NodeError) else 1


def _order(argv: Sequence[str]) -> Order:
    parser = argparse.ArgumentParser(prog="client send", description="Append each line of the input; one JSON line an ack.")
    parser.add_argument("--node", action="append", metavar="[ID=]HOST:PORT", help="where to send; several: in this order")
    parser.add_argument("--session", help="the session to go on with (default: a new one)")
    parser.add_argument("--first", type=int, help="the number of the first line, where an earlier run may have sent it already")
    parser.add_argument("--timeout", type=float, help="seconds to wait for the last acks (default: for ever)")
    parser.add_argument("--window", type=int, default=64, help="messages under way at a time (default: 64)")
    options = parser.parse_args(argv)
    if options.node:
        nodes = tuple(_node(place, text) for place, text in enumerate(options.node))
    else:
        number = os.environ.get("ID", "0")
        nodes = own_first(int(number) if number.isdigit() else 0, parse_peers("NODES", os.environ.get("NODES", "")))
    session, first = options.session, options.first
    if session is None:
        session, first = f"{TYPED}{secrets.token_hex(6)}", 1
    return Order(nodes, session, first, options.window, options.timeout, os.environ.get("SHARED_DIR"))


def _node(place: int, text: str) -> tuple[NodeId, Address]:
    """`ID=HOST:PORT`; without an id it is called by its place."""
    name, _, address = text.rpartition("=")
    return int(name) if name.isdecimal() else place, parse_peers("--node", f"0={address}")[0]


async def _run(order: Order) -> int:
    source = open(sys.stdin.fileno(), encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - stdin
    stop = asyncio.Event()
    code = stop_on_signals(stop)
    sent = await until(stop, send_lines(order, input_lines(source), say))
    return code[0] if code else (0 if sent else 1)
