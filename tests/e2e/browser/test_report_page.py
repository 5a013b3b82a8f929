"""The page of `votesync report` in a real browser: light and dark, wide and narrow, without errors and without the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser.chromium import Chromium
from tests.unit.run_maker import story
from votesync_cli.app import app

LIGHT, DARK = ("rgb(255, 255, 255)", "rgb(27, 31, 36)"), ("rgb(20, 23, 27)", "rgb(232, 236, 240)")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a story in whose file two blocks of round 3 have changed places."""
    run = story().keep(tmp_path_factory.mktemp("report") / "run")
    lines = (run / "output.txt").read_bytes().splitlines(keepends=True)
    lines[7:11] = [*lines[9:11], *lines[7:9]]
    (run / "output.txt").write_bytes(b"".join(lines))
    assert app(["report", "--run", str(run)], standalone_mode=False) == 0
    return run / "report.html"


@pytest.fixture
def shown(browser: Chromium, report: Path) -> Iterator[Chromium]:
    """The browser with the page; light and wide again afterwards."""
    browser.errors.clear()
    browser.requests.clear()
    browser.call("Page.navigate", url=report.as_uri())
    browser.until(f"document.readyState === 'complete' && location.href === {report.as_uri()!r}")
    yield browser
    prefer(browser, "")
    resize(browser, 1280)


def prefer(browser: Chromium, scheme: str) -> None:
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.settle()


def resize(browser: Chromium, width: int) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    browser.settle()


def style(browser: Chromium, selector: str, name: str) -> str:
    return str(browser.run(f"getComputedStyle(document.querySelector({selector!r})).getPropertyValue({name!r})"))


def visible(browser: Chromium, selector: str) -> int:
    return int(browser.run(f"[...document.querySelectorAll({selector!r})].filter((e) => e.getClientRects().length).length"))


def test_it_asks_nobody_and_complains_of_nothing(shown: Chromium, report: Path) -> None:
    assert shown.requests == [report.as_uri()]
    assert shown.errors == []
    assert shown.run("document.title") == "votesync report: run"
    assert shown.run("document.scripts.length") == 0


def test_its_own_style_applies_and_no_other_may(shown: Chromium) -> None:
    assert style(shown, ".verdict", "border-left-width") == "6px"
    foreign = "<style>body { color: red }</style><p style=\\'color: red\\'>x</p>"
    shown.run(f"document.body.insertAdjacentHTML('beforeend', '{foreign}')")
    assert style(shown, "body", "color") == LIGHT[1]
    assert style(shown, "p:last-child", "color") == LIGHT[1]


@pytest.mark.parametrize(("scheme", "colours"), [("light", LIGHT), ("dark", DARK)])
def test_page_plots_and_diagrams_follow_the_scheme(shown: Chromium, scheme: str, colours: tuple[str, str]) -> None:
    prefer(shown, scheme)
    assert (style(shown, "body", "background-color"), style(shown, "body", "color")) == colours
    assert style(shown, ".diagram .paper", "fill") == colours[0]
    line = style(shown, "#plot-rate path[stroke*='--ballot']", "stroke")
    assert line == {"light": "rgb(0, 114, 178)", "dark": "rgb(86, 180, 233)"}[scheme]
    legend = style(shown, "#plot-wait .wide svg g text", "fill")
    assert legend not in {colours[0], "rgb(0, 0, 0)"}


def test_the_violation_is_shown_in_the_verdict_in_its_lines_and_in_its_round(shown: Chromium) -> None:
    assert shown.run("document.querySelector('.verdict strong').textContent") == "FAIL"
    assert "order" in shown.run("document.querySelector('.rules .fail').textContent")
    assert "Mensagem: client" in shown.run("document.querySelector('.broken pre').textContent")
    assert "✗ verify: order is broken" in shown.run("document.querySelector('.reasons .violation').textContent")
    assert "✗ order" in shown.run("document.querySelector('article:has(.violation) svg').textContent")


def test_every_plot_is_drawn_once_on_each_width_and_nothing_is_wider_than_the_page(shown: Chromium) -> None:
    assert visible(shown, "figure .wide svg") == 7
    assert visible(shown, "figure .narrow svg") == 0
    for width in (1280, 700, 360):
        resize(shown, width)
        assert shown.run("document.documentElement.scrollWidth") <= width
    assert visible(shown, "figure .wide svg") == 0
    assert visible(shown, "figure .narrow svg") == 7
    assert shown.run("[...document.querySelectorAll('.narrow svg')].every((e) => e.getBoundingClientRect().height > 60)")


def test_labels_above_the_plots_do_not_run_into_one_another(shown: Chromium) -> None:
    script = """
      (() => { const bad = [];
        for (const svg of document.querySelectorAll('.wide svg')) {
          const boxes = [...svg.querySelectorAll('text')].map((e) => [e.textContent, e.getBoundingClientRect()]);
          for (const [i, [a, p]] of boxes.entries()) for (const [b, q] of boxes.slice(i + 1))
            if (p.left + 1 < q.right && q.left + 1 < p.right && p.top + 3 < q.bottom && q.top + 3 < p.bottom) bad.push([a, b]);
        }
        return bad; })()
    """
    assert shown.run(script) == []


def test_a_table_opens_beside_the_plots(shown: Chromium) -> None:
    shown.run("document.querySelector('summary').scrollIntoView()")
    assert visible(shown, "details[open] table") == 0
    shown.click("summary")
    assert visible(shown, "details[open] table") == 1
    assert "600.0" in shown.run("document.querySelector('details[open] table').textContent")
