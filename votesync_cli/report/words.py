"""What each plot shows, in words, for whoever does not see it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from votesync_cli.report.model import RunReport
from votesync_cli.report.numbers import Spread
from votesync_cli.report.tables import at
from votesync_cli.views_text import duration


def rate(model: RunReport) -> str:
    peak = max(model.curves.rate)
    where = model.curves.rate.index(peak)
    mean = f"{model.rate:,.0f} a second on average, " if model.rate else ""
    top = f"{mean}at most {peak:,.0f} at {at(model.curves.cut.begin(where))}; {model.curves.rate_of}."
    return f"{top} {elections(model)} {stretches(model)}"


def spreads(found: Sequence[Spread | None], what: str) -> str:
    known = [one for one in found if one is not None]
    low, high = min(one.p50 for one in known), max(one.p99 for one in known)
    return f"The {what} over time: the least median is {duration(low)}, the greatest 99th percentile {duration(high)}."


def classes(model: RunReport) -> str:
    most = max(model.classes, key=lambda bucket: bucket.many)
    wait = model.wait
    tail = f" Half wait at most {duration(wait.p50)}, 99 in 100 at most {duration(wait.p99)}." if wait is not None else ""
    return f"Most messages wait {duration(most.least)} to {duration(most.below)}.{tail}"


def votes(model: RunReport) -> str:
    rows = [
        f"node {n.node}: {n.yes} yes, {n.late} late, {sum(n.no.values())} no, {n.silent} silent" for n in model.votes.nodes[:12]
    ]
    return "; ".join(rows) + "."


def clients(model: RunReport) -> str:
    known: Mapping[str, Spread] = {client.session: client.wait for client in model.clients or () if client.wait is not None}
    best, worst = min(known, key=lambda name: known[name].p99), max(known, key=lambda name: known[name].p99)
    low, high = duration(known[best].p99), duration(known[worst].p99)
    return f"99 in 100 messages wait at most {low} (client {best}) to {high} (client {worst})."


def stretches(model: RunReport) -> str:
    """Faults in a sentence, for whoever cannot see them shaded."""
    if not model.stretches:
        return "No faults and no node was down."
    shown = [
        f"{found.text(len(model.votes.nodes))} from {at(found.start)} to {at(found.end)}" for found in model.stretches[:12]
    ]
    more = f", and {len(model.stretches) - 12} more" if len(model.stretches) > 12 else ""
    return "Broken meanwhile: " + "; ".join(shown) + more + "."


def elections(model: RunReport) -> str:
    """Elections in a sentence."""
    found = model.votes.reigns
    shown = [f"node {reign.node} for term {reign.term} at {at(reign.start)}" for reign in found[:12]]
    more = f", and {len(found) - 12} more" if len(found) > 12 else ""
    return f"Elected: {'; '.join(shown)}{more}." if shown else "Nobody was elected."
