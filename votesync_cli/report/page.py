"""The report as one HTML page that loads nothing and runs nothing: values put into the template, everything escaped. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from votesync_cli.report import tables
from votesync_cli.report.model import RunReport
from votesync_cli.report.moments import DRAWN, Moment
from votesync_cli.report.plots_svg import Plot
from votesync_cli.timeline_svg import STYLE
from votesync_cli.views_text import duration

SECTIONS = (
    ("rules", "Rules"), ("numbers", "Numbers"), ("speed", "Throughput and latency"), ("votes", "Votes"),
    ("events", "Elections and faults"), ("fair", "Fairness"), ("moments", "Moments"),
)  # fmt: skip
_TONES = {"PASS": ("pass", "✓"), "FAIL": ("fail", "✗")}


def html(model: RunReport, template: str, style: str, plots: Mapping[str, Plot]) -> str:
    """The page. `template` is Jinja's, `style` the style sheet; without `plots` their tables stand alone."""
    import jinja2  # here, for `--help` must be quick
    from markupsafe import Markup

    whole = f"{style}\n{scoped(STYLE, '.diagram')}"
    digest = base64.b64encode(hashlib.sha256(whole.encode()).digest()).decode()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    drawn = {name: plot._replace(wide=Markup(plot.wide), narrow=Markup(plot.narrow)) for name, plot in plots.items()}

    def svg(moment: Moment) -> Markup:
        return Markup(moment.svg)

    return environment.from_string(template).render(
        **values(model),
        plots=drawn,
        svg=svg,
        style=Markup(whole),
        digest=f"sha256-{digest}",
    )


def values(model: RunReport) -> dict[str, Any]:
    """What the template shows."""
    word, sentence = tables.headline(model)
    tone, sign = _TONES.get(word, ("open", "–"))
    undrawn = replace(model, moments=[moment for moment in model.moments if not moment.svg])
    return {
        "model": model, "word": word, "sentence": sentence, "tone": tone, "sign": sign, "sections": SECTIONS,
        "about": _about(model), "rules": tables.rules(model), "shown": tables.counterexample, "facts": tables.facts(model),
        "width": duration(model.curves.cut.width), "over_time": tables.over_time(model), "classes": tables.classes(model),
        "nodes": tables.nodes(model), "reigns": tables.reigns(model), "events": tables.events(model),
        "order_sentences": tables.order_sentences(model), "fairness": tables.fairness(model),
        "definition": tables.definition(model), "moments_about": _moments_about(model), "undrawn": tables.moments(undrawn),
        "at": tables.at,
    }  # fmt: skip


def scoped(style: str, scope: str) -> str:
    """The rules of a style sheet, for what stands inside `scope` alone."""

    def inside(match: re.Match[str]) -> str:
        if match[0].startswith("@"):
            return match[0]
        return ",".join(f"{scope} {selector.strip()}" for selector in match[1].split(",")) + "{"

    return re.sub(r"@media[^{]*\{|([^{}@]+)\{", inside, style)


def _about(model: RunReport) -> str:
    shown = {fact.name: fact for fact in tables.facts(model)}
    parts = [shown[name].value for name in ("began",) if name in shown]
    parts += [f"{shown[name].value} {name}" for name in ("nodes", "clients", "messages", "rounds") if name in shown]
    return " · ".join([*parts, *([f"busy for {shown['busy for'].value}"] if "busy for" in shown else [])])


def _moments_about(model: RunReport) -> str:
    many, drawn = len(model.moments), sum(bool(moment.svg) for moment in model.moments)
    some = f"{drawn} of {many} are drawn (at most {DRAWN}, the most telling ones)" if drawn < many else "All are drawn"
    return (
        "Around each broken rule, election, round that was proposed and replaced, stalled turn, vote of no, and the slowest "
        f"rounds. {some}. A lane is a node, time goes from left to right; idle time is cut short where it says so."
    )
