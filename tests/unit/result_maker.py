"""Results of every verb, made by hand: no clock, no cluster, the same every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from votesync_cli.bench_model import BenchResult
from votesync_cli.board import Turn, WhoResult
from votesync_cli.chaos_results import ChaosResult, Deed, Facts, Plan
from votesync_cli.fault_results import FaultDone, FaultList
from votesync_cli.results import (
    Check,
    ClientRow,
    DoctorResult,
    NodeStatus,
    PlanResult,
    PsResult,
    Result,
    Said,
    SendResult,
    ServiceRow,
    StatusResult,
    WaitResult,
)
from votesync_cli.runs import Run
from votesync_cli.runs_results import Listed, RunList, RunShown
from votesync_cli.verify.selftest import SelfTest, Trial
from votesync_cli.verify.verdict import Counterexample, Place, Report, Status, Verdict

ZONE = UTC


def _service(role: str, number: int, state: str = "running", code: int | None = None) -> ServiceRow:
    name = f"cluster_sync_{number + 1}" if role == "node" else f"client_{number}"
    health = "healthy" if role == "node" and state == "running" else ""
    address = f"127.0.0.1:{5000 + number}" if role == "node" and state == "running" else None
    return ServiceRow(name, role, number, state, health, code, address, 4700 + number if state == "running" else None, None)


def _status(node: int, **more: Any) -> NodeStatus:
    said = {
        "role": "follower", "term": 3, "leader": 1, "decided": 1042, "last": 1042, "written": 187_220, "queue": node,
        "healthy": True, **more,
    }  # fmt: skip
    return NodeStatus(f"cluster_sync_{node + 1}", node, "running", said)


def _report(*verdicts: Verdict, notes: tuple[str, ...] = ()) -> Report:
    return Report("shared_data/output.txt", 62_000, 1000, 412, 5, 0.125, verdicts, notes)


PASSED = (
    Verdict("framing", Status.PASS, "every one of the 62,000 bytes belongs to a block or a separator"),
    Verdict("order", Status.PASS, "1,000 blocks sorted inside their rounds"),
    Verdict("one-writer", Status.PASS, "388 turns of 412 rounds, no two valid at the same time"),
    Verdict("agreement", Status.NOT_CHECKED, "", "the nodes' journals (--journals DIR)"),
)
BROKEN = Verdict(
    "real-time",
    Status.FAIL,
    "1,000 messages with their histories",
    violations=3,
    counterexample=Counterexample(
        "line 8 was acknowledged 1,200 µs before line 5 was sent, and yet stands behind it",
        (
            Place(5, "Container 2 \nMensagem: client 2 time: 368186 - message: a text that is long and needs another line"),
            Place(1, '{"event":"ok"}', "client_2.jsonl"),
        ),
        ({"ts": 1700000000.25, "node": 0, "event": "decided", "term": 1, "round": 3, "votes": {"0": 900, "1": 1200}},),
    ),
)
FACTS = Facts(acked=12_345, invoked=12_350, clients=5, under_load=7, leader_changes=3, turns_taken_over=2, restarts=4)
BENCH: dict[str, Any] = {
    "clients": 5, "in_flight": 1, "size": 16, "seconds": 10.0, "messages": 12_000, "rate": 1200.0, "acked": 12_005,
    "unknown": 3, "errors": {"closed": 2}, "mean_us": 900, "p50_us": 850, "p90_us": 1500, "p99_us": 4000, "p999_us": 12_000,
    "max_us": 41_000, "histogram": [[850, 8000], [1500, 3000], [4100, 950], [41_000, 50]],
}  # fmt: skip
NEXT = "  votesync tail -f  watch the votes\n  votesync kill 4   break something"


def _kept(day: int, *, latest: bool) -> Listed:
    at = datetime(2026, 11, day, 3, 31, 7, tzinfo=UTC)
    path = Path(f"2026-11-{day}T03-31-07Z")
    missing = () if latest else ("the log of cluster_sync_3: no such file",)
    end = at + timedelta(minutes=5)
    run = Run(path, "lab", "local", 5, 5, at, end, end, False, 2939, 1204, missing=missing)
    return Listed(run, "PASS" if latest else "", 4_200_000, latest)


def results() -> dict[str, Result]:
    """Each under the name of its verb."""
    nodes = tuple(_service("node", number) for number in range(3))
    clients = (_service("client", 0), _service("client", 1, "exited", 1))
    rule = {"kind": "delay", "from": [2], "to": [0, 1], "amount": 80, "jitter": 20, "left_ms": 12_000}
    deed = Deed(1, "delay 2 80 ± 20 ms", (2,), 10.0, 12.0, (1, 2))
    said = f"lab: 5 nodes and 5 clients on the local engine, led by node 0.\nNext:\n{NEXT}"
    many = [f"{kind} cluster_sync_{number}: it does not exist yet" for number, kind in enumerate(("create", "start"), 1)]
    return {
        "up": Said("up", said, {}),
        "up_dry_run": PlanResult("lab", "local", tuple(many), 2),
        "ps": PsResult("lab", "local", (*nodes, *clients)),
        "status": StatusResult(
            "lab",
            (
                _status(0),
                _status(1, role="leader", last=1050),
                _status(2, healthy=False, why="it hears no leader", faults=[{"kind": "cut"}]),
                NodeStatus("cluster_sync_4", 3, "exited", None, "it is exited"),
            ),
        ),
        "wait": WaitResult((ClientRow("client_1", 0), ClientRow("client_2", 1, "no majority for 60 s"))),
        "send": SendResult(
            (
                {"ok": True, "session": "2", "seq": 3, "round": 12, "offset": 4410},
                {"session": "2", "seq": 4, "error": "no majority"},
            ),
            2,
        ),
        "who": WhoResult("lab", 3, 1, Turn(41, 2, 0, 1, (2, 1)), {0: 3, 1: 0, 2: 1200}),
        "doctor": DoctorResult(
            (
                Check("python", True, "3.12.1"),
                Check("docker", False, "no daemon answers", "sudo systemctl start docker", needed=False),
            )
        ),
        "fault": FaultDone("delay 2 80 ms ± 20 ms", (0, 1, 2), {"cluster_sync_4": "it is not running"}, 30.0),
        "fault_list": FaultList(((0, rule), (1, rule)), {}),
        "chaos": ChaosResult(
            7, 60.0, (deed,), FACTS, ("shared_data/output.txt breaks real-time.",), (), _report(*PASSED[:2], BROKEN).page,
            ("    0.000 s  chaos     delay 2 80 ± 20 ms", "    1.250 s  node 0    leads term 2"), Path(".votesync/chaos/run-7"),
        ),
        "chaos_plan": Plan(7, ("at 0.5 s: kill leader for 1.2 s", "at 2.0 s: delay 2 80 ± 20 ms for 3.0 s"), ()),
        "bench": BenchResult("lab", 5, "turns", BENCH),
        "runs": RunList(".votesync/runs", (_kept(24, latest=False), _kept(25, latest=True))),
        "runs_show": RunShown(
            _kept(24, latest=False), {"asked": {"nodes": 5, "faults": True}},
            {"verdict": "PASS", "by": "verify", "at": "2026-11-24T03:31Z"},
            ({"verb": "fault", "what": "cut 1 -> 3"},),
            (("output.txt", 303_561), ("votes/cluster_sync_1.log", 325_000)), "latest",
        ),
        "self_test": SelfTest(
            "shared_data/output.txt",
            (
                Trial("a block twice", ("no-duplicate",), ("session-order", "no-duplicate", "no-invention", "agreement"), 40),
                Trial("two rounds swapped", (), ()),
                Trial("a torn block", ("framing",), ()),
            ),
        ),
        "verify": _report(*PASSED, notes=("No vote logs: there is no Docker Engine.",)),
        "verify_fails": _report(*PASSED[:2], BROKEN),
    }  # fmt: skip
