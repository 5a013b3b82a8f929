"""etcd, five members: plain puts, and its own lock taken around an append to a shared file.

Spoken to over gRPC by `grpc_wire` (client i at member i), so that neither the JSON gateway nor a slow library counts
against it. The lock is etcd's own service `v3lock`, which runs the recipe of its Go client (`concurrency.Mutex`) beside
the store.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.blocking import Caller
from benchmarks.grpc_wire import field_bytes
from benchmarks.procs import Processes, free_ports, processes, python
from benchmarks.systems.base import ALONE, CLOSED, MEMBERS, PIPELINED, Meter, Mode, Span, collect, measurement, run_workers
from node_runtime.bench_lanes import WireError

_FORMED_S = 30.0


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[tuple[Processes, list[int]]]:
    """Five members on loopback that have a leader; their client ports.

    Raises: BenchmarkError.
    """
    clients, peers = free_ports(MEMBERS), free_ports(MEMBERS)
    everybody = ",".join(f"m{member}=http://127.0.0.1:{port}" for member, port in enumerate(peers))
    with processes(directory) as group:
        for member in range(MEMBERS):
            client, peer = (f"http://127.0.0.1:{ports[member]}" for ports in (clients, peers))
            options = {
                "name": f"m{member}", "data-dir": f"data{member}", "log-level": "error", "logger": "zap",
                "listen-client-urls": client, "advertise-client-urls": client,
                "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
                "initial-cluster": everybody, "initial-cluster-state": "new", "initial-cluster-token": "bench",
            }  # fmt: skip
            group.start(f"etcd{member}", ["etcd", *(f"--{name}={value}" for name, value in options.items())])
        for port in clients:
            group.wait_until(lambda port=port: _takes_puts(port), _FORMED_S, "an etcd cluster that takes puts")  # type: ignore[misc]  # bound at once
        yield group, clients


def _takes_puts(port: int) -> bool:
    with contextlib.suppress(OSError, WireError), contextlib.closing(Caller(port, timeout=2.0)) as caller:
        caller.call("/etcdserverpb.KV/Put", field_bytes(1, b"ready") + field_bytes(2, b"1"))
        return True
    return False


class _Etcd:
    def missing(self) -> str | None:
        """The program comes with Debian's etcd-server."""
        return None if shutil.which("etcd") else "there is no etcd here (Debian: sudo apt install etcd-server)"

    def settings(self) -> Mapping[str, str]:
        """Defaults throughout."""
        said = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=False).stdout
        version = said.splitlines()[0].rpartition(" ")[2] if said else "?"
        return {"version": version, "members": str(MEMBERS), "options": "defaults"}


class EtcdPuts(_Etcd):
    """Every message a put under a key of its own."""

    name = "etcd-puts"
    title = "etcd, puts"
    modes = (CLOSED, PIPELINED)

    @contextlib.contextmanager
    def running(self, directory: Path) -> Iterator[_RunningPuts]:
        """See `System`."""
        with cluster(directory) as (group, ports):
            yield _RunningPuts(group, ports)


class _RunningPuts:
    def __init__(self, group: Processes, ports: list[int]) -> None:
        self._group = group
        self._ports = ports

    def measure(self, mode: Mode, span: Span) -> dict[str, Any]:
        """See `Running`: one process for all clients, as etcd's own benchmark has."""
        meter = Meter(self._group)
        words = [f"--{name}={value}" for name, value in zip(Span._fields, span, strict=True)]
        nodes = [f"--port={self._ports[client % MEMBERS]}" for client in range(mode.clients)]
        command = python("-m", "benchmarks.put_load", f"--in-flight={mode.in_flight}", f"--name={mode.name}", *words, *nodes)
        load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return measurement(collect([load], span.seconds + span.warm_up + 20), meter)


class EtcdLock(_Etcd):
    """Lock, append a block to a shared file, fdatasync, unlock: each client in a process of its own."""

    name = "etcd-lock"
    title = "etcd, lock + append + fdatasync"
    modes = (CLOSED, ALONE)

    @contextlib.contextmanager
    def running(self, directory: Path) -> Iterator[_RunningLock]:
        """See `System`."""
        with cluster(directory) as (group, ports):
            yield _RunningLock(group, ports)


class _RunningLock:
    def __init__(self, group: Processes, ports: list[int]) -> None:
        self._group = group
        self._ports = ports

    def measure(self, mode: Mode, span: Span) -> dict[str, Any]:
        """See `Running`."""
        meter = Meter(self._group)
        file = str(self._group.directory / "output.txt")
        each = [{"port": self._ports[client % MEMBERS], "file": file, "client": client} for client in range(mode.clients)]
        return measurement(run_workers("etcd-lock", each, span), meter)
