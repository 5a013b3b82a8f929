"""Two workers share these tests: clusters of local processes share the ports of one machine, so one worker has them all."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
ELSEWHERE = {"docker", "browser"}  # containers have networks of their own, pages have none


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            elsewhere = item.path.relative_to(HERE).parts[0] in ELSEWHERE
            item.add_marker(pytest.mark.xdist_group("elsewhere" if elsewhere else "local"))
