"""The words and tables of a report, which the page and the Markdown share. Pure.

Every number says its unit; every table of something that may be long is cut, and says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from votesync_cli.recorded import session_key
from votesync_cli.report.clients import shares
from votesync_cli.report.happenings import STATES
from votesync_cli.report.model import RunReport
from votesync_cli.report.numbers import Spread
from votesync_cli.results import Table
from votesync_cli.verify.verdict import Status, Verdict, plural
from votesync_cli.views_text import duration

EVENTS, CLIENTS, REIGNS, MOMENTS = 200, 40, 60, 60  # rows of these tables, at most


class Fact(NamedTuple):
    """One number of the run: its name, what it is, and what it is measured by."""

    name: str
    value: str
    note: str = ""


class Cut(NamedTuple):
    """A table, and what was left out of it ("" for nothing)."""

    table: Table
    left_out: str = ""


# --- the verdict ---


def headline(model: RunReport) -> tuple[str, str]:
    """PASS, FAIL or NOT CHECKED, and the sentence."""
    if model.verdict is None:
        return "NOT CHECKED", model.missing.get("file", "Nothing was checked.")
    word = {0: "PASS", 1: "FAIL"}.get(model.verdict.exit_code, "NOT CHECKED")
    return word, model.verdict.sentence


def reason(verdict: Verdict) -> str:
    """Why a rule has its verdict."""
    many = plural(verdict.violations, "violation") if verdict.violations else ""
    return "; ".join(filter(None, [many, verdict.detail, f"needs {verdict.needs}" if verdict.needs else ""]))


def rules(model: RunReport) -> Table:
    """A row a rule."""
    marks = {Status.PASS: "✓", Status.FAIL: "✗", Status.NOT_CHECKED: "–"}
    verdicts = model.verdict.verdicts if model.verdict is not None else ()
    rows = ((verdict.rule, f"{marks[verdict.status]} {verdict.status}", reason(verdict)) for verdict in verdicts)
    return Table(("rule", "verdict", "why"), tuple(rows))


def counterexample(verdict: Verdict) -> str:
    """The lines that show what is broken, as they stand in their files; "" where there are none."""
    shown = verdict.counterexample
    lines: list[str] = []
    for place in shown.places if shown is not None else ():
        for number, line in enumerate(place.text.split("\n"), place.line):
            lines.append(f"{place.source + ' ' if place.source else ''}{number or '':>8} | {line}")
    lines += [f"vote log | {json.dumps(dict(vote), ensure_ascii=False)}" for vote in (shown.votes if shown is not None else ())]
    return "\n".join(line[:600] for line in lines[:40])


# --- the run in numbers ---


def facts(model: RunReport) -> list[Fact]:
    """The run in numbers; what is not known is not among them."""
    return [fact for fact in (*_size(model), *_speed(model), *_trouble(model)) if fact.value]


def _size(model: RunReport) -> Iterator[Fact]:
    votes, verdict = model.votes, model.verdict
    if model.began is not None:
        yield Fact("began", f"{datetime.fromtimestamp(model.began, UTC):%Y-%m-%d %H:%M:%S} UTC", "where the time axes begin")
    busy = model.busy[1] - model.busy[0]
    yield Fact("busy for", duration(busy) if busy else "", "from the first message sent to the last answered")
    policy = {"turns": "each writes its own messages", "winner": "the winner of a round writes all of it"}.get(model.policy, "")
    yield Fact("nodes", str(len(votes.nodes) or ""), policy)
    yield Fact("clients", str(len(model.clients)) if model.clients is not None else "", "sessions with a history")
    yield Fact("messages", f"{model.messages:,}", "in the file" if verdict is not None else "written")
    if model.clients is not None:
        sent, acked = sum(row.sent for row in model.clients), sum(row.acked for row in model.clients)
        failed, left = sum(row.failed for row in model.clients), sum(row.open for row in model.clients)
        rest = [f"{many:,} {word}" for many, word in ((failed, "refused"), (left, "without an answer")) if many]
        yield Fact("sent", f"{sent:,}", "; ".join([f"{acked:,} acknowledged", *rest]))
    states = [f"{votes.states[state]:,} {state}" for state in ("written", "decided", "open", "replaced") if votes.states[state]]
    done = sum(votes.states[state] for state in ("written", "decided")) or (verdict.rounds if verdict is not None else 0)
    yield Fact("rounds", f"{done:,}", "; ".join(states) or "in the file")
    if (many := model.per_round) is not None:
        yield Fact("messages a round", f"{many.p50:,}", f"in the median; p99 {many.p99:,}, at most {many.most:,}")
    yield Fact("file", f"{verdict.size:,} bytes" if verdict is not None else "")


def _speed(model: RunReport) -> Iterator[Fact]:
    yield Fact("throughput", f"{model.rate:,.1f} messages/s" if model.rate else "", "over the busy time")
    if model.curves.rate:
        width = duration(model.curves.cut.width)
        yield Fact("peak", f"{max(model.curves.rate):,.1f} messages/s", f"within {width}; {model.curves.rate_of}")
    yield from _latency("wait of clients", model.wait, "from the first sending to the acknowledgement")
    yield from _latency("vote", model.quorum, "from the ballot to a majority")
    yield from _latency("round", model.took, "from the ballot until all of it is written")


def _trouble(model: RunReport) -> Iterator[Fact]:
    votes = model.votes
    if not votes.nodes:
        return
    yield Fact("elections", f"{votes.elections:,}", f"the last term is {votes.terms}")
    without = f"of {duration(votes.span)}; a leader that is cut off counts until the next one"
    yield Fact("without a leader", duration(votes.leaderless), without)
    yield Fact("stalled turns", f"{votes.stalls:,}", "permissions taken back and granted anew")
    yield Fact("ballots refused", f"{sum(sum(node.no.values()) for node in votes.nodes):,}", "votes of no")
    faults = [found for found in model.stretches if found.kind not in STATES]
    kinds = [f"{sum(found.kind == kind for found in faults)} {kind}" for kind in dict.fromkeys(found.kind for found in faults)]
    yield Fact("faults", f"{len(faults):,}", ", ".join(kinds))
    for state, note in (("down", "a node that said nothing until its next start, or the end"), ("paused", "a node, by hand")):
        many = sum(found.kind == state for found in model.stretches)
        yield Fact(f"times {state}", f"{many:,}" if many or state == "down" else "", note)


def _latency(name: str, found: Spread | None, what: str) -> Iterator[Fact]:
    if found is not None:
        tail = f"p99 {duration(found.p99)}, at most {duration(found.most)}"
        yield Fact(name, duration(found.p50), f"in the median; {tail}: {what}")


# --- over time ---


def over_time(model: RunReport) -> Table:
    """A row a part of the time axis in which anything was written or acknowledged."""
    curves = model.curves
    rows = []
    for part, rate in enumerate(curves.rate):
        wait, took = (row[part] if row else None for row in (curves.waits, curves.took))
        if rate or wait or took:
            rows.append((at(curves.cut.begin(part), curves.cut.width), f"{rate:,.1f}", *_two(wait), *_two(took)))
    columns = ("from", "messages/s", "wait p50", "wait p99", "round p50", "round p99")
    return Table(columns, tuple(rows), frozenset(columns))


def _two(found: Spread | None) -> tuple[str, str]:
    return (duration(found.p50), duration(found.p99)) if found is not None else ("", "")


def at(us: int, step: int = 1000) -> str:
    """A time on the axis, in seconds, as exact as steps of `step` microseconds ask for."""
    places = 0 if step >= 1_000_000 else 1 if step >= 100_000 else 2 if step >= 10_000 else 3
    return f"{us / 1e6:+,.{places}f} s".replace("+-", "-")


def classes(model: RunReport) -> Table:
    """The histogram of waits; `up to` sums the parts."""
    whole, upto, rows = sum(bucket.many for bucket in model.classes), 0, []
    for bucket in model.classes:
        upto += bucket.many
        name = f"{duration(bucket.least)} – {duration(bucket.below)}"
        rows.append((name, f"{bucket.many:,}", f"{bucket.many / whole:.1%}", f"{upto / whole:.1%}"))
    return Table(
        ("wait", "messages", "share", "up to here"), tuple(rows), frozenset(("wait", "messages", "share", "up to here"))
    )


# --- nodes, leaders, events ---


def nodes(model: RunReport) -> Table:
    """A row a node."""
    span = max(1, model.votes.span)
    turns = max(1, sum(node.turns for node in model.votes.nodes))
    columns = (
        "node",
        "yes",
        "late",
        "no",
        "silent",
        "turns",
        "of all turns",
        "held",
        "led",
        "of the time",
        "terms led",
        "starts",
    )
    rows = (
        (
            str(node.node), f"{node.yes:,}", f"{node.late:,}", _refusals(node.no), f"{node.silent:,}", f"{node.turns:,}",
            f"{node.turns / turns:.1%}", duration(node.held), duration(node.led), f"{node.led / span:.0%}",
            f"{node.terms:,}", f"{node.starts:,}",
        )
        for node in model.votes.nodes
    )  # fmt: skip
    return Table(columns, tuple(rows), frozenset(columns))


def _refusals(no: dict[str, int]) -> str:
    return ", ".join(f"{many:,} {why}" for why, many in sorted(no.items())) or "0"


def reigns(model: RunReport) -> Cut:
    """A row a leader's time."""
    rows = [
        (at(reign.start), f"{reign.term}", f"node {reign.node}", duration(reign.end - reign.start), reign.why)
        for reign in model.votes.reigns
    ]
    return _cut(("elected", "term", "leader", "for", "then"), rows, REIGNS, frozenset(("elected", "term", "for")))


def events(model: RunReport) -> Cut:
    """What happened between the rounds, in the order of time."""
    rows = [(at(event.t), event.kind.replace("_", " "), event.text) for event in model.events]
    return _cut(("at", "what", "who and why"), rows, EVENTS, frozenset(("at",)))


def moments(model: RunReport) -> Cut:
    """The moments of the run, drawn or not."""
    rows = [
        (at(moment.start), moment.name, "; ".join(reason.text for reason in moment.reasons), moment.undrawn or "drawn")
        for moment in model.moments
    ]
    return _cut(("at", "rounds", "why", "picture"), rows, MOMENTS, frozenset(("at",)))


def _cut(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], most: int, right: frozenset[str]) -> Cut:
    """The first and the last rows, where there are too many: how it began and how it ended."""
    if len(rows) <= most:
        return Cut(Table(columns, tuple(rows), right))
    half = most // 2
    kept = (*rows[:half], *rows[-half:])
    return Cut(
        Table(columns, kept, right), f"{len(rows) - 2 * half:,} rows between the first {half} and the last {half} are left out."
    )


# --- fairness ---


def fairness(model: RunReport) -> Cut:
    """A row a client; of many, those that waited longest."""
    order = model.order.clients if model.order is not None else {}
    columns = (
        "client", "sent", "in the file", "of all", "wait p50", "p99", "most", "sent again", "overtaken", "share",
        "by p50", "by most",
    )  # fmt: skip
    rows: list[tuple[int, tuple[str, ...]]] = []
    if model.clients is not None:
        for client, part in shares(model.clients, {name: found.messages for name, found in order.items()}):
            wait = client.wait
            waits = tuple(map(duration, wait[1:])) if wait is not None else ("", "", "")
            share = f"{part:.1%}" if part is not None else ""
            head = (client.session, f"{client.sent:,}", *_in_file(model, client.session), share, *waits, f"{client.resent:,}")
            rows.append((wait.p99 if wait is not None else -1, (*head, *_overtaken(model, client.session))))
    else:
        whole = sum(found.messages for found in order.values())
        for name, found in sorted(order.items(), key=lambda item: session_key(item[0])):
            head = (name, "", f"{found.messages:,}", f"{found.messages / whole:.1%}", "", "", "", "")
            rows.append((found.messages, (*head, *_overtaken(model, name))))
    kept = rows if len(rows) <= CLIENTS else sorted(rows, key=lambda row: -row[0])[:CLIENTS]
    left = f"{len(rows) - CLIENTS:,} clients that waited less are left out." if len(rows) > CLIENTS else ""
    return Cut(_filled(Table(columns, tuple(row for _, row in kept), frozenset(columns[1:]))), left)


def _in_file(model: RunReport, session: str) -> tuple[str]:
    found = model.order.clients.get(session) if model.order is not None else None
    return (f"{found.messages:,}" if found is not None else "0" if model.order is not None else "",)


def _overtaken(model: RunReport, session: str) -> tuple[str, str, str, str]:
    found = model.order.clients.get(session) if model.order is not None else None
    if found is None:
        return "", "", "", ""
    by = (duration(found.by.p50), duration(found.by.most)) if found.by is not None else ("", "")
    return f"{found.overtaken:,}", f"{found.overtaken / max(1, found.messages):.1%}", *by


def _filled(table: Table) -> Table:
    """Without the columns in which nothing stands."""
    kept = [place for place, _ in enumerate(table.columns) if any(row[place] for row in table.rows)]
    rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return Table(tuple(table.columns[place] for place in kept), rows, table.right)


def order_sentences(model: RunReport) -> list[str]:
    """How fair the order was, in words that say exactly what is counted."""
    out = []
    order = model.order
    if order is not None and order.messages:
        share = f"{order.overtaken:,} of {plural(order.messages, 'message')} ({order.overtaken / order.messages:.1%})"
        by = ""
        if order.by is not None:
            half, most = duration(order.by.p50), duration(order.by.most)
            by = f": half of them by at most {half}, 99 in 100 by at most {duration(order.by.p99)}, the worst by {most}"
        out.append(f"{share} were overtaken, in {plural(order.pairs, 'pair')}{by}.")
        if order.unplaced:
            out.append(f"{plural(order.unplaced, 'block')} of the file are not in the histories, and not counted here.")
    if model.evenness is not None and model.clients is not None and len(model.clients) > 1:
        least = 1 / len(model.clients)
        out.append(
            f"Jain's index of the clients' mean waits is {model.evenness:.3f}: 1 where all wait alike, {least:.3f} where one "
            f"of the {len(model.clients):,} waits for all."
        )
    return out


def definition(model: RunReport) -> str:
    """What overtaking means here."""
    clocks = {
        "the histories": "when its client first sent it: the line invoke of its history, microseconds of the monotonic clock",
        "the file": "the time that its client gave it, in microseconds: there are no histories, and nobody checks that clock",
    }
    return (
        "A message is overtaken where a message of another client that was sent later stands before it in the file; it is "
        "overtaken by as much time as the latest such message was sent later. A pair is a message and one that overtook it. "
        f"Sent is {clocks.get(model.order_by, '')}. Some overtaking is in the nature of rounds: what reaches the leader a "
        "little later goes into the next one."
    )
