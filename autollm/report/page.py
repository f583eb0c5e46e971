"""The report page: one HTML file that needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from autollm.contract.digests import short
from autollm.contract.folder import write_atomically
from autollm.report import figures
from autollm.report.gather import Gathered, compared_rows
from autollm.report.table import WINNER, interval, scored, weights
from autollm.resources.metadata import Condition
from autollm.resources.run_status import ResultRow


@dataclass(frozen=True)
class Plot:
    """A figure with what it shows in words."""

    id: str
    title: str
    text: str
    figure: go.Figure

    @property
    def json(self) -> str:
        """The figure for a script element: no character can end the element early."""
        return str(self.figure.to_json()).replace("</", "<\\/")


def write_page(gathered: Gathered, path: Path) -> None:
    """Write the report of a run to a file, which appears whole or not at all."""
    write_atomically(path, render_page(gathered).encode())


def render_page(gathered: Gathered) -> str:
    """Return the report of a run as HTML; everything that came from data is escaped."""
    environment = Environment(
        loader=PackageLoader("autollm.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    state = gathered.state
    rows = sorted(state.rows, key=lambda row: (float(row.test.score) if row.test else -1.0, row.name == WINNER), reverse=True)
    return environment.get_template("report.html.j2").render(
        run=state.run,
        status=state.status,
        headline=headline(gathered),
        conditions=state.status.conditions or [],
        rows=rows,
        winner=WINNER,
        scored=scored,
        interval=interval,
        weights=weights,
        plots=list(_plots(gathered)),
        samples=gathered.samples,
        compared=[row.name for row in compared_rows(state)],
        data=gathered.data,
        deltas=gathered.deltas,
        short=short,
        plotly=get_plotlyjs() if state.trials else "",
    )


def headline(gathered: Gathered) -> str:
    """Return the outcome in a sentence."""
    status = gathered.state.status
    rows = {row.name: row for row in gathered.state.rows}
    auto, base = rows.get(WINNER), rows.get("base")
    published = next((one for one in status.conditions or [] if one.type == "Published"), None)
    if auto is None or auto.test is None:
        return _progress(status.conditions or [])
    against = f" against {float(base.test.score):.3f} of the base" if base is not None and base.test is not None else ""
    end = f" {published.message}" if published is not None and published.message else ""
    return f"The merged model scores {float(auto.test.score):.3f}{against} on the test split.{end}"


def _progress(conditions: list[Condition]) -> str:
    summary = next((one for one in conditions if one.type in ("Stalled", "Reconciling") and one.status == "True"), None)
    return summary.message if summary is not None else "Nothing has been scored on the test split yet."


def _plots(gathered: Gathered) -> list[Plot]:
    state = gathered.state
    trials = state.search_trials
    deltas = sorted({name for trial in trials for name in trial.spec.weights} | set(gathered.deltas))
    best = {name: float(value) for name, value in _winner_weights(gathered).items()}
    drawn: list[tuple[str, str, str, go.Figure | None]] = [
        (
            "convergence",
            "Convergence",
            "Each point is a trial with its standard error; the line is the best so far.",
            figures.convergence(trials),
        ),
        (
            "weights",
            "Weights",
            "Every weight that was tried, darker where the trial scored higher; the diamond is the best.",
            figures.weights_tried(trials, deltas, best),
        ),
        (
            "by",
            "Scores by source and metric",
            "On the test split, with standard errors; a click on a name hides it.",
            figures.scores_by(state.rows, state),
        ),
        (
            "parallel",
            "Trials side by side",
            "Each line is a trial. Drag along an axis to pick some.",
            figures.parallel_coordinates(trials, deltas),
        ),
        ("curves", "Training", "The loss of every delta by step.", figures.training_curves(gathered.deltas)),
    ]
    return [Plot(name, title, text, figure) for name, title, text, figure in drawn if figure is not None]


def _winner_weights(gathered: Gathered) -> dict[str, Any]:
    auto: ResultRow | None = next((row for row in gathered.state.rows if row.name == WINNER), None)
    if auto is not None:
        return dict(auto.weights)
    best = gathered.state.status.best
    return dict(best.weights) if best is not None else {}
