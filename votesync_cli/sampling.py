"""Showing some of the rounds when there are too many to read, without the cost of decoding the others. Pure.

Which rounds are shown depends on their numbers alone (every k-th), so that all lines about a round are kept or left
out together, whatever node they come from; a change of k holds from the next round on that nobody has spoken of yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ABOVE = 200.0  # rounds a second that are all shown
SHOWN = 40.0  # rounds a second that are shown of more
PERIOD = 1.0  # seconds between two looks at the rate
STEPS = (1, 2, 5)

_ABOUT_ROUND = re.compile(r'"event": ?"(?:ballot|vote|decided|grant|turn|written)"')
_ROUND = re.compile(r'"round": ?(\d{1,18})\b')
_FIRST = re.compile(r'"first": ?(\d{1,18})\b')


@dataclass(slots=True)
class Sampler:
    """Looks at log lines before they are decoded. Rounds up to `floor` are left out altogether."""

    floor: int = 0
    every: int = 1
    rate: float = 0.0
    highest: int = 0
    _since: int = 0
    _before: int = 1
    _looked: float | None = None
    _at: int = 0

    def wants(self, line: str) -> bool:
        """Whether the line has something to say about what is shown: all but lines about rounds left out."""
        if _ABOUT_ROUND.search(line) is None:
            return True
        match = _ROUND.search(line)
        if match is None:
            return True
        last = int(match[1])
        self.highest = max(self.highest, last)
        if last <= self.floor:
            return False
        if self.every == 1 and last > self._since:
            return True
        named = _FIRST.search(line)
        return any(self._shows(index) for index in self._multiples(int(named[1]) if named else last, last))

    def look(self, now: float) -> bool:
        """Measure the rate, at most once a period (seconds); says whether another share of the rounds is shown from now on."""
        if self._looked is None or self.highest < self._at:
            self._looked, self._at = now, self.highest
            return False
        passed = now - self._looked
        if passed < PERIOD:
            return False
        self.rate = (self.highest - self._at) / passed
        self._looked, self._at = now, self.highest
        wanted = share(self.rate) if self.rate > (ABOVE if self.every == 1 else ABOVE / 2) else 1
        a_step_down = 1 < wanted < self.every <= 2.5 * wanted
        if wanted == self.every or a_step_down:
            return False
        self._before, self.every, self._since = self.every, wanted, self.highest
        return True

    def _shows(self, index: int) -> bool:
        return index % (self.every if index > self._since else self._before) == 0

    def _multiples(self, first: int, last: int) -> tuple[int, ...]:
        """The few rounds of a range that could be shown: the last multiple of each share."""
        within = (last - last % self.every, min(last, self._since) - min(last, self._since) % self._before)
        return tuple(index for index in within if first <= index <= last)


def share(rate: float) -> int:
    """Of how many rounds one is shown at this rate (rounds a second): 1, 2, 5, 10, 20, 50 …"""
    scale = 1
    while True:
        for step in STEPS:
            if rate / (step * scale) <= SHOWN:
                return step * scale
        scale *= 10
