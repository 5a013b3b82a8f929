"""`python -m benchmarks.pysync_member ARGUMENTS`: one member of a PySyncObj cluster, which is its own client.

PySyncObj is a library: who wants its log runs it inside. It says `ready` when it knows a leader; then each line of
standard input is a load to put on the log, and one JSON line answers. `in_flight` appends are under way at a time, and the
callback of one starts the next.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import threading
import time
from typing import Any

from node_runtime.bench_lanes import Tally

DRAIN_S = 5.0
pysyncobj: Any = importlib.import_module("pysyncobj")  # it has no types, and is there for benchmarks only


class SharedLog(pysyncobj.SyncObj):  # type: ignore[misc]  # the same
    """The state machine: what is decided is counted, nothing else."""

    def __init__(self, port: int, others: list[int], journal: str, batching: bool) -> None:
        settings = pysyncobj.SyncObjConf(journalFile=journal, appendEntriesUseBatch=batching, connectionRetryTime=0.2)
        super().__init__(f"127.0.0.1:{port}", [f"127.0.0.1:{other}" for other in others], settings)
        self.count = 0

    @pysyncobj.replicated  # type: ignore[untyped-decorator]  # the same
    def append(self, text: str) -> int:
        """Take a block."""
        self.count += 1
        return self.count


class Load:
    """Keeps appends under way until `tally.end`. Callbacks come from the library's own thread."""

    def __init__(self, log: SharedLog, in_flight: int, text: str, tally: Tally) -> None:
        self._log = log
        self._text = text
        self._in_flight = in_flight
        self.tally = tally
        self._pending = 0
        self._settled = threading.Event()

    def run(self) -> None:
        """Start, and wait for the end."""
        for _ in range(self._in_flight):
            self._pending += 1
            self._append()
        self._settled.wait((self.tally.end - time.monotonic_ns()) / 1e9 + DRAIN_S)

    def _append(self) -> None:
        self._log.append(self._text, callback=functools.partial(self._done, time.monotonic_ns()))

    def _done(self, sent: int, _: int | None, problem: int) -> None:
        now = time.monotonic_ns()
        if problem == pysyncobj.FAIL_REASON.SUCCESS:
            self.tally.count(now, sent, 1)
        else:
            self.tally.errors[str(problem)] += 1
        if now < self.tally.end:
            self._append()
            return
        self._pending -= 1
        if self._pending == 0:
            self._settled.set()


def main(argument: str) -> int:
    """Be a member until standard input ends."""
    told: dict[str, Any] = json.loads(argument)
    log = SharedLog(told["port"], told["others"], told["journal"], told["batching"])
    while not log.isReady() or log._getLeader() is None:
        time.sleep(0.02)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        wanted = json.loads(line)
        tally = Tally(wanted["begin"], wanted["begin"] + int(wanted["seconds"] * 1e9))
        Load(log, wanted["in_flight"], told["text"], tally).run()
        rate = tally.latencies.total / wanted["seconds"]
        answer = {"acked": tally.acked, "rate": rate, "cpu_s": 0.0, "histogram": tally.latencies.rows(), "errors": tally.errors}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    log.destroy()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
