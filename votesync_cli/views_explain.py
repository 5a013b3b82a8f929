"""How an explanation reads: why, then each step with its time, then where the time went. Pure; knows no terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from votesync_cli.explain import Explanation, Step
from votesync_cli.explain_waits import Wait
from votesync_cli.views_text import UNICODE, Line, Symbols, duration
from votesync_cli.views_text import spoken as in_words

_STYLES = {
    "sent": "event", "proposed": "head", "vote": "yes", "decided": "good", "granted": "event", "wrote": "leader",
    "written": "good", "acked": "good", "replaced": "late", "stalled": "bad", "happening": "bad",
}  # fmt: skip
_WORDS = {"happening": "meanwhile", "acked": "answered"}
_NARROW = 40
_BAR = 24


def page(answer: Explanation, width: int | None, symbols: Symbols = UNICODE) -> Iterator[Line]:
    """All of it; sentences are wrapped to the width (None: each on one line)."""
    for sentence in answer.why:
        yield from ([(text, "")] for text in _wrap(sentence, width, 0))
    if answer.place is not None and answer.place.block is not None:
        yield []
        yield [(f"  {answer.place.block.line:>8} | Container {answer.place.block.node} ", "dim")]
        body = f"Mensagem: {answer.place.block.body}"
        for number, text in enumerate(_wrap(body, None if width is None else width - 13, 0)):
            yield [(f"  {answer.place.block.line + 1 if number == 0 else '':>8} | {text}", "dim")]
    if answer.steps:
        yield []
        for step in answer.steps:
            yield from _step(answer, step, width, symbols)
    if len(answer.waits) > 1:
        yield []
        for wait in answer.waits:
            yield from _wait(answer, wait, width, symbols)
    for sentence in answer.missing:
        yield []
        yield from ([(text, "note")] for text in _wrap(sentence, width, 0))


def spoken(answer: Explanation) -> Iterator[str]:
    """The same in words, one fact a line."""
    yield from map(in_words, answer.why)
    if answer.place is not None and answer.place.block is not None:
        block = answer.place.block
        yield f"line {block.line}: Container {block.node}"
        yield f"line {block.line + 1}: Mensagem: {block.body}"
    for step in answer.steps:
        about = "" if step.sure else "about "
        when = in_words(f"after {about}{duration(step.t - answer.zero)}")
        yield f"{when}, {_WORDS.get(step.kind, step.kind)}: {in_words(step.text)}"
    if len(answer.waits) > 1:
        for wait in answer.waits:
            most = ", longest of all," if wait == answer.longest else ""
            yield in_words(f"waited {duration(wait.us)}{most} {wait.text}")
    yield from map(in_words, answer.missing)


def _step(answer: Explanation, step: Step, width: int | None, symbols: Symbols) -> Iterator[Line]:
    about = "" if step.sure else symbols.late
    when = f"{about}+{duration(step.t - answer.zero, symbols)}"
    said = step.text.replace("µ", symbols.micro)
    first, *rest = _wrap(said, width, 23)
    yield [(f"{when:>10}  ", "dim"), (f"{_WORDS.get(step.kind, step.kind):<9}  ", _STYLES[step.kind]), (first, "")]
    for text in rest:
        yield [(" " * 23 + text, "")]


def _wait(answer: Explanation, wait: Wait, width: int | None, symbols: Symbols) -> Iterator[Line]:
    longest = answer.longest
    most = longest.us if longest and longest.us else 1
    room = _BAR if width is None or width >= 100 else 12 if width >= 70 else 6
    bar = (symbols.bars[-1] * round(wait.us / most * room)).ljust(room)
    style = "bad" if wait == longest else "dim"
    first, *rest = _wrap(wait.text, width, 14 + room)
    yield [(f"{duration(wait.us, symbols):>10}  ", style), (bar, style), ("  ", ""), (first, "head" if wait == longest else "")]
    for text in rest:
        yield [(" " * (14 + room) + text, "")]


def _wrap(text: str, width: int | None, indent: int) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, max(_NARROW, width - indent), break_long_words=width - indent >= _NARROW) or [""]
