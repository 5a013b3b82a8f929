"""The diagram as one SVG: a row a lane, time from left to right, idle time cut short and marked. Pure.

Colours follow the reader's light or dark scheme; every kind has its own shape or dash beside its colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from votesync_cli.timeline import Arrow, Mark, Timeline
from votesync_cli.timeline_axis import Axis

LEFT, TOP, LANE, FOOT = 96, 64, 72, 74
PER_ROUND = 130  # pixels; so that five votes can be told apart
LEAST, MOST = 900, 60_000

STYLE = """
text{font:12px system-ui,"Noto Sans",sans-serif;fill:#1b1f24}.soft{fill:#5d6670}.title{font-size:16px;font-weight:bold}
.paper{fill:#fff}.lane{stroke:#9aa5b1}.hold{fill:#cc79a7}.round{fill:#0072b2;opacity:.06}.break{stroke:#5d6670;stroke-width:1.5}
.ballot{stroke:#0072b2;fill:#0072b2}.vote{stroke:#00795a;fill:#00795a;stroke-dasharray:5 3}
.late{stroke:#a86400;fill:#a86400;stroke-dasharray:1.5 3}.refusal{stroke:#b8430a;fill:#b8430a;stroke-dasharray:2 2}
.grant{stroke:#a3457f;fill:#a3457f;stroke-width:2.2}.written{stroke:#5d6670;fill:#5d6670;stroke-dasharray:7 3}
.election{stroke:#1a7fb5;fill:#1a7fb5}.client{stroke:#6b5b00;fill:#6b5b00}.bad{stroke:#b8430a;fill:#b8430a}
.fault{fill:#d55e00;stroke:#d55e00;fill-opacity:.18}.down{fill:#8a929b;stroke:#8a929b;fill-opacity:.22;stroke-dasharray:2 4}
.shape{stroke-dasharray:none;stroke-width:1}text.bad,text.election{stroke:none}
@media(prefers-color-scheme:dark){text{fill:#e8ecf0}.soft{fill:#9aa5b1}.paper{fill:#14171b}
.ballot{stroke:#56b4e9;fill:#56b4e9}.vote{stroke:#2fc795;fill:#2fc795}.late{stroke:#e69f00;fill:#e69f00}
.refusal,.bad{stroke:#ff7a33;fill:#ff7a33}.grant{stroke:#e39ac3;fill:#e39ac3}.written{stroke:#9aa5b1;fill:#9aa5b1}
.election{stroke:#8fd0f5;fill:#8fd0f5}.client{stroke:#f0e442;fill:#f0e442}}
"""
_ARROWS = {
    "ballot": "ballot", "vote": "vote", "late": "late", "refusal": "refusal", "grant": "grant", "pass": "grant",
    "written": "written", "asks": "election", "elects": "election", "leads": "election", "send": "client", "ack": "client",
}  # fmt: skip
_LEGEND = (
    ("ballot", "ballot"), ("vote", "vote"), ("late", "late vote"), ("refusal", "vote no"), ("grant", "grant, passed on"),
    ("written", "report"), ("election", "election"),
)  # fmt: skip
# kind -> class and the points of its shape around 0,0; None: a circle
_SHAPES: dict[str, tuple[str, str | None]] = {
    "ballot": ("ballot", "-4,-4 4,-4 4,4 -4,4"), "decided": ("ballot", "0,-6 6,0 0,6 -6,0"), "vote": ("vote", None),
    "grant": ("grant", "-4,-5 5,0 -4,5"), "turn": ("grant", "-1,-7 1,-7 1,7 -1,7"),
    "written": ("written", "-1,-9 6,-9 6,-4 1,-4 1,9 -1,9"),
    "leader": ("election", "0,-9 3,-3 9,-3 4,1 6,8 0,4 -6,8 -4,1 -9,-3 -3,-3"),
    "timeout": ("bad", "-6,-5 -5,-6 0,-1 5,-6 6,-5 1,0 6,5 5,6 0,1 -5,6 -6,5 -1,0"), "election": ("election", None),
    "voted": ("election", None), "send": ("client", None), "ok": ("client", None),
}  # fmt: skip
_SHAPES |= dict.fromkeys(("step_down", "no_quorum", "fail", "refused", "peer_down"), _SHAPES["timeout"])
_OTHER = ("written", None)


def svg(picture: Timeline, title: str, *, styled: bool = True) -> Iterator[str]:
    """The file, piece by piece; not `styled`: for a page that has STYLE itself."""
    length = min(MOST, max(LEAST, PER_ROUND * len(picture.rounds)))
    times = [mark.t for mark in picture.marks] + [spell.start for spell in picture.rounds] + [bar.end for bar in picture.bars]
    drawing = _Drawing(picture, Axis(times, length - LEFT - 72))
    height = TOP + LANE * len(picture.lanes) + FOOT
    size = f'width="{length}" height="{height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {length} {height}" role="img">\n'
    yield f"<title>{escape(title)}</title>\n<desc>{escape(_described(picture))}</desc>\n"
    yield f"<style>{STYLE}</style>\n" if styled else ""
    yield f'<rect class="paper" {size}/>\n'
    yield f'<text class="title" x="16" y="26">{escape(title)}</text>\n'
    yield from _legend(height)
    yield from drawing.rounds()
    yield from drawing.lanes(length)
    yield from drawing.bands()
    yield from drawing.bars()
    for arrow in picture.arrows:
        yield drawing.arrow(arrow)
    for mark in picture.marks:
        yield drawing.mark(mark)
    yield from drawing.violations()
    yield "</svg>\n"


def _described(picture: Timeline) -> str:
    many = f"{len(picture.rounds)} rounds of {picture.nodes} nodes, {len(picture.marks)} events"
    return f"{many}, {len(picture.violations)} violations. " + " ".join(picture.notes)


def _legend(height: int) -> Iterator[str]:
    x = 16
    for kind, text in _LEGEND:
        yield f'<path class="{kind}" d="M{x} {height - 16}h24"/>'
        yield f'<text class="soft" x="{x + 29}" y="{height - 12}">{text}</text>\n'
        x += 44 + 7 * len(text)
    yield f'<rect class="hold" x="{x}" y="{height - 21}" width="24" height="10"/>'
    yield f'<text class="soft" x="{x + 29}" y="{height - 12}">holds the permission</text>\n'


class _Drawing:
    def __init__(self, picture: Timeline, axis: Axis) -> None:
        self._picture = picture
        self._axis = axis

    def _x(self, t: int) -> str:
        return f"{LEFT + self._axis.at(t):.1f}"

    @staticmethod
    def _y(lane: int) -> int:
        return TOP + LANE * lane + LANE // 2

    def lanes(self, length: int) -> Iterator[str]:
        """A line a lane with its name, and the places where idle time was cut."""
        lanes = self._picture.lanes
        for lane, name in enumerate(lanes):
            yield f'<path class="lane" d="M{LEFT} {self._y(lane)}H{length - 12}"/>'
            yield f'<text x="16" y="{self._y(lane) + 4}">{escape(name)}</text>\n'
        bottom = TOP + LANE * len(lanes)
        for place, us in self._axis.breaks:
            x = LEFT + place
            yield f'<path class="break" fill="none" d="M{x - 4:.1f} {TOP - 4}l8 -8M{x + 1:.1f} {TOP - 4}l8 -8"/>'
            yield f'<text class="soft" text-anchor="middle" x="{x:.1f}" y="{bottom + 32}">{us / 1000:.0f} ms idle</text>\n'

    def rounds(self) -> Iterator[str]:
        """A faint column a round, its number below and when it began above."""
        bottom = TOP + LANE * len(self._picture.lanes)
        for spell in self._picture.rounds:
            x, end = float(self._x(spell.start)), float(self._x(spell.end))
            yield f'<rect class="round" x="{x:.1f}" y="{TOP - 8}" width="{max(2.0, end - x):.1f}" height="{bottom - TOP + 8}"/>'
            yield f'<text class="soft" x="{x:.1f}" y="{TOP - 14}">+{spell.start / 1000:.1f} ms</text>'
            yield f'<text class="soft" x="{x:.1f}" y="{bottom + 14}">round {spell.round}</text>\n'

    def bands(self) -> Iterator[str]:
        """Faults, and nodes that were down."""
        for band in self._picture.bands:
            x, end, y = float(self._x(band.start)), float(self._x(band.end)), self._y(band.lane) - LANE * 0.36
            kind = "down" if band.kind == "down" else "fault"
            yield f'<g><title>{escape(band.text)}</title><rect class="{kind}" x="{x:.1f}" y="{y:.1f}" '
            yield f'width="{max(2.0, end - x):.1f}" height="{LANE * 0.72:.1f}"/>'
            yield f'<text x="{x + 4:.1f}" y="{y + 12:.1f}">{escape(band.kind)}</text></g>\n'

    def bars(self) -> Iterator[str]:
        """Who holds the permission."""
        for bar in self._picture.bars:
            x, end = float(self._x(bar.start)), float(self._x(bar.end))
            turns = f"turn {bar.turn}" if bar.turn == bar.upto else f"turns {bar.turn} to {bar.upto}"
            text = f"{self._picture.lanes[bar.lane]} holds the permission: {turns} of round {bar.round}"
            shade = "" if bar.sure else ' opacity=".5"'
            place = f'x="{x:.1f}" y="{self._y(bar.lane) - 7}" width="{max(1.5, end - x):.1f}" height="14"'
            yield f'<rect class="hold" {place}{shade}>'
            yield f"<title>{escape(text)}</title></rect>\n"

    def arrow(self, arrow: Arrow) -> str:
        """A line with its head."""
        x, y, a, b = float(self._x(arrow.t)), self._y(arrow.lane), float(self._x(arrow.arrives)), self._y(arrow.to)
        long = ((a - x) ** 2 + (b - y) ** 2) ** 0.5 or 1.0
        u, v = (a - x) / long, (b - y) / long
        head = f"M{a:.1f} {b}L{a - 7 * u - 3 * v:.1f} {b - 7 * v + 3 * u:.1f}L{a - 7 * u + 3 * v:.1f} {b - 7 * v - 3 * u:.1f}z"
        kind = _ARROWS[arrow.kind]
        line = f'<path class="{kind}" fill="none" d="M{x:.1f} {y}L{a:.1f} {b}"/>'
        return f'{line}<path class="{kind} shape" d="{head}"/>\n'

    def mark(self, mark: Mark) -> str:
        """A shape with what it means."""
        kind, points = _SHAPES.get(mark.kind, _OTHER)
        about = f", round {mark.round}" if mark.round is not None else ""
        title = f"<title>{escape(f'{self._picture.lanes[mark.lane]}{about}: {mark.text}')}</title>"
        place = f'class="{kind} shape" transform="translate({self._x(mark.t)} {self._y(mark.lane)})"'
        form, name = ('r="3.6"', "circle") if points is None else (f'points="{points}"', "polygon")
        shape = f"<{name} {place} {form}>{title}</{name}>"
        if mark.kind != "leader":
            return shape + "\n"
        x = float(self._x(mark.t)) + 12
        return f'{shape}<text class="election" x="{x:.1f}" y="{self._y(mark.lane) - 12}">leads term {mark.term}</text>\n'

    def violations(self) -> Iterator[str]:
        """A column in which a rule is broken."""
        bottom = TOP + LANE * len(self._picture.lanes)
        for number, violation in enumerate(self._picture.violations):
            x, end = float(self._x(violation.start)), float(self._x(violation.end))
            yield f'<g><title>{escape(violation.text)}</title><rect class="bad" fill-opacity=".15" x="{x:.1f}" y="{TOP - 8}" '
            yield f'width="{max(3.0, end - x):.1f}" height="{bottom - TOP + 8}"/>'
            yield f'<text class="bad" x="{x + 4:.1f}" y="{TOP + 6 + 14 * (number % 3)}">✗ {escape(violation.rule)}</text></g>\n'
