"""The admin socket and `ctl`: one JSON line there, one back, for nobody but the node's own user."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from node_runtime import ctl
from node_runtime.admin import LINE_SECONDS, MAX_CONNECTIONS, MAX_LINE, Admin
from node_runtime.config import Address, NodeConfig
from node_runtime.faults import FaultPanel, LinkFaults
from tests.component.peer_bench import LIMIT, each_loop, run, until


class Driver:
    """A node that answers."""

    def __init__(self, allowed: bool = True) -> None:
        self.healthy = True
        self.error: Exception | None = None
        self.panel = FaultPanel(LinkFaults(0, range(3)), range(3), allowed=allowed, skew=lambda _: None)

    def status(self) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"node": 0, "role": "leader", "why": "héllo"}

    def health(self) -> tuple[bool, str]:
        return self.healthy, "" if self.healthy else "no leader"

    def fault(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.panel.handle(request, 0)


def config_in(directory: Path) -> NodeConfig:
    address = Address("127.0.0.1", 0)
    return NodeConfig(0, "c", address, address, {0: address}, "", str(directory))


class Bench:
    """An admin socket in a directory, asked from another thread as another process would."""

    def __init__(self, directory: Path, driver: Driver | None = None, line_seconds: float = LINE_SECONDS) -> None:
        self.directory = directory
        self.driver = driver or Driver()
        self.admin = Admin(config_in(directory), self.driver, line_seconds=line_seconds)

    async def __aenter__(self) -> Bench:
        await self.admin.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.admin.close()

    async def ask(self, **request: object) -> dict[str, object]:
        return await asyncio.to_thread(ctl.ask, str(self.directory), request, LIMIT)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with ctl.reachable(str(self.directory)) as path:
            return await asyncio.open_unix_connection(path, limit=1 << 20)


@each_loop
def test_status_health_and_faults_are_answered(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Bench(tmp_path) as bench:
            assert await bench.ask(op="status") == {"ok": True, "node": 0, "role": "leader", "why": "héllo"}
            assert await bench.ask(op="health") == {"ok": True, "healthy": True, "why": ""}
            bench.driver.healthy = False
            assert await bench.ask(op="health") == {"ok": False, "healthy": False, "why": "no leader"}
            assert (await bench.ask(op="fault", kind="cut", to=[1]))["applied"] is True
            assert len((await bench.ask(op="faults"))["faults"]) == 1  # type: ignore[arg-type]
            assert (await bench.ask(op="heal"))["ok"] is True
            assert (await bench.ask(op="faults"))["faults"] == []

    run(main(), loop)


def test_faults_are_refused_with_the_way_out_where_they_are_not_allowed(tmp_path: Path) -> None:
    async def main() -> None:
        async with Bench(tmp_path, Driver(allowed=False)) as bench:
            reply = await bench.ask(op="fault", kind="cut")
            assert reply["ok"] is False
            assert "votesync up --faults" in str(reply["error"])

    run(main())


@each_loop
def test_a_data_directory_with_a_very_long_path_works(loop: str, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)

    async def main() -> None:
        async with Bench(deep) as bench:
            assert (await bench.ask(op="status"))["node"] == 0
            assert (deep / ctl.SOCKET).exists()
        assert not (deep / ctl.SOCKET).exists()

    run(main(), loop)


def test_only_the_owner_may_open_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with Bench(tmp_path):
            assert stat.S_IMODE(os.stat(tmp_path / ctl.SOCKET).st_mode) == 0o600

    run(main())


def test_a_dead_socket_is_taken_over_and_a_live_one_or_another_file_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(tmp_path / ctl.SOCKET))
        dead.close()
        async with Bench(tmp_path) as bench:
            with pytest.raises(OSError, match="another node answers"):
                await Admin(config_in(tmp_path), Driver()).start()
            assert (await bench.ask(op="status"))["ok"] is True
        (tmp_path / ctl.SOCKET).write_text("mine")
        with pytest.raises(OSError, match="is not a socket"):
            await Admin(config_in(tmp_path), Driver()).start()
        assert (tmp_path / ctl.SOCKET).read_text() == "mine"

    run(main())


NONSENSE = [b"hello", b"[]", b"7", b"null", b'{"op":[]}', b'{"op":"melt"}', b'{"op":"fault"}']
NONSENSE += [b"[" * 50_000, b"\xff\xfe", b"9" * 9000]


def test_rule_38_nonsense_is_answered_with_an_error_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with Bench(tmp_path) as bench:
            reader, writer = await bench.open()
            for line in NONSENSE:
                writer.write(line + b"\n")
                reply = json.loads(await reader.readline())
                assert reply["ok"] is False
                assert reply["error"]
            writer.write(b'\n{"op":"sta')
            await writer.drain()
            writer.write(b'tus"}\n{"op":"health"}\n')
            assert json.loads(await reader.readline())["node"] == 0
            assert json.loads(await reader.readline())["healthy"] is True
            writer.close()

    run(main())


def test_rule_52_a_line_without_end_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with Bench(tmp_path) as bench:
            reader, writer = await bench.open()
            writer.write(b"x" * (MAX_LINE + 1))
            assert "longer than" in json.loads(await reader.readline())["error"]
            assert await reader.read() == b""
            writer.close()

    run(main())


def test_rule_52_half_a_line_has_a_deadline(tmp_path: Path) -> None:
    async def main() -> None:
        async with Bench(tmp_path, line_seconds=0.05) as bench:
            reader, writer = await bench.open()
            writer.write(b'{"op":')
            assert await reader.read() == b""
            writer.close()

    run(main())


def test_rule_52_idle_connections_are_capped_and_lock_nobody_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with Bench(tmp_path, line_seconds=3600) as bench:
            idle = [await bench.open() for _ in range(3 * MAX_CONNECTIONS)]
            assert (await bench.ask(op="status"))["ok"] is True
            await until(lambda: sum(not reader.at_eof() for reader, _ in idle) < MAX_CONNECTIONS)
            for _, writer in idle:
                writer.close()

    run(main())


@each_loop
@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(5, "Input/output error")], ids=["bug", "disk"])
def test_rule_54_what_the_driver_raises_reaches_the_handler_of_the_loop(loop: str, error: Exception, tmp_path: Path) -> None:
    async def main() -> None:
        caught: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context.get("exception")))
        async with Bench(tmp_path) as bench:
            bench.driver.error = error
            with pytest.raises(OSError, match=r"hung up|reset"):
                await bench.ask(op="status")
            assert caught[0] is error

    run(main(), loop)


def test_ask_says_what_is_wrong_where_no_node_answers(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ctl.ask(str(tmp_path), {"op": "status"}, 1.0)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / ctl.SOCKET))
        silent.listen(1)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            ctl.ask(str(tmp_path), {"op": "status"}, 0.2)
        assert time.monotonic() - began < LIMIT
