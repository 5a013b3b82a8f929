"""Moving about in many lines on a screen of few: which line is on top after which key. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

KEYS = "arrows, space, b: move  g G: ends  n p: rounds  v: violations  q: quit"


@dataclass(frozen=True, slots=True)
class Scroll:
    """`height` lines of `count` are seen, from `top` on. `rounds` and `violations` are the lines where those begin."""

    count: int
    height: int
    rounds: Sequence[int] = ()
    violations: Sequence[int] = ()
    top: int = 0

    @property
    def bottom(self) -> int:
        """One past the last line that is seen."""
        return min(self.count, self.top + self.height)

    def press(self, key: str) -> Scroll:
        """What is seen after a key; keys without a meaning change nothing."""
        page = max(1, self.height - 2)
        match key:
            case "up" | "k":
                return self.to(self.top - 1)
            case "down" | "j" | "enter":
                return self.to(self.top + 1)
            case "pageup" | "b":
                return self.to(self.top - page)
            case "pagedown" | " ":
                return self.to(self.top + page)
            case "home" | "g":
                return self.to(0)
            case "end" | "G":
                return self.to(self.count)
            case "n":
                return self.to(_after(self.rounds, self.top, self.count))
            case "p":
                at = bisect_left(self.rounds, self.top)
                return self.to(self.rounds[at - 1] if at else 0)
            case "v" if self.violations:
                return self.to(_after(self.violations, self.top, self.violations[0]))
            case _:
                return self

    def to(self, top: int) -> Scroll:
        """With this line on top, or as near as there is."""
        top = max(0, min(top, self.count - self.height))
        return Scroll(self.count, self.height, self.rounds, self.violations, top)


def _after(places: Sequence[int], top: int, otherwise: int) -> int:
    at = bisect_right(places, top)
    return places[at] if at < len(places) else otherwise
