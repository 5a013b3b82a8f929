"""`votesync chaos` on the local engine: the three verdicts, and what it leaves behind."""

from __future__ import annotations

import json

from tests.e2e.local.conftest import Maker


def test_a_run_passes_and_writes_down_all_it_did(make_cluster: Maker) -> None:
    cluster = make_cluster("chaos", 5)
    done = cluster.cli("chaos", "--engine", "local", "--seed", "11", "--for", "12s")
    assert done.stdout.splitlines()[-1].startswith("PASS: seed 11")
    (record,) = (cluster.directory / ".votesync" / "chaos").iterdir()
    planned = [json.loads(line) for line in (record / "schedule.jsonl").read_text().splitlines()]
    deeds = [json.loads(line) for line in (record / "deeds.jsonl").read_text().splitlines()]
    assert sorted(deed["step"] for deed in deeds) == [step["number"] for step in planned]
    assert "Seed 11: " in done.stderr
    assert json.loads((record / "verdict.jsonl").read_text().splitlines()[-1])["verdict"] == "PASS"
    assert cluster.cli("fault", "list").stdout == "No faults are at work.\n"
    assert [cluster.seen(node.name).state for node in cluster.project.nodes] == ["running"] * 5


def test_an_acknowledged_message_that_is_not_there_fails_the_run_with_a_time_line(make_cluster: Maker) -> None:
    cluster = make_cluster("liar", 3)
    cluster.up("--messages", "20", "--faults")
    cluster.await_clients()
    history = cluster.directory / "shared_data" / "history" / "client_9.jsonl"
    boot = json.loads((history.parent / "client_1.jsonl").read_text().splitlines()[0])["boot"]
    history.write_text(
        f'{{"event":"begin","session":"ghost","from":1,"to":1,"boot":"{boot}","ts":1.0,"mono":1}}\n'
        '{"event":"invoke","session":"ghost","seq":1,"time":1,"text":"boo","node":0,"mono":2}\n'
        '{"event":"ok","session":"ghost","seq":1,"round":1,"offset":0,"mono":3}\n'
    )
    done = cluster.cli("chaos", "--seed", "2", "--for", "4s", "--kinds", "kill,pause", code=1)
    assert "no-loss" in done.stdout
    assert "on one time line" in done.stdout
    assert ">> " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("FAIL: seed 2")


def test_without_load_nothing_is_proven(make_cluster: Maker) -> None:
    cluster = make_cluster("idle", 3)
    cluster.up("--messages", "0", "--faults")
    done = cluster.cli("chaos", "--seed", "2", "--for", "3s", "--json", code=3)
    verdict = json.loads(done.stdout.splitlines()[-1])
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert any("hit nothing" in doubt for doubt in verdict["doubts"])


def test_a_cluster_that_takes_no_faults_says_so_and_the_schedule_can_be_seen_beforehand(make_cluster: Maker) -> None:
    cluster = make_cluster("sound", 3)
    cluster.up("--messages", "5")
    assert "takes no faults of links" in cluster.cli("chaos", "--for", "2s", code=1).stderr
    assert "--kinds cannot be" in cluster.cli("chaos", "--kinds", "meteor", code=2).stderr
    first = cluster.cli("chaos", "--seed", "4", "--dry-run").stdout
    assert first == cluster.cli("chaos", "--seed", "4", "--dry-run").stdout
    assert first.startswith("Seed 4: ")
