"""From matplotlib's SVG to the page's: colours by the page's names, ids that are unique in it, no inline style. Pure."""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple
from xml.etree import ElementTree

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"

# What matplotlib is given for each colour of the page (any will do that is used once), and the page's name for it.
COLOURS = {
    "ink": "#1b1f24", "soft": "#5d6670", "line": "#d4d9df", "paper": "#fefefe", "ballot": "#0072b2", "vote": "#00795a",
    "late": "#a86400", "refusal": "#b8430a", "grant": "#a3457f", "election": "#1a7fb5", "fault": "#d55e00", "hold": "#cc79a7",
    "down": "#8a929b",
}  # fmt: skip
NAMES = {colour: name for name, colour in COLOURS.items()}


class Plot(NamedTuple):
    """One plot, twice; `alt` is what it shows in words."""

    title: str
    alt: str
    wide: str
    narrow: str


def page_svg(data: bytes, prefix: str, title: str, alt: str) -> str:
    """Colours become the page's, ids unique in it, style attributes plain ones (so that no inline style is needed)."""
    for short, space in (("", "http://www.w3.org/2000/svg"), ("xlink", "http://www.w3.org/1999/xlink")):
        ElementTree.register_namespace(short, space)
    root = ElementTree.fromstring(data)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{SVG}metadata" or (child.tag == f"{SVG}style"):
                parent.remove(child)
    used = set(re.findall(rb'(?:href="#|url\(#)([^")]+)', data))
    for element in root.iter():
        _rename(element, prefix, used)
        _unstyle(element)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", f"{title}. {alt}")
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    head, _, rest = text.partition(">")
    return re.sub(r"\n\s*", "\n", f"{head}><title>{escape(title)}</title><desc>{escape(alt)}</desc>{rest}")


def _rename(element: ElementTree.Element, prefix: str, used: set[bytes]) -> None:
    own = element.attrib.get("id")
    if own is not None:
        if own.encode() in used:
            element.set("id", f"{prefix}-{own}")
        else:
            del element.attrib["id"]
    for name, value in element.attrib.items():
        if name == LINK:
            element.set(name, f"#{prefix}-{value[1:]}")
        elif "url(#" in value:
            element.set(name, value.replace("url(#", f"url(#{prefix}-"))


def _unstyle(element: ElementTree.Element) -> None:
    style = element.attrib.pop("style", "")
    for rule in filter(None, (part.strip() for part in style.split(";"))):
        name, _, value = rule.partition(":")
        if not name.startswith("font") or name.strip() == "font-size":
            element.set(name.strip(), value.strip())
    for name in ("fill", "stroke"):
        colour = element.attrib.get(name)
        if colour in NAMES:
            element.set(name, f"var(--{NAMES[colour]})")
        elif colour == "#ffffff":
            element.set(name, "var(--paper)")
    if element.tag == f"{SVG}text" and "fill" not in element.attrib:
        element.set("fill", "var(--ink)")
