"""How single things read: durations, times, counts, and each happening as a sentence. Pure; knows no terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, NamedTuple

from votesync_cli.fault_results import told
from votesync_cli.votes_model import Happening, VoteKind

Span = tuple[str, str]  # text, style
Line = list[Span]

SHARED = frozenset({"start", "stop", "peer_down", "peer_up", "voted", "follow"})  # told once for all nodes that say the same
ALIKE = ("peer", "leader", "candidate", "reason", "last", "recovering", "fault", "detail")
UNIX_MICROS = 10**14  # a greater time of a message is a date


@dataclass(frozen=True, slots=True)
class Symbols:
    """The marks of the table: they tell without colour what colour tells."""

    yes: str = "✓"
    late: str = "~"
    no: str = "✗"
    silent: str = "·"
    arrow: str = "→"
    rule: str = "──"
    more: str = "…"
    micro: str = "µ"
    note: str = "└"
    up: str = "●"
    down: str = "○"
    bars: str = "▁▂▃▄▅▆▇█"

    def vote(self, kind: VoteKind) -> str:
        """The mark of a vote."""
        return {"yes": self.yes, "late": self.late, "no": self.no, "silent": self.silent}[kind]

    @property
    def legend(self) -> str:
        """What the marks mean."""
        return f"{self.yes} yes  {self.late} late  {self.no} no  {self.silent} silent  2(0) turn of 2 written by 0"


UNICODE = Symbols()
ASCII = Symbols("+", "~", "x", ".", ">", "--", "...", "u", "\\", "*", "o", "_.-=+*#@")


def symbols_for(encoding: str | None) -> Symbols:
    """The marks that an output of this encoding can show."""
    try:
        "".join((UNICODE.yes, UNICODE.no, UNICODE.arrow, UNICODE.rule, UNICODE.bars, UNICODE.note)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def duration(us: int | None, symbols: Symbols = UNICODE) -> str:
    """Microseconds in three digits: `310µs`, `1.25ms`, `12.3ms`, `250ms`, `1.25s`."""
    if us is None:
        return "-"
    if us < 1000:
        return f"{us}{symbols.micro}s"
    value, unit = (us / 1000, "ms") if us < 999_500 else (us / 1_000_000, "s")
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{unit}"


def clock(ts: float, zone: tzinfo | None = None) -> str:
    """The time of day of Unix seconds, with milliseconds; local where no zone is given."""
    return datetime.fromtimestamp(ts, zone).strftime("%H:%M:%S.%f")[:-3]


def message_time(time: int, zone: tzinfo | None = None) -> str:
    """A message's time: the time of day where it is a date in microseconds, else the number as it is."""
    return clock(time / 1e6, zone) if UNIX_MICROS < time < 40 * UNIX_MICROS else str(time)


def count(number: int | None) -> str:
    """A number with its thousands apart; `-` for none."""
    return "-" if number is None else f"{number:,}"


def listed(nodes: Iterable[int]) -> str:
    """`0, 1 and 2`."""
    names = [str(node) for node in nodes]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def sparkline(values: Sequence[float], symbols: Symbols = UNICODE) -> str:
    """One bar a value, the greatest as high as a line allows."""
    top = max(values, default=0.0)
    steps = len(symbols.bars) - 1
    return "".join(symbols.bars[round(value / top * steps) if top > 0 else 0] for value in values)


def fold_line(line: Line, width: int | None, indent: int) -> list[Line]:
    """A line with its styles on as many lines as it needs, broken at blanks; what goes on is indented."""
    if width is None or sum(len(text) for text, _ in line) <= width:
        return [line]
    left = [(sign, style) for text, style in line for sign in text]
    lines: list[Line] = []
    lead = 0
    while len(left) > width - lead:
        most = max(1, width - lead)
        cut = next((place for place in range(most, most // 2, -1) if left[place][0] == " "), most)
        lines.append([(" " * lead, ""), *left[:cut]])
        while cut < len(left) and left[cut][0] == " ":
            cut += 1
        left, lead = left[cut:], indent
    return [*lines, [(" " * lead, ""), *left]] if left else lines


# --- in words alone, as `--plain` says it ---

_UNITS = {
    "µs": "microsecond", "us": "microsecond", "ms": "millisecond", "s": "second", "min": "minute",
    "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte",
}  # fmt: skip
_AMOUNT = re.compile(r"(?<![\w.,+:-])(\d[\d,]*(?:\.\d+)?) ?(µs|us|ms|s|min|[kMG]B)(?!\w|:\d)")
_READ = (
    (re.compile(r" ?± ?"), " plus or minus "),
    (re.compile(r" ?(?:→|->) ?"), " then "),
    (re.compile(r" ?(?:↔|<->) ?"), " and back "),
    (re.compile(r" ?…"), " and more"),
    (re.compile(r" #(\d)"), r" number \1"),
    (re.compile(r"\b(rounds|messages|megabytes?)/s\b"), r"\1 a second"),
    (re.compile(r" {2,}"), ", "),
)


def spoken(text: str) -> str:
    """A sentence as it can be read out: units in full, no signs. Not for what is quoted."""
    text = _AMOUNT.sub(_amount, text)
    for sign, words in _READ:
        text = sign.sub(words, text)
    return text


def _amount(match: re.Match[str]) -> str:
    return f"{match[1]} {_UNITS[match[2]]}{'' if match[1] == '1' else 's'}"


# --- happenings ---


class Folded(NamedTuple):
    """A happening that several nodes logged alike, or one node several times."""

    happening: Happening
    nodes: tuple[int, ...]
    times: int

    @property
    def who(self) -> str:
        """`node 1`, or `nodes 0, 1 and 3`."""
        return f"node{'s' if len(self.nodes) > 1 else ''} {listed(self.nodes)}"

    def verb(self, one: str, many: str) -> str:
        """The form that agrees with `who`."""
        return many if len(self.nodes) > 1 else one


def likeness(item: Happening) -> tuple[Any, ...]:
    """What two happenings have in common that read alike, but for the node."""
    told = (str(item.detail.get(name)) for name in ALIKE)
    place = (item.detail.get("round"), item.detail.get("turn"), bool(item.detail.get("pre")))
    return (item.event, item.term, *place, *told)


def fold(items: Iterable[Happening]) -> list[Folded]:
    """Happenings between two rounds, those that are alike as one: the last of them, at the place of the first."""
    alike: dict[tuple[Any, ...], list[Happening]] = {}
    for item in items:
        alike.setdefault((*likeness(item), -1 if item.event in SHARED else item.node), []).append(item)
    return [
        Folded(same[-1 if same[0].event == "refused" else 0], tuple(sorted({s.node for s in same})), max(_times(same).values()))
        for same in alike.values()
    ]


def _times(items: Sequence[Happening]) -> dict[int, int]:
    times: dict[int, int] = {}
    for item in items:
        times[item.node] = times.get(item.node, 0) + 1
    return times


def sentence(folded: Folded, symbols: Symbols = UNICODE) -> str:
    """What happened, in words."""
    text = _SENTENCES[folded.happening.event](folded, dict(folded.happening.detail), symbols)
    return f"{text} ({folded.times} times)" if folded.times > 1 else text


def mood(item: Happening) -> str:
    """The style of a happening: `good`, `bad` or `event`."""
    if item.event in ("leader", "peer_up", "restored", "heal"):
        return "good"
    if item.event in ("peer_down", "step_down", "timeout", "no_quorum", "refused", "fault", "stop"):
        return "bad"
    return "event"


Teller = Callable[[Folded, dict[str, Any], Symbols], str]


def _because(detail: dict[str, Any]) -> str:
    return f": {detail['reason']}" if detail.get("reason") else ""


def _started(folded: Folded, detail: dict[str, Any], _: Symbols) -> str:
    last = detail.get("last") or 0
    journal = f"its journal damaged after round {count(last)}" if detail.get("recovering") else f"rounds up to {count(last)}"
    return f"{folded.who} started with {journal if last or detail.get('recovering') else 'an empty journal'}"


def _elected(folded: Folded, detail: dict[str, Any], symbols: Symbols) -> str:
    votes = detail.get("votes")
    of = f" with the votes of {listed(votes)}" if isinstance(votes, list) and votes else ""
    after = f" after {duration(detail['took_us'], symbols)}" if isinstance(detail.get("took_us"), int) else ""
    return f"{folded.who} leads term {folded.happening.term}{of}{after}"


def _stalled(folded: Folded, detail: dict[str, Any], symbols: Symbols) -> str:
    waited = duration(detail["waited_us"], symbols) if isinstance(detail.get("waited_us"), int) else "too long"
    turn = f"turn {detail.get('turn')} of round {detail.get('round')}"
    return f"{turn} stalled: nothing from node {detail.get('writer')} for {waited}"


def _repaired(folded: Folded, detail: dict[str, Any], _: Symbols) -> str:
    changed, end = detail.get("changed"), count(detail.get("end"))
    if changed:
        return f"{folded.who} repaired {count(changed)} bytes of the file, which is right up to byte {end}"
    return f"{folded.who} found the file right up to byte {end}"


def _election(folded: Folded, detail: dict[str, Any], _: Symbols) -> str:
    does = folded.verb("asks whether it", "ask whether they") + " could win" if detail.get("pre") else "stands for election"
    return f"{folded.who} {does}"


_SENTENCES: dict[str, Teller] = {
    "start": _started,
    "stop": lambda f, d, _: f"{f.who} {f.verb('stops', 'stop')}{_because(d)}",
    "peer_up": lambda f, d, _: f"{f.who} {f.verb('is', 'are')} in touch with node {d.get('peer')}",
    "peer_down": lambda f, d, _: f"{f.who} lost node {d.get('peer')}{_because(d)}",
    "election": _election,
    "voted": lambda f, d, _: f"{f.who} {f.verb('votes', 'vote')} for node {d.get('candidate')}",
    "leader": _elected,
    "follow": lambda f, d, _: f"{f.who} {f.verb('follows', 'follow')} node {d.get('leader')}",
    "step_down": lambda f, d, _: f"{f.who} steps down{_because(d)}",
    "timeout": _stalled,
    "repair": _repaired,
    "restored": lambda f, d, _: f"{f.who} has its journal back, up to round {d.get('last')}",
    "no_quorum": lambda f, d, _: f"{f.who} has no majority and sent {count(d.get('waiting'))} messages back",
    "refused": lambda f, d, _: f"{f.who} turned away input on its {d.get('port')} port{_because(d)} ({d.get('count')} so far)",
    "fault": lambda f, d, _: f"{f.who}: fault {_detail(d)}",
    "heal": lambda f, d, _: f"{f.who}: fault {d.get('fault') or ''} healed",
}


def _detail(event: dict[str, Any]) -> str:
    """The rule in words; a kind that nobody knows as it was logged."""
    rule, kind = event.get("detail"), event.get("fault")
    if isinstance(rule, dict):
        return told(rule) if rule.get("kind") == kind else " ".join([str(kind), *(f"{n}={v}" for n, v in rule.items())])
    return f"{kind} {rule}" if rule else str(kind)
