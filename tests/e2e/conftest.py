"""Two workers share these tests: clusters of local processes share the ports of one machine, so one worker has them all."""

from __future__ import annotations

from typing import Any

import pytest

ELSEWHERE = ("tests/e2e/docker/", "tests/e2e/browser/")  # containers have networks of their own, pages have none


@pytest.hookimpl(optionalhook=True)  # without xdist there is one worker
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What belongs together goes to one worker as a whole."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class ByMachine(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return "elsewhere" if nodeid.startswith(ELSEWHERE) else "local"

    return ByMachine(config, log)
