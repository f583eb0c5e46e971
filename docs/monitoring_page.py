"""Draw the dashboard's panels without Grafana, from the same queries: `python docs/monitoring_page.py SERVER monitoring.html`.

The page is one file that needs no network. `docs/screenshot.py` takes its picture.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from charts.dashboard.panels import SECTIONS, Kind, Panel, Query

COLOURS = ("#2f7ed8", "#d9822b", "#3a9d5d", "#b04a9c", "#1f9aa8", "#c0392b", "#7a6ad8", "#8d6e4b")
POINTS = 300
AXES = {"seconds": "seconds", "hours": "GPU hours", "per second": "per second"}


@dataclass(frozen=True)
class Asked:
    """Where and about what is asked: the server's address, a span of time in seconds of the epoch, and the dashboard's variables."""

    server: str
    begin: float
    end: float
    namespace: str = ".*"
    run: str = ".*"

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(1.0, (self.end - self.begin) / POINTS)

    def expression(self, query: Query) -> str:
        """Return a query with the dashboard's variables put in."""
        variables = {"$namespace": self.namespace, "$run": self.run, "$__rate_interval": f"{math.ceil(max(60.0, 4 * self.step))}s"}
        return re.sub(r"\$\w+", lambda found: variables[found.group()], query.expression)


@dataclass(frozen=True)
class Line:
    """One series: what it is called, its labels, and its points."""

    name: str
    labels: Mapping[str, str]
    times: Sequence[float]
    values: Sequence[float]


def ask(asked: Asked, query: Query) -> list[Line]:
    """Return the series of a query over the span; raises RuntimeError with Prometheus' own words where it refuses the query."""
    span = {"query": asked.expression(query), "start": asked.begin, "end": asked.end, "step": asked.step}
    try:
        with urlopen(f"{asked.server.rstrip('/')}/api/v1/query_range?{urlencode(span)}", timeout=30) as answer:  # noqa: S310 - the user's
            found = json.load(answer)["data"]["result"]
    except HTTPError as error:
        raise RuntimeError(f"{asked.server} refuses {span['query']}: {error.read().decode()}") from error
    return [
        Line(
            _named(query.legend, series["metric"]),
            series["metric"],
            [float(moment) for moment, _ in series["values"]],
            [float(value) for _, value in series["values"]],
        )
        for series in found
    ]


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda label: labels.get(label.group(1), ""), legend)


Found = Sequence[Sequence[Line]]
"""What each of a panel's queries gave."""


def draw(panel: Panel, found: Found) -> go.Figure:
    """Return the plot of a panel."""
    figure = go.Figure(layout={"template": "plotly_white", "colorway": COLOURS, "height": 300, "font": {"size": 12}})
    figure.update_layout(
        margin={"l": 56, "r": 12, "t": 8, "b": 36}, legend={"orientation": "h", "y": -0.16, "font": {"size": 11}}, showlegend=True
    )
    from_zero = panel.unit in ("count", "seconds", "hours", "per second")
    figure.update_yaxes(title=AXES.get(panel.unit, ""), rangemode="tozero" if from_zero else "normal")
    _DRAWN[panel.kind](figure, panel, found)
    return figure


def _lines(figure: go.Figure, panel: Panel, found: Found, **style: Any) -> None:
    for line in (line for lines in found for line in lines):
        times = [datetime.fromtimestamp(moment, UTC) for moment in line.times]
        figure.add_scatter(x=times, y=line.values, name=escape(line.name), mode="lines", line={"width": 2, "shape": "hv"}, **style)


def _stacked(figure: go.Figure, panel: Panel, found: Found) -> None:
    _lines(figure, panel, found, stackgroup="all")


def _by_trial(figure: go.Figure, panel: Panel, found: Found) -> None:
    counted = {moment: value for line in found[0] for moment, value in zip(line.times, line.values, strict=True)}
    figure.update_xaxes(title="trials that have ended", tickformat="d")
    for lines, mode in zip(found[1:], ("lines", "markers"), strict=False):
        for line in lines:
            points = [(counted[moment], value) for moment, value in zip(line.times, line.values, strict=True) if moment in counted]
            x, y = [count for count, _ in points], [value for _, value in points]
            figure.add_scatter(x=x, y=y, name=escape(line.name), mode=mode, line={"shape": "hv", "width": 2.5}, marker={"size": 6})


def _bars(figure: go.Figure, panel: Panel, found: Found) -> None:
    latest = sorted((line.values[-1], escape(line.name)) for lines in found for line in lines)
    figure.add_bar(x=[value for value, _ in latest], y=[name for _, name in latest], orientation="h")
    figure.update_yaxes(automargin=True, type="category")
    figure.update_layout(showlegend=False)


def _table(figure: go.Figure, panel: Panel, found: Found) -> None:
    rows: dict[str, dict[str, float]] = {}
    for query, lines in zip(panel.queries, found, strict=True):
        for line in lines:
            rows.setdefault(f"{line.labels.get('run', '')} {line.labels.get('row', '')}", {})[query.legend] = line.values[-1]
    columns = [query.legend for query in panel.queries]
    ranked = sorted(rows.items(), key=lambda pair: -pair[1].get(columns[0], 0.0))
    cells = [[f"{values[column]:.4f}" if column in values else "" for _, values in ranked] for column in columns]
    style = {"align": "left", "height": 24}
    figure.add_table(
        header={"values": ["row", *columns], **style},
        cells={"values": [[escape(name) for name, _ in ranked], *cells], **style},
        columnwidth=[2.5, *(1 for _ in columns)],
    )


_DRAWN: Mapping[Kind, Callable[[go.Figure, Panel, Found], None]] = {
    "lines": _lines, "stacked": _stacked, "by trial": _by_trial, "bars": _bars, "table": _table,
}  # fmt: skip

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>AutoLLM: {title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; img-src data:">
<style>
body {{ font: 15px system-ui, sans-serif; margin: 20px; background: #f3f5f8; color: #1b2430 }}
h1 {{ font-size: 22px; margin: 0 0 4px }} h2 {{ font-size: 17px; margin: 22px 0 8px }} p {{ margin: 0; color: #566270; font-size: 13px }}
.grid {{ display: grid; grid-template-columns: repeat(24, 1fr); gap: 12px }}
figure {{ margin: 0; padding: 10px 12px; background: #fff; border-radius: 6px; min-width: 0 }}
figcaption {{ font-weight: 600; font-size: 14px }}
@media (max-width: 900px) {{ figure {{ grid-column: 1 / -1 !important }} }}
</style>
<h1>AutoLLM: {title}</h1><p>{span}</p>
{sections}
<script nonce="{nonce}">{plotly}</script>
<script nonce="{nonce}">
const plots = [...document.querySelectorAll("script[type='application/json']")];
Promise.all(plots.map(one => {{
  const {{data, layout}} = JSON.parse(one.textContent);
  return Plotly.newPlot(one.previousElementSibling, data, layout, {{responsive: true, displayModeBar: false}});
}})).then(() => {{ document.documentElement.dataset.drawn = plots.length; }});
</script></html>
"""


def render(asked: Asked) -> str:
    """Ask for every panel and return the page; raises RuntimeError where the server refuses a query."""
    sections = "".join(
        f'<h2>{escape(section.title)}</h2><div class="grid">{"".join(_drawn(asked, panel) for panel in section.panels)}</div>'
        for section in SECTIONS
    )
    begin, end = (datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M") for moment in (asked.begin, asked.end))
    title = "all runs" if (asked.namespace, asked.run) == (".*", ".*") else f"{asked.namespace}/{asked.run}"
    return PAGE.format(
        title=escape(title), span=f"{begin} to {end} UTC", sections=sections, plotly=get_plotlyjs(), nonce=secrets.token_urlsafe(16)
    )


def _drawn(asked: Asked, panel: Panel) -> str:
    figure = draw(panel, [ask(asked, query) for query in panel.queries])
    document = str(figure.to_json()).replace("<", "\\u003c")  # nothing in it can end the script element
    return (
        f'<figure style="grid-column: span {panel.width}"><figcaption>{escape(panel.title)}</figcaption><p>{escape(panel.description)}</p>'
        f'<div></div><script type="application/json">{document}</script></figure>'
    )


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="the address of a Prometheus")
    parser.add_argument("page", type=Path)
    parser.add_argument("--hours", type=float, default=6.0, help="how far to look back")
    parser.add_argument("--until", type=float, default=None, help="in seconds of the epoch; now")
    parser.add_argument("--namespace", default=".*", help="a regular expression")
    parser.add_argument("--run", default=".*", help="a regular expression")
    given = parser.parse_args()
    end = given.until if given.until is not None else time.time()
    try:
        page = render(Asked(given.server, end - 3600 * given.hours, end, given.namespace, given.run))
    except URLError as error:
        parser.error(f"no Prometheus answers at {given.server}: {error.reason}")
    except RuntimeError as error:
        parser.error(str(error))
    given.page.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
