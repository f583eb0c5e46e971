"""Write the Grafana dashboard of the chart from its panels: `generate.py`, and with `--check` only say whether it differs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, table, timeseries, trend
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from charts.dashboard.panels import SECTIONS, Kind, Panel, Unit

WRITTEN = Path(__file__).parents[1] / "autollm" / "files" / "dashboard.json"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
UNITS: Mapping[Unit, str] = {"score": "none", "weight": "none", "count": "short", "seconds": "s", "hours": "h", "per second": "cps"}
AnyPanel = timeseries.Panel | trend.Panel | bargauge.Panel | table.Panel


def grafana_dashboard() -> str:
    """Return the dashboard as Grafana imports it."""
    made = (
        dashboard.Dashboard("AutoLLM")
        .uid("autollm")
        .tags(["autollm"])
        .description("Runs of AutoLLM: how the search converges, what came of it, what it cost, and how the operator is doing.")
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_of_runs("namespace", "label_values(autollm_run_info, namespace)").label("Namespace"))
        .with_variable(_of_runs("run", 'label_values(autollm_run_info{namespace=~"$namespace"}, run)').label("Run"))
    )
    for section in SECTIONS:
        made = made.with_row(dashboard.Row(section.title))
        for panel in section.panels:
            made = made.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def _of_runs(name: str, query: str) -> dashboard.QueryVariable:
    every = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    return (
        dashboard.QueryVariable(name)
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(every)
    )


def _panel(panel: Panel) -> AnyPanel:
    made = _KINDS[panel.kind](panel)
    latest = panel.kind in ("bars", "table")
    made.title(panel.title).description(panel.description).datasource(SOURCE)
    made.unit(UNITS[panel.unit]).span(panel.width).height(HEIGHT)
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).expr(query.expression).legend_format(query.legend).datasource(SOURCE)
        asked = asked.instant() if latest else asked.range()
        made.with_target(asked.format(PromQueryFormat.TABLE) if panel.kind == "table" else asked)
    return made


def _lines(panel: Panel) -> timeseries.Panel:
    return timeseries.Panel().line_width(2).show_points(options.VisibilityMode.NEVER).legend(_legend()).tooltip(_tooltip())


def _stacked(panel: Panel) -> timeseries.Panel:
    return _lines(panel).stacking(common.StackingConfig().mode(options.StackingMode.NORMAL)).fill_opacity(30).min(0)


def _by_trial(panel: Panel) -> trend.Panel:
    joined = models.DataTransformerConfig("joinByField", options={"byField": "Time", "mode": "outer"})
    made = trend.Panel().x_field(panel.queries[0].legend).line_width(2).legend(_legend()).tooltip(_tooltip())
    return made.with_transformation(joined)


def _bars(panel: Panel) -> bargauge.Panel:
    latest = common.ReduceDataOptions().calcs(["lastNotNull"])
    made = bargauge.Panel().orientation(options.VizOrientation.HORIZONTAL).display_mode(options.BarGaugeDisplayMode.BASIC)
    return made.reduce_options(latest).min(0).max(1)


def _table(panel: Panel) -> table.Panel:
    names = {f"Value #{letter}": query.legend for letter, query in zip(ascii_uppercase, panel.queries, strict=False)}
    merged = models.DataTransformerConfig("merge", options={})
    named = models.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}, "renameByName": names})
    return table.Panel().decimals(4).with_transformation(merged).with_transformation(named)


def _legend() -> common.VizLegendOptions:
    return common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)


_KINDS: Mapping[Kind, Callable[[Panel], AnyPanel]] = {
    "lines": _lines, "stacked": _stacked, "by trial": _by_trial, "bars": _bars, "table": _table,
}  # fmt: skip


def main() -> int:
    """Write the file, or check it; the exit code is 1 where it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say whether it differs")
    text = grafana_dashboard()
    if not parser.parse_args().check:
        WRITTEN.write_text(text)
        return 0
    if not WRITTEN.is_file() or WRITTEN.read_text() != text:
        sys.stderr.write("charts/autollm/files/dashboard.json is not what the panels say: run make generate\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
