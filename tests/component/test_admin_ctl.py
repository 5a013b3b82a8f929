"""The command line of `ctl`: what it sends, what it prints, and how it exits."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node_runtime import ctl
from node_runtime.admin import Admin
from tests.component.peer_bench import run
from tests.component.test_admin import Driver, config_in


class Recording(Driver):
    """Notes each request."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[dict[str, Any]] = []

    def fault(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        return {"ok": True}


def ctl_in(directory: Path, driver: Driver, *argv: str) -> int:
    """Run `ctl` against a node in `directory`; the exit code."""
    codes: list[int] = []

    async def main() -> None:
        admin = Admin(config_in(directory), driver)
        await admin.start()
        codes.append(await asyncio.to_thread(ctl.main, ["--data-dir", str(directory), *argv]))
        await admin.close()

    run(main())
    return codes[0]


@pytest.mark.parametrize(
    ("argv", "request_"),
    [
        (["faults"], {"op": "faults"}),
        (["heal"], {"op": "heal"}),
        (["heal", "3"], {"op": "heal", "id": 3}),
        (["fault", "cut"], {"op": "fault", "kind": "cut"}),
        (
            ["fault", "cut", "--from", "0", "--to=1,2", "--for-ms", "500"],
            {"op": "fault", "kind": "cut", "from": [0], "to": [1, 2], "for_ms": 500.0},
        ),
        (
            ["fault", "--amount", "20", "delay", "--jitter", "5.5", "--seed", "7"],
            {"op": "fault", "kind": "delay", "amount": 20.0, "jitter": 5.5, "seed": 7},
        ),
        (["fault", "skew", "--amount", "-250"], {"op": "fault", "kind": "skew", "amount": -250.0}),
        (['{"op":"fault","kind":"cut","from":1}'], {"op": "fault", "kind": "cut", "from": 1}),
    ],
)
def test_a_command_line_becomes_a_request(argv: list[str], request_: dict[str, Any], tmp_path: Path) -> None:
    driver = Recording()
    assert ctl_in(tmp_path, driver, *argv) == 0
    assert driver.requests == [request_]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["melt"],
        ["status", "now"],
        ["fault"],
        ["fault", "cut", "drop"],
        ["fault", "cut", "--from", "one"],
        ["fault", "cut", "--from"],
        ["heal", "all"],
        ["{"],
        ["--timeout", "soon", "status"],
    ],
)
def test_what_cannot_be_understood_exits_2_and_says_how(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(argv) == 2
    captured = capsys.readouterr()
    assert "usage:" in captured.err
    assert captured.out == ""


def test_status_is_printed_as_one_json_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl_in(tmp_path, Driver(), "status") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["role"] == "leader"


def test_rule_55_health_exits_0_or_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    driver = Driver()
    assert ctl_in(tmp_path, driver, "health") == 0
    driver.healthy = False
    assert ctl_in(tmp_path, driver, "health") == 1
    assert json.loads(capsys.readouterr().out.splitlines()[1])["why"] == "no leader"


def test_no_node_is_exit_1_with_one_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ctl.main(["--data-dir", str(tmp_path), "health"]) == 1
    reply = json.loads(capsys.readouterr().out)
    assert reply["ok"] is False
    assert str(tmp_path) in reply["error"]


def test_a_healthcheck_starts_without_the_rest_of_the_node(tmp_path: Path) -> None:
    """It runs every second in each container: no asyncio, no argparse, nothing of the machinery."""
    script = (
        "import sys; from node_runtime import ctl; ctl.main(['health']);"
        "print(sorted({'asyncio', 'argparse', 'tempfile', 'logging', 'node_runtime.messages'} & set(sys.modules)))"
    )
    environment = {"DATA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    reply, loaded = done.stdout.splitlines()
    assert str(tmp_path) in json.loads(reply)["error"]
    assert loaded == "[]"
