"""The report in a real browser: it needs no network, draws every plot, is read on a phone and in the dark, and runs no text of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page

from autollm.report.state import read_state
from autollm.report.write import write_report
from support.hostile import HOSTILE, hostile
from support.sample_run import scored_trials, write_sample_run

PLOTS = ["convergence", "weights", "by", "parallel", "curves"]
DESKTOP, PHONE = 1200, 390


@dataclass
class Opened:
    """A page that was opened, with all that the browser asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def evaluate(self, script: str) -> Any:
        """Return what a script comes to in the page."""
        return self.page.evaluate(script)

    def run(self, name: str) -> Any:
        """Return what the script of a file beside this one comes to in the page."""
        return self.evaluate(Path(__file__).with_name(name).read_text())


Scheme = Literal["light", "dark"]
Open = Callable[..., Opened]


def open_report(browser: Browser, report: Path, width: int = DESKTOP, scheme: Scheme = "light", plots: int = len(PLOTS)) -> Opened:
    """Open a report and wait until so many plots are drawn."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(300_000)
    one = Opened(context.new_page())
    one.page.on("request", lambda request: one.requests.append(request.url))
    one.page.on("console", lambda message: one.complaints.append(message.text) if message.type == "error" else None)
    one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
    one.page.goto(report.as_uri())
    if plots:
        one.page.wait_for_function("count => document.documentElement.dataset.drawn === String(count)", arg=plots)
    return one


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """`open_report`, whose pages are closed after the test."""
    pages: list[Opened] = []

    def opening(report: Path, **asked: Any) -> Opened:
        pages.append(open_report(browser, report, **asked))
        return pages[-1]

    yield opening
    for one in pages:
        one.page.context.close()


def report_of(folder: Path) -> Path:
    page, _ = write_report(read_state(folder), folder)
    return page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(write_sample_run(tmp_path_factory.mktemp("finished")))


@pytest.fixture(scope="module", params=["light", "dark"])
def desktop(browser: Browser, report: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The report as it is on a wide screen, once light and once dark; only to be looked at."""
    one = open_report(browser, report, scheme=request.param)
    yield one
    one.page.context.close()


def test_all_plots_are_drawn_without_network_or_complaint(desktop: Opened, report: Path) -> None:
    assert [url for url in desktop.requests if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert desktop.complaints == []
    assert desktop.run("drawn.js") == {"convergence": 3, "weights": 5, "by": 4, "parallel": 5, "curves": 8}
    assert any(desktop.run("painted.js")), "WebGL drew no lines of the parallel coordinates"


def test_text_stands_out_from_its_background(desktop: Opened) -> None:
    contrasts = desktop.run("contrast.js")
    assert len(contrasts) > 15
    assert {name: round(ratio, 2) for name, ratio in contrasts.items() if ratio < 4.5} == {}, "WCAG 2.2 asks for 4.5 to 1"


def test_labels_do_not_lie_over_one_another(desktop: Opened) -> None:
    assert desktop.run("overlaps.js") == []


def test_a_change_between_light_and_dark_recolours_the_plots(opened: Open, report: Path) -> None:
    one = opened(report)
    script = "() => getComputedStyle(document.querySelector('#plot-convergence .xtick text')).fill"
    before = one.evaluate(script)
    one.page.emulate_media(color_scheme="dark")
    one.page.wait_for_function(f"before => ({script})() !== before", arg=before)
    assert one.complaints == []


def test_a_phone_scrolls_the_page_only_downwards(opened: Open, report: Path) -> None:
    one = opened(report, width=PHONE)
    assert one.evaluate("() => document.documentElement.scrollWidth") <= PHONE
    assert one.run("overlaps.js") == []
    beyond = one.run("beyond.js")
    assert beyond == []
    assert one.complaints == []


def test_a_name_in_a_legend_hides_its_points(opened: Open, report: Path) -> None:
    one = opened(report)
    one.page.locator("#plot-by .legendtoggle").first.click()
    one.page.wait_for_function("() => document.querySelectorAll('#plot-by .scatterlayer .trace').length === 3")


def test_hostile_text_is_shown_and_not_run(opened: Open, tmp_path: Path) -> None:
    report = report_of(write_sample_run(tmp_path, rewrite=hostile))
    one = opened(report)
    assert one.evaluate("() => window.hacked") is None
    assert one.complaints == []
    assert [url for url in one.requests if not url.startswith(("data:", "blob:"))] == [report.as_uri()]
    assert one.evaluate("() => document.querySelectorAll('img, iframe, marquee').length") == 0
    assert HOSTILE in one.page.locator("#samples pre").first.inner_text()


def test_even_a_script_that_got_into_the_page_would_not_run(opened: Open, report: Path, tmp_path: Path) -> None:
    attacked = tmp_path / "attacked.html"
    attack = "<script>window.hacked=1</script><img src='http://127.0.0.1:9/x.png' onerror='window.hacked=1'>"
    attacked.write_text(report.read_text().replace("</main>", f"{attack}</main>"))
    one = opened(attacked)
    assert one.evaluate("() => window.hacked") is None
    assert len([text for text in one.complaints if "Content Security Policy" in text]) >= 2


def test_a_search_under_way(opened: Open, tmp_path: Path) -> None:
    report = report_of(write_sample_run(tmp_path, until=scored_trials(5)))
    one = opened(report, plots=4)
    assert one.run("drawn.js") == {"convergence": 2, "weights": 5, "parallel": 5, "curves": 8}
    assert one.complaints == []


def test_a_run_that_has_not_begun(opened: Open, tmp_path: Path) -> None:
    report = report_of(write_sample_run(tmp_path, until=lambda world: True))
    one = opened(report, plots=0)
    assert "The run has not begun." in one.page.locator(".headline").inner_text()
    assert one.complaints == []
    assert one.requests == [report.as_uri()]
