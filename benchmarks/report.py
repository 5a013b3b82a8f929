"""`report`: the newest results into docs/PERFORMANCE.md, between its markers, and the plots beside it."""

from __future__ import annotations

import re

from benchmarks import plots, store, tables
from benchmarks.compare import say
from benchmarks.procs import ROOT, BenchmarkError

PAGE = ROOT / "docs" / "PERFORMANCE.md"
PLOTS = ROOT / "docs" / "performance"


def report() -> None:
    """Fill in every part of the page for which there is a result, and say so of those for which there is none.

    Raises: BenchmarkError where the page has lost a marker.
    """
    page = PAGE.read_text(encoding="utf-8")
    for name in tables.RENDERERS:
        page = placed(page, name, _part(name))
    PAGE.write_text(page, encoding="utf-8")
    say(f"{PAGE.relative_to(ROOT)} is filled in.")


def placed(page: str, name: str, text: str) -> str:
    """The page with `text` between the markers of `name`.

    Raises: BenchmarkError.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise BenchmarkError(f"{PAGE.name} needs {begin} and {end} once")
    return pattern.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", page)


def _part(name: str) -> str:
    result = store.load(name)
    if result is None:
        return f"_Not measured yet: `python -m benchmarks {name}`._"
    text = tables.render(name, result)
    if not result["points" if "points" in result else "facts" if "facts" in result else "repetitions"]:
        return text
    try:
        if plots.draw(name, result, PLOTS / f"{name}.svg"):
            text += f"\n\n![{name}]({PLOTS.name}/{name}.svg)"
    except ImportError:
        say("There are no plots: matplotlib is not installed (pip install 'votesync[bench]').")
    return text
