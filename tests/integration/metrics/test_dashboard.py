"""The dashboard: every query of every panel gives data of a run's whole life, and the page without Grafana draws them all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from charts.dashboard.generate import grafana_dashboard
from charts.dashboard.panels import SECTIONS, Panel, Query
from docs.monitoring_page import Asked, ask, render

PANELS = [panel for section in SECTIONS for panel in section.panels]
DASHBOARD: dict[str, Any] = json.loads((Path(__file__).parents[3] / "charts" / "autollm" / "files" / "dashboard.json").read_text())
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=[f"{title}-{target['refId']}" for title, target in TARGETS])
def test_no_panel_is_empty(past: Asked, title: str, target: dict[str, Any]) -> None:
    lines = ask(past, Query(target["expr"], target["legendFormat"]))
    assert lines, f"{title} shows nothing for {past.expression(Query(target['expr'], ''))}"
    assert all(line.name.strip() and "{{" not in line.name for line in lines)
    assert any(math.isfinite(value) for line in lines for value in line.values), f"{title} has only NaN"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_line_of_a_panel_has_a_name_of_its_own(past: Asked, panel: Panel) -> None:
    if panel.kind == "table":
        return
    names = [line.name for query in panel.queries for line in ask(past, query)]
    assert sorted(set(names)) == sorted(names)


def test_a_selection_leaves_the_other_runs_out(past: Asked) -> None:
    best = PANELS[0].queries[0]
    assert [line.labels["run"] for line in ask(replace(past, run="support-bot"), best)] == ["support-bot"]
    assert ask(replace(past, run="another"), best) == []


def test_the_dashboard_is_what_the_panels_say() -> None:
    assert json.loads(grafana_dashboard()) == DASHBOARD
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"datasource", "namespace", "run"}


def test_panels_do_not_lie_over_one_another() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.fixture
def complaints(browser: Browser, past: Asked, tmp_path: Path) -> Iterator[list[str]]:
    """What the browser complained of, or asked of the network, while it drew the page; all panels are drawn."""
    page_file = tmp_path / "monitoring.html"
    page_file.write_text(render(past))
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(300_000)
    page = context.new_page()
    found: list[str] = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else found.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_function("count => document.documentElement.dataset.drawn === String(count)", arg=len(PANELS))
    drawn = page.evaluate(
        "() => [...document.querySelectorAll('figure > div')].filter(plot => plot.querySelector('path, rect, text')).length"
    )
    assert drawn == len(PANELS)
    yield found
    context.close()


def test_the_page_is_drawn_without_network_or_complaint(complaints: list[str]) -> None:
    assert complaints == []
