"""Results -> Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.stats import short, spread, spread_text, table
from benchmarks.store import Result
from benchmarks.targets import TARGETS, WRITERS, Medians

MODES = {"closed": "5 × 1", "alone": "1 × 1", "pipelined": "5 × 256"}


def machine_line(result: Result) -> str:
    """The machine and the settings of a run, as one paragraph."""
    about = result["machine"]
    loop = f", uvloop {about['uvloop']}" if about.get("uvloop") else ", asyncio"
    return (
        f"_{about['when']}, commit {about['commit']}: {about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB,"
        f" {about['kernel']}, {about['file_system']}, Python {about['python']}{loop}; load before: {about['load_before']}._"
    )


def ratios(result: Result) -> str:
    """The targets beside what was measured."""
    medians = Medians(result["repetitions"])
    rows = []
    for target in TARGETS:
        cells = [target.title]
        sign = "≥" if target.at_least else "≤"
        for writer in WRITERS:
            ratio, limit = target.ratio(medians, f"votesync-{writer}"), target.limit(writer)
            cells.append("–" if limit is None else f"{sign} {limit:g}")
            verdict = None if ratio is None else target.is_met(writer, ratio)
            mark = {True: " ✓", False: " ✗", None: ""}[verdict]
            cells.append("not measured" if ratio is None else f"**{short(ratio)}**{mark}")
        cells.append(f"{target.stretch:g}" if target.stretch else "–")
        rows.append(cells)
    columns = ("ratio", "turns: asked", "turns", "winner: asked", "winner", "stretch")
    return table(columns, rows)


def systems(result: Result) -> str:
    """Every system and mode: rate, latencies, cost a message."""
    medians = Medians(result["repetitions"])
    rows = []
    for name, about in result["systems"].items():
        for mode, shown in MODES.items():
            rate = medians.of(name, mode)
            if rate is None:
                continue

            def cell(figure: str, scale: float = 1.0, name: str = name, mode: str = mode) -> str:
                found = medians.of(name, mode, figure)
                return short(found.median * scale) if found else "–"

            latencies = [cell("p50_us", 1e-3), cell("p99_us", 1e-3)]
            costs = [cell("members_cpu_us"), cell("clients_cpu_us"), cell("written_bytes")]
            rows.append([about["title"], shown, spread_text(rate), *latencies, *costs])
    rows += [[about["title"], "–", f"missing: {about['why']}", *["–"] * 5] for about in result["missing"].values()]
    costs = ["members' CPU µs/msg", "clients' CPU µs/msg", "bytes to disk/msg"]
    columns = ["system", "clients × in flight", "msg/s", "p50 ms", "p99 ms", *costs]
    return table(columns, rows)


def used_settings(result: Result) -> str:
    """How each system was set."""
    lines = []
    for about in result["systems"].values():
        told = ", ".join(f"{name}: {value}" for name, value in about["settings"].items())
        if told:
            lines.append(f"- {about['title']}: {told}")
    span = result["span"]
    lines.append(
        f"- {len(result['repetitions'])} repetitions, interleaved; {span['seconds']:g} s each after {span['warm_up']:g} s of"
        f" warming up; texts of {span['size']} bytes; medians (least–greatest)"
    )
    lines += [f"- {one['system']}, repetition {one['repetition']}, failed: {one['why']}" for one in result["failures"]]
    return "\n".join(lines)


def compare(result: Result) -> str:
    """All of `compare`."""
    return "\n\n".join([machine_line(result), ratios(result), systems(result), used_settings(result)])


def curve(result: Result) -> str:
    """One of the cost curves: a row for each value of what grows."""
    rows = []
    for point in result["points"]:
        medians = Medians([{"it": repetition} for repetition in point["repetitions"]])
        cells = [f"{point['at']:,}", point["writer"]]
        for mode in ("closed", "pipelined"):
            found = {figure: medians.of("it", mode, figure) for figure in ("rate", "p50_us", "p99_us", "members_cpu_us")}
            rate, p50, p99, cpu = (found[figure] for figure in found)
            cells += [spread_text(rate), *(short(one.median / 1e3) if one else "–" for one in (p50, p99))]
            cells += [short(cpu.median) if cpu else "–"]
        cells.append(short(point["rss_mib"]))
        rows.append(cells)
    shown = [f"{head}: {what}" for head in result["heads"] for what in ("msg/s", "p50 ms", "p99 ms", "CPU µs/msg")]
    return machine_line(result) + "\n\n" + table([result["grows"], "writer", *shown, "RSS MiB, greatest node"], rows)


def facts(result: Result) -> str:
    """Named figures with their limits."""
    rows = []
    for fact in result["facts"]:
        found = spread([float(value) for value in fact["values"]])
        limit = fact.get("limit")
        is_met = None if limit is None or found is None else _holds(found.median, limit, fact.get("at_least", False))
        sign = "≥" if fact.get("at_least") else "≤"
        asked = "–" if limit is None else f"{sign} {limit:g}"
        mark = {True: " ✓", False: " ✗", None: ""}[is_met]
        rows.append([fact["what"], spread_text(found) + mark, fact["unit"], asked, str(len(fact["values"]))])
    notes = "".join(f"\n\n{note}" for note in result.get("notes", ()))
    return machine_line(result) + "\n\n" + table(("what", "median (least–greatest)", "unit", "asked", "measured"), rows) + notes


def long_log(result: Result) -> str:
    """A log as it grows: memory, and a restart at each mark."""
    columns = ("messages", "file MB", "msg/s so far", "RSS MiB, leader", "RSS MiB, greatest", "restart s", "journal MB")
    names = ("messages", "file_mb", "rate", "leader_rss_mib", "greatest_rss_mib", "restart_s", "journal_mb")
    rows = [[f"{point['messages']:,}", *(short(point[name]) for name in names[1:])] for point in result["points"]]
    return machine_line(result) + "\n\n" + table(columns, rows)


def _holds(value: float, limit: float, at_least: bool) -> bool:
    return value >= limit if at_least else value <= limit


RENDERERS: Mapping[str, Callable[[Result], str]] = {
    "compare": compare,
    "nodes": curve,
    "sizes": curve,
    "sessions": curve,
    "long-log": long_log,
    "verify": facts,
    "up": facts,
    "failover": facts,
    "idle": facts,
}


def render(name: str, result: Mapping[str, Any]) -> str:
    """The tables of a result."""
    return RENDERERS[name](dict(result))
