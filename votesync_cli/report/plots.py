"""The report's plots: matplotlib draws them as SVG, whose colours are then left to the page's style sheet.

Each is drawn for a wide and for a narrow page. Nothing depends on colour alone: lines have dashes and markers, areas
hatches, and both a legend.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from votesync_cli.report import words
from votesync_cli.report.happenings import STATES
from votesync_cli.report.model import RunReport
from votesync_cli.report.numbers import Spread
from votesync_cli.report.plots_svg import COLOURS, Plot, page_svg
from votesync_cli.views_text import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 860, 380  # pixels
POINT = 72.0  # pixels of an SVG to matplotlib's inch
MOST_LABELS = 24  # of faults and elections in one plot; more only have their shade or line
MOST_ROWS = 40


class Sheet(NamedTuple):
    """Where one plot is drawn: its only axes, and how many pixels it is wide."""

    figure: Figure
    axes: Axes
    width: int


class Wanted(NamedTuple):
    """A plot that there is something for; `height` in pixels."""

    name: str
    title: str
    alt: str
    height: float
    paint: Callable[[RunReport, Sheet], None]


def plots(model: RunReport) -> dict[str, Plot]:
    """All plots for which there is something to draw, by name.

    Raises: ImportError where matplotlib is not installed.
    """
    import matplotlib as mpl

    with mpl.rc_context(_settings()):
        return {wanted.name: _twice(model, wanted) for wanted in _wanted(model)}


def _settings() -> Any:
    plain = {
        "font.size": 11,
        "svg.fonttype": "none",
        "svg.hashsalt": "votesync",
        "legend.frameon": False,
        "hatch.linewidth": 0.8,
    }
    for name in ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"):
        plain[name] = COLOURS["ink" if name == "text.color" else "soft"]
    for name in ("axes.edgecolor", "xtick.color", "ytick.color", "grid.color"):
        plain[name] = COLOURS["line"]
    off = ("axes.spines.top", "axes.spines.right", "axes.spines.left")
    sizes = {"xtick.labelsize": 10.5, "ytick.labelsize": 10.5, "legend.fontsize": 10.5, "axes.labelsize": 10.5}
    return plain | dict.fromkeys(off, False) | sizes | {"ytick.major.size": 0, "ytick.minor.size": 0, "axes.axisbelow": True}


def _wanted(model: RunReport) -> Iterator[Wanted]:
    """In the order of the page."""
    curves, votes = model.curves, model.votes
    if curves.rate:
        yield Wanted("rate", "Messages a second", words.rate(model), 230, _rate)
    if any(curves.waits):
        yield Wanted("wait", "Wait of the clients", words.spreads(curves.waits, "wait of clients"), 250, _wait)
    if any(curves.took):
        yield Wanted("took", "Rounds, from ballot to written", words.spreads(curves.took, "duration of rounds"), 250, _took)
    many = len(votes.nodes)
    some = f" (nodes 0 to {votes.nodes[MOST_ROWS - 1].node})" if many > MOST_ROWS else ""
    if votes.nodes and (votes.reigns or model.stretches):
        alt = f"{words.elections(model)} {words.stretches(model)}"
        yield Wanted("lanes", f"Who led, and what was broken{some}", alt, _height(many), _lanes)
    if model.classes:
        yield Wanted("classes", "How long clients waited", words.classes(model), 240, _classes)
    if votes.nodes and votes.rounds:
        yield Wanted("votes", f"Votes of each node{some}", words.votes(model), _height(many), _votes)
    clients = sum(client.wait is not None for client in model.clients or ())
    if clients:
        those = f" (the {MOST_ROWS} that waited longest)" if clients > MOST_ROWS else ""
        yield Wanted("clients", f"Wait of each client{those}", words.clients(model), _height(clients), _clients)


def _height(rows: int) -> int:
    """Pixels of a plot with a row a node or client; many rows are narrower."""
    return 84 + (25 if rows <= 12 else 16) * min(rows, MOST_ROWS)


def _twice(model: RunReport, wanted: Wanted) -> Plot:
    from matplotlib.figure import Figure

    drawn, height = [], wanted.height
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    for width in (WIDE, NARROW):
        figure = Figure(figsize=(width / POINT, height / POINT))
        axes = figure.add_subplot()
        figure.subplots_adjust(left=64 / width, right=1 - 16 / width, top=1 - 46 / height, bottom=44 / height)
        wanted.paint(model, Sheet(figure, axes, width))
        out = io.BytesIO()
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
        drawn.append(page_svg(out.getvalue(), f"{wanted.name}-{width}", wanted.title, wanted.alt))
    return Plot(wanted.title, wanted.alt, *drawn)


# --- axes of time ---


def _time_axis(model: RunReport, sheet: Sheet) -> None:
    """Seconds from left to right, with what was broken shaded and elections marked."""
    cut, axes = model.curves.cut, sheet.axes
    end = cut.begin(cut.parts) / 1e6
    axes.set_xlim(cut.start / 1e6, end)
    axes.set_xlabel("seconds after the beginning", loc="left")
    axes.locator_params(axis="x", nbins=10 if sheet.width == WIDE else 5)
    axes.grid(axis="y", linewidth=0.8)
    labels: list[tuple[float, str, str]] = []
    for found in model.stretches:
        a, b = max(cut.start / 1e6, found.start / 1e6), min(end, max(found.end, found.start + cut.width // 5) / 1e6)
        colour = COLOURS["down" if found.kind in STATES else "fault"]
        if a < b:
            hatch = "--" if found.kind in STATES else "////"
            axes.axvspan(a, b, facecolor=colour, alpha=0.13, linewidth=0)
            axes.axvspan(a, b, facecolor="none", edgecolor=colour, alpha=0.4, hatch=hatch, linewidth=0)
            labels.append((a, found.text(len(model.votes.nodes)) if sheet.width == WIDE else found.kind, colour))
    for reign in model.votes.reigns:
        t = reign.start / 1e6
        if cut.start / 1e6 <= t <= end:
            axes.axvline(t, color=COLOURS["election"], linewidth=1.1, linestyle=(0, (2, 2)))
            axes.plot(
                [t],
                [1],
                marker="*",
                markersize=8,
                color=COLOURS["election"],
                transform=axes.get_xaxis_transform(),
                clip_on=False,
            )
            labels.append((t, f"term {reign.term}", COLOURS["election"]))
    _labels(sheet, sorted(labels), end)


def _labels(sheet: Sheet, labels: Sequence[tuple[float, str, str]], end: float) -> None:
    """Names above the plot in two rows; one that would run into another is left out (the table has it)."""
    start = sheet.axes.get_xlim()[0]
    per_second = (sheet.width - 80) / max(1e-9, end - start)
    taken = [-1e9, -1e9]
    for x, text, colour in labels[:MOST_LABELS]:
        left, wide = (x - start) * per_second, 6.0 * len(text) + 10
        left = min(left, sheet.width - 80 - wide + 10)
        row = next((row for row, used in enumerate(taken) if left > used), None)
        if row is not None and left >= 0:
            taken[row] = left + wide
            place = (left + 3, 7 + 13 * row)
            sheet.axes.annotate(
                text, (0, 1), xycoords="axes fraction", xytext=place, textcoords="offset points", color=colour, fontsize=10
            )


def _middles(model: RunReport) -> list[float]:
    cut = model.curves.cut
    return [(cut.begin(part) + cut.width / 2) / 1e6 for part in range(cut.parts)]


def _rate(model: RunReport, sheet: Sheet) -> None:
    cut, rate = model.curves.cut, model.curves.rate
    edges = [cut.begin(part) / 1e6 for part in range(cut.parts + 1)]
    sheet.axes.stairs(rate, edges, fill=True, color=COLOURS["ballot"], alpha=0.22)
    sheet.axes.stairs(rate, edges, color=COLOURS["ballot"], linewidth=1.6)
    sheet.axes.set_ylim(0, max(rate) * 1.08 or 1)
    sheet.axes.locator_params(axis="y", nbins=5)
    _numbers(sheet.axes.yaxis)
    _time_axis(model, sheet)


def _wait(model: RunReport, sheet: Sheet) -> None:
    _two_lines(model, sheet, model.curves.waits)


def _took(model: RunReport, sheet: Sheet) -> None:
    _two_lines(model, sheet, model.curves.took)


def _two_lines(model: RunReport, sheet: Sheet, found: Sequence[Spread | None]) -> None:
    """The half and 99 in 100; where nothing ended there is no line."""
    xs = _middles(model)
    for name, colour, style, mark in (("p50", "vote", "-", "o"), ("p99", "grant", (0, (4, 2)), "^")):
        ys = [getattr(one, name) / 1000 if one is not None else float("nan") for one in found]
        sheet.axes.plot(xs, ys, color=COLOURS[colour], linestyle=style, linewidth=1.6, marker=mark, markersize=3.2, label=name)
    sheet.axes.set_yscale("log")
    values = [max(1, getattr(one, name)) for one in found if one is not None for name in ("p50", "p99")]
    sheet.axes.set_ylim(min(values) / 1400, max(values) / 1000 * 1.4)
    _milliseconds(sheet.axes.yaxis, values)
    _time_axis(model, sheet)
    sheet.axes.legend(loc="upper right", ncols=2, bbox_to_anchor=(1.01, -0.1), handlelength=2.4, borderaxespad=0.4)


def _numbers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}"))


def _milliseconds(axis: Any, values: Sequence[int]) -> None:
    """Ticks at 1, 2 and 5 where the values span little, else at powers of ten; named as durations."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    span = max(values, default=1) / max(1, min(values, default=1))
    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if span < 60 else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.set_minor_formatter(NullFormatter())


def _short(ms: float) -> str:
    us = ms * 1000
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size * 0.999:
            return f"{us / size:g}{unit}"
    return f"{us:g}µs"


# --- lanes and bars ---


def _lanes(model: RunReport, sheet: Sheet) -> None:
    axes, cut = sheet.axes, model.curves.cut
    ids = [node.node for node in model.votes.nodes[:MOST_ROWS]]
    lane = {node: place for place, node in enumerate(ids)}
    first, last = cut.start / 1e6, cut.begin(cut.parts) / 1e6
    for reign in model.votes.reigns:
        if reign.node in lane:
            a, b = max(first, reign.start / 1e6), min(last, reign.end / 1e6)
            axes.broken_barh([(a, max(0.0, b - a))], (lane[reign.node] - 0.22, 0.44), facecolor=COLOURS["hold"], linewidth=0)
            axes.plot([a], [lane[reign.node]], marker="*", markersize=9, color=COLOURS["election"], clip_on=False, zorder=4)
    for found in model.stretches:
        kind = "down" if found.kind in STATES else "fault"
        for node in (node for node in found.nodes if node in lane):
            a, b = max(first, found.start / 1e6), min(last, max(found.end, found.start + cut.width // 5) / 1e6)
            place = (lane[node] - 0.4, 0.8)
            look: Any = {
                "facecolor": "none",
                "edgecolor": COLOURS[kind],
                "linewidth": 0.8,
                "hatch": "--" if kind == "down" else "////",
            }
            axes.broken_barh([(a, max(0.0, b - a))], place, **look)
    axes.set_ylim(len(ids) - 0.4, -0.6)
    axes.set_yticks(range(len(ids)), [f"node {node}" for node in ids])
    axes.set_xlim(first, last)
    axes.set_xlabel("seconds after the beginning", loc="left")
    axes.locator_params(axis="x", nbins=10 if sheet.width == WIDE else 5)
    axes.grid(axis="y", linewidth=0.8)
    _key(
        sheet,
        [("leads", "hold", ""), ("elected", "election", "*"), ("fault", "fault", "////"), ("down or paused", "down", "--")],
    )


def _key(sheet: Sheet, kinds: Sequence[tuple[str, str, str]]) -> None:
    """The legend above the plot: patches with their hatches, or markers."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for label, colour, look in kinds:
        if look == "*":
            handles.append(Line2D([], [], linestyle="", marker="*", markersize=9, color=COLOURS[colour], label=label))
        else:
            full = COLOURS[colour] if not look else "none"
            handles.append(Patch(facecolor=full, edgecolor=COLOURS[colour], hatch=look, linewidth=0.8, label=label))
    place = (-0.01 if sheet.width == WIDE else -0.16, 1.0)
    sheet.axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=place, ncols=len(handles), columnspacing=1.2, handletextpad=0.5,
        borderaxespad=0.3, handlelength=1.6,
    )  # fmt: skip


def _classes(model: RunReport, sheet: Sheet) -> None:
    axes, found = sheet.axes, model.classes
    edges = [max(1, found[0].least) / 1000, *(bucket.below / 1000 for bucket in found)]
    many = [bucket.many for bucket in found]
    axes.stairs(many, edges, fill=True, color=COLOURS["vote"], alpha=0.3)
    axes.stairs(many, edges, color=COLOURS["vote"], linewidth=1.4)
    axes.set_xscale("log")
    _milliseconds(axes.xaxis, [max(1, found[0].least), found[-1].below])
    axes.set_ylim(0, max(many) * 1.08)
    axes.locator_params(axis="y", nbins=5)
    _numbers(axes.yaxis)
    axes.grid(axis="y", linewidth=0.8)
    axes.set_xlabel("from the first sending to the acknowledgement")
    wait = model.wait
    for row, (name, style) in enumerate((("p50", "-"), ("p99", (0, (4, 2))))):
        us = getattr(wait, name) if wait is not None else 0
        axes.axvline(us / 1000, color=COLOURS["grant"], linewidth=1.4, linestyle=style)
        near = axes.get_xlim()
        right = us / 1000 > (near[0] * near[1]) ** 0.5
        axes.annotate(
            f"{name} {duration(us)}", (us / 1000, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 6 + 13 * row),
            textcoords="offset points", color=COLOURS["grant"], ha="right" if right else "left", fontsize=10.5,
        )  # fmt: skip


def _votes(model: RunReport, sheet: Sheet) -> None:
    axes = sheet.axes
    shown = model.votes.nodes[:MOST_ROWS]
    kinds = (("yes", "vote", ""), ("late", "late", "////"), ("no", "refusal", "xxx"), ("silent", "down", "--"))
    left = [0] * len(shown)
    for name, colour, hatch in kinds:
        many = [sum(node.no.values()) if name == "no" else getattr(node, name) for node in shown]
        look: Any = {"facecolor": COLOURS[colour] if not hatch else "none", "edgecolor": COLOURS[colour], "hatch": hatch}
        axes.barh(range(len(shown)), many, left=left, height=0.62, linewidth=0.8, **look)
        left = [a + b for a, b in zip(left, many, strict=True)]
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(range(len(shown)), [f"node {node.node}" for node in shown])
    axes.set_xlabel("ballots")
    axes.locator_params(axis="x", nbins=6)
    _numbers(axes.xaxis)
    axes.grid(axis="x", linewidth=0.8)
    _key(sheet, kinds)


def _clients(model: RunReport, sheet: Sheet) -> None:
    axes = sheet.axes
    found = [client for client in model.clients or () if client.wait is not None]
    shown = (
        sorted(found, key=lambda client: -(client.wait.p99 if client.wait else 0))[:MOST_ROWS]
        if len(found) > MOST_ROWS
        else found
    )
    rows = range(len(shown))
    spreads = [client.wait for client in shown if client.wait is not None]
    axes.hlines(
        rows, [one.p50 / 1000 for one in spreads], [one.most / 1000 for one in spreads], color=COLOURS["down"], linewidth=1.4
    )
    for name, label, colour, mark in (
        ("p50", "p50", "vote", "o"),
        ("p99", "p99", "grant", "^"),
        ("most", "greatest", "refusal", "|"),
    ):
        xs = [getattr(one, name) / 1000 for one in spreads]
        axes.plot(
            xs,
            rows,
            linestyle="",
            marker=mark,
            markersize=7,
            markeredgewidth=1.6 if mark == "|" else 0,
            color=COLOURS[colour],
            label=label,
        )
    axes.set_xscale("log")
    _milliseconds(axes.xaxis, [value for one in spreads for value in (one.p50, one.most)])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(rows, [_name(client.session) for client in shown])
    axes.grid(axis="x", linewidth=0.8)
    axes.set_xlabel("from the first sending to the acknowledgement")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=3, columnspacing=1.2, handletextpad=0.2, borderaxespad=0.3)


def _name(session: str) -> str:
    text = f"client {session}" if session.isdecimal() else session
    return (text if len(text) <= 10 else f"…{text[-7:]}").replace("$", r"\$")
