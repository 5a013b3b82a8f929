"""`python -m benchmarks.workers KIND ARGUMENTS`: one client that does one thing after the other, over a given time.

Arguments are one JSON object: `begin` (monotonic nanoseconds), `seconds`, `size`, and what the kind needs. The worker
works from its start on, counts from `begin`, and prints a JSON line.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.blocking import Caller, Redis
from benchmarks.grpc_wire import field_bytes, field_int, fields
from benchmarks.procs import written_by
from node_runtime.bench_lanes import Tally
from node_runtime.messages import NodeId
from node_runtime.records import native_block

Arguments = dict[str, Any]
Step = Callable[[], None]

LEASE_S = 60
RETRY_S = 0.0005  # the pause of a Redis client that finds the lock taken: far below what client libraries wait (100 ms)
RELEASE = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"


def block_of(arguments: Arguments) -> bytes:
    """The block of a message, as votesync would write it."""
    node = NodeId(arguments.get("client", 0))
    return native_block(node, f"bench.{node}", 1_700_000_000_000_000, "x" * arguments["size"])


def appender(arguments: Arguments) -> Step:
    """Append a block to the shared file and make it durable."""
    block = block_of(arguments)
    file = os.open(arguments["file"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append() -> None:
        os.write(file, block)
        os.fdatasync(file)

    return append


def etcd_lock(arguments: Arguments) -> Step:
    """A lease for this client, then lock, append, unlock."""
    caller, append = Caller(arguments["port"]), appender(arguments)
    lease = fields(caller.call("/etcdserverpb.Lease/LeaseGrant", field_int(1, LEASE_S)))[2]
    assert isinstance(lease, int)
    request = field_bytes(1, b"output") + field_int(2, lease)

    def step() -> None:
        key = fields(caller.call("/v3lockpb.Lock/Lock", request))[2]
        assert isinstance(key, bytes)
        append()
        caller.call("/v3lockpb.Lock/Unlock", field_bytes(1, key))

    return step


def redis_lock(arguments: Arguments) -> Step:
    """`SET NX PX`, tried again until it succeeds; append; delete the lock if it is still ours."""
    redis, append = Redis(arguments["port"]), appender(arguments)
    token = f"client-{arguments['client']}"
    chance = random.Random(arguments["client"])

    def step() -> None:
        while redis.ask("SET", "lock", token, "NX", "PX", "10000") != b"+OK\r\n":
            time.sleep(RETRY_S * (0.5 + chance.random()))
        append()
        redis.ask("EVAL", RELEASE, "1", "lock", token)

    return step


def flock(arguments: Arguments) -> Step:
    """The lock of the operating system around the append."""
    append = appender(arguments)
    lock = os.open(arguments["file"] + ".lock", os.O_RDWR | os.O_CREAT, 0o644)

    def step() -> None:
        fcntl.flock(lock, fcntl.LOCK_EX)
        append()
        fcntl.flock(lock, fcntl.LOCK_UN)

    return step


def group_commit(arguments: Arguments) -> Step:
    """Append so many blocks with one write and one fdatasync."""
    blocks = b"".join([block_of(arguments) for _ in range(arguments["group"])])
    file = os.open(arguments["file"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def step() -> None:
        os.write(file, blocks)
        os.fdatasync(file)

    return step


def fdatasync(arguments: Arguments) -> Step:
    """Overwrite a block inside a file that is already as long as it will be, and make it durable."""
    block, places, turn = block_of(arguments), 16384, 0
    file = os.open(arguments["file"], os.O_RDWR | os.O_CREAT, 0o644)
    for _ in range(0, places * len(block), 4096):
        os.write(file, bytes(4096))  # in pieces, or the kernel counts a block of the file as all that one write brought
    os.fsync(file)

    def step() -> None:
        nonlocal turn
        os.pwrite(file, block, turn % places * len(block))
        os.fdatasync(file)
        turn += 1

    return step


def loopback(arguments: Arguments) -> Step:
    """Send a block over TCP on loopback and receive it back from the process that echoes."""
    block = block_of(arguments)
    link = socket.create_connection(("127.0.0.1", arguments["port"]))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def step() -> None:
        link.sendall(block)
        left = len(block)
        while left:
            left -= len(link.recv(left))

    return step


STEPS: dict[str, Callable[[Arguments], Step]] = {
    "etcd-lock": etcd_lock,
    "redis-lock": redis_lock,
    "flock": flock,
    "group-commit": group_commit,
    "fdatasync": fdatasync,
    "loopback": loopback,
}


def work(step: Step, arguments: Arguments) -> Arguments:
    """Do the step over and over; what is measured from `begin` on. A step counts `group` messages."""
    group = arguments.get("group", 1)
    begin, seconds = arguments["begin"], arguments["seconds"]
    cpu, written = time.process_time(), written_by(os.getpid()) or 0
    tally = Tally(begin, begin + int(seconds * 1e9))
    now = time.monotonic_ns()
    while now < tally.end:
        sent = now
        step()
        now = time.monotonic_ns()
        tally.count(now, sent, group)
    return {
        "acked": tally.acked,
        "rate": tally.latencies.total / seconds,
        "cpu_s": time.process_time() - cpu,
        "written": (written_by(os.getpid()) or 0) - written,
        "histogram": tally.latencies.rows(),
    }


def echo(port: int) -> None:
    """Send back whatever comes, a thread a connection, for ever."""
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            link, _ = server.accept()
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_echo, args=(link,), daemon=True).start()


def _echo(link: socket.socket) -> None:
    while data := link.recv(65536):
        link.sendall(data)


def main(argv: list[str]) -> int:
    """Work, and print what came of it; `echo PORT` serves instead."""
    if argv[0] == "echo":
        echo(int(argv[1]))
    arguments = json.loads(argv[1])
    sys.stdout.write(json.dumps(work(STEPS[argv[0]](arguments), arguments)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
