"""Results -> SVG. The only importer of matplotlib, which the extra `bench` brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.store import Result
from benchmarks.tables import MODES
from benchmarks.targets import WRITERS, Medians

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# told apart by the colour-blind (Okabe and Ito), and by their marks
LOOKS = {"turns": ("#0072B2", "o"), "winner": ("#D55E00", "s"), "other": ("#009E73", "^")}


def draw(name: str, result: Result, file: Path) -> bool:
    """Draw a result; False where there is nothing to draw of it.

    Raises: ImportError where matplotlib is not installed.
    """
    painter = PAINTERS.get(name)
    if painter is None:
        return False
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "votesync", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    painter(result, axes[0], axes[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None, "Creator": "votesync benchmarks"})
    pyplot.close(figure)
    return True


def _curve(result: Result, left: Axes, right: Axes) -> None:
    """Rates on the left, median latencies on the right; a line for each writer and mode."""
    for writer in WRITERS:
        points = [point for point in result["points"] if point["writer"] == writer]
        for mode, head, style in zip(("closed", "pipelined"), result["heads"], ("-", "--"), strict=True):
            color, mark = LOOKS[writer]
            medians = [Medians([{"it": one} for one in point["repetitions"]]) for point in points]
            for axes, figure, scale in ((left, "rate", 1.0), (right, "p50_us", 1e-3)):
                found = [one.of("it", mode, figure) for one in medians]
                seen = [(point["at"], one) for point, one in zip(points, found, strict=True) if one is not None]
                xs, ys = [at for at, _ in seen], [one.median * scale for _, one in seen]
                errors = [
                    [(one.median - one.least) * scale for _, one in seen],
                    [(one.most - one.median) * scale for _, one in seen],
                ]
                axes.errorbar(xs, ys, errors, color=color, marker=mark, linestyle=style, capsize=2, label=f"{writer}, {head}")
    for axes, label in ((left, "messages a second"), (right, "p50, ms")):
        axes.set(xscale="log", yscale="log", xlabel=result["grows"], ylabel=label)
        ticks = sorted({point["at"] for point in result["points"]})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
    left.legend(fontsize=7)


def _long_log(result: Result, left: Axes, right: Axes) -> None:
    """Memory on the left, the time of a restart on the right."""
    at = [point["messages"] / 1e6 for point in result["points"]]
    for name, look in (("leader_rss_mib", "turns"), ("greatest_rss_mib", "winner")):
        color, mark = LOOKS[look]
        label = "leader" if name.startswith("leader") else "greatest node"
        left.plot(at, [point[name] for point in result["points"]], color=color, marker=mark, label=label)
    left.set(xlabel="million messages", ylabel="RSS, MiB", ylim=(0, None))
    left.legend(fontsize=7)
    color, mark = LOOKS["other"]
    right.plot(at, [point["restart_s"] for point in result["points"]], color=color, marker=mark)
    right.set(xlabel="million messages", ylabel="restart of a node, s", ylim=(0, None))


def _compare(result: Result, left: Axes, right: Axes) -> None:
    """Rates of all systems: closed loop on the left, pipelined on the right."""
    medians = Medians(result["repetitions"])
    for axes, mode in ((left, "closed"), (right, "pipelined")):
        rows = [(name, medians.of(name, mode)) for name in result["systems"]]
        shown = [(name, found.median) for name, found in rows if found is not None][::-1]
        colors = [LOOKS[name.partition("-")[2]][0] if name.startswith("votesync") else "#999999" for name, _ in shown]
        bars = axes.barh([name for name, _ in shown], [rate for _, rate in shown], color=colors)
        axes.bar_label(bars, [f"{rate:,.0f}" for _, rate in shown], padding=3, fontsize=7)
        axes.set(xscale="log", xlabel=f"messages a second, {MODES[mode]} in flight", xlim=(10, None))
        axes.margins(x=0.3)


PAINTERS: Mapping[str, Callable[[Result, Any, Any], None]] = {
    "compare": _compare,
    "nodes": _curve,
    "sizes": _curve,
    "sessions": _curve,
    "long-log": _long_log,
}
