"""The systems that are measured side by side: `ALL`, in the order of the table."""

from __future__ import annotations

from benchmarks.systems.base import System
from benchmarks.systems.etcd import EtcdLock, EtcdPuts
from benchmarks.systems.limits import Fdatasync, Flock, GroupCommit, Loopback
from benchmarks.systems.pysyncobj import PySyncObj
from benchmarks.systems.redis import RedisLock
from benchmarks.systems.votesync import Votesync

ALL: tuple[System, ...] = (
    Votesync("turns"),
    Votesync("winner"),
    EtcdLock(),
    EtcdPuts(),
    PySyncObj(batching=True),
    PySyncObj(batching=False),
    RedisLock(),
    Flock(),
    GroupCommit(1),
    GroupCommit(5),
    GroupCommit(256),
    Fdatasync(),
    Loopback(),
)
