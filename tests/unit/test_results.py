"""What the verbs return: as text, as JSON, and as an exit code."""

from __future__ import annotations

import json
from typing import Any

from votesync_cli.results import (
    Check,
    ClientRow,
    DoctorResult,
    NodeStatus,
    PlanResult,
    PsResult,
    Said,
    SendResult,
    ServiceRow,
    StatusResult,
    Table,
    WaitResult,
)


def as_json(result: Any) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(row)) for row in result.to_json()]


def test_a_table_is_aligned_and_never_cut() -> None:
    table = Table(("name", "n"), (("a", "1"), ("b" * 100, "1000")), frozenset({"n"}))
    assert table.to_text().splitlines() == ["NAME".ljust(100) + "     N", "a".ljust(100) + "     1", "b" * 100 + "  1000"]


def test_ps_shows_how_a_service_ended() -> None:
    row = ServiceRow("client_1", "client", 0, "exited", "", 137, None, None, "0123456789abcdef0123")
    result = PsResult("p", "docker", (row,))
    assert "exited (137)" in result.to_text()
    assert "0123456789ab" in result.to_text()
    assert "0123456789abc" not in result.to_text(), "people compare the first twelve digits"
    assert as_json(result)[0]["container"] == "0123456789abcdef0123"
    assert PsResult("p", "docker", ()).to_text() == "Project p has no services on the docker engine."


def test_ps_as_json_has_what_programs_look_for() -> None:
    row = ServiceRow("cluster_sync_1", "node", 0, "running", "healthy", None, "127.0.0.1:5000", 4711, None)
    (said,) = as_json(PsResult("p", "local", (row,)))
    assert {"service", "role", "id", "state", "health", "pid", "container", "client_address"} <= set(said)
    assert (said["role"], said["id"], said["client_address"], said["pid"]) == ("node", 0, "127.0.0.1:5000", 4711)


def node(number: int, *, healthy: bool = True) -> NodeStatus:
    said = {"role": "follower", "term": 3, "leader": 0, "decided": 7, "last": 9, "written": 512, "queue": 1, "healthy": healthy}
    return NodeStatus(f"cluster_sync_{number + 1}", number, "running", said)


def test_status_fails_without_a_healthy_majority() -> None:
    lost = NodeStatus("cluster_sync_9", 8, "exited", None, "it is exited")
    assert StatusResult("p", (node(0), node(1), lost)).exit_code == 0
    assert StatusResult("p", (node(0), node(1, healthy=False), lost)).exit_code == 1
    assert StatusResult("p", (node(0), lost)).exit_code == 1, "a half is no majority"


def test_status_shows_the_unreachable_as_such() -> None:
    result = StatusResult("p", (node(0), NodeStatus("cluster_sync_2", 1, "exited", None, "it is exited")))
    assert "unreachable" in result.to_text().splitlines()[2]
    rows = as_json(result)
    assert [row["reachable"] for row in rows] == [True, False]
    assert rows[0]["decided"] == 7
    assert result.table.rows[0][8] == "2", "lag: rounds it has and does not know decided"


def test_wait_names_the_client_that_failed() -> None:
    result = WaitResult((ClientRow("client_1", 0), ClientRow("client_2", 1, "no node answers"), ClientRow("client_3", None)))
    assert result.exit_code == 1
    assert "client_2 failed with exit code 1: no node answers" in result.to_text()
    assert [row["ok"] for row in as_json(result)] == [True, False, False]
    assert WaitResult((ClientRow("client_1", 0),)).exit_code == 0


def test_send_fails_where_a_line_has_no_ack() -> None:
    good = {"ok": True, "session": "s", "seq": 1, "round": 3, "offset": 77}
    old = {"ok": True, "session": "s", "seq": 2, "round": None, "offset": None}
    bad = {"ok": False, "session": "s", "error": "no majority"}
    assert SendResult((good, old), 2).exit_code == 0
    assert SendResult((good, old), 2).to_text() == "s #1: round 3, byte 77\ns #2: written before"
    assert SendResult((good,), 2).exit_code == 1
    assert SendResult((good, bad), 2).exit_code == 1
    assert SendResult((good, bad), 2).to_text().splitlines()[1:] == [
        "s: not acknowledged: no majority",
        "1 of 2 lines were not acknowledged.",
    ]


def test_doctor_fails_only_for_what_is_needed() -> None:
    absent = Check("docker", False, "no daemon", "start it", needed=False)
    assert DoctorResult((Check("python", True, "3.11"), absent)).exit_code == 0
    assert "absent" in DoctorResult((absent,)).to_text()
    assert DoctorResult((Check("disk", False, "full", "make room"),)).exit_code == 4
    assert "make room" not in DoctorResult((Check("disk", True, "empty", "make room"),)).to_text()


def test_sentences_and_plans() -> None:
    said = Said("kill", "It was killed.", {"service": "cluster_sync_1"})
    assert (said.to_text(), as_json(said)) == ("It was killed.", [{"verb": "kill", "service": "cluster_sync_1"}])
    result = PlanResult("p", "local", ("create   cluster_sync_1: it does not exist",), 1)
    assert as_json(result) == [{"kind": "create", "service": "cluster_sync_1", "reason": "it does not exist"}]
    assert result.to_text().endswith("1 changes to project p on the local engine.")
