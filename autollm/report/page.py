"""The report page: one HTML file that needs no network."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from autollm.contract.digests import short
from autollm.plan.landscape import failure_of
from autollm.report import figures
from autollm.report.gather import Gathered
from autollm.report.headline import headline, tiles
from autollm.report.overview import outcome
from autollm.report.state import WINNER, RunState, compared_rows
from autollm.report.table import by_test, interval, scored
from autollm.report.whisker import whiskers

AXIS_WIDTH = 96
"""In pixels, of each of the parallel coordinates: on a narrow screen they are scrolled sideways."""


@dataclass(frozen=True)
class Plot:
    """A figure with what it shows in words, and the width in pixels that it needs at least."""

    id: str
    title: str
    text: str
    figure: go.Figure
    min_width: int = 0

    @property
    def json(self) -> str:
        """The figure for a script element: no character in it can end the element early or begin a comment."""
        return str(self.figure.to_json()).replace("<", "\\u003c")


def render_page(gathered: Gathered) -> str:
    """Return the report of a run as HTML; everything that came from data is escaped, and the browser is told to fetch nothing."""
    environment = Environment(
        loader=PackageLoader("autollm.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    state = gathered.state
    rows = by_test(state.rows)[::-1]
    plots = _plots(gathered)
    return environment.get_template("report.html.j2").render(
        nonce=secrets.token_urlsafe(16),
        run=state.run,
        status=state.status,
        published=state.published,
        outcome=outcome(state)[0],
        headline=headline(state),
        tiles=tiles(state),
        conditions=state.status.conditions or [],
        rows=rows,
        whiskers=whiskers(rows),
        winner=WINNER,
        scored=scored,
        interval=interval,
        plots=plots,
        failures=[(trial, failure) for trial in state.trials if (failure := failure_of(trial)) is not None],
        samples=gathered.samples,
        compared=[row.name for row in compared_rows(state)],
        data=gathered.data,
        deltas=gathered.deltas,
        document=yaml.safe_dump(state.run.spec.document(), sort_keys=False, allow_unicode=True),
        short=short,
        plotly=get_plotlyjs() if plots else "",
    )


def _plots(gathered: Gathered) -> list[Plot]:
    state = gathered.state
    trials = state.search_trials
    deltas = sorted({name for trial in trials for name in trial.spec.weights} | set(gathered.deltas))
    drawn: list[tuple[str, str, str, go.Figure | None, int]] = [
        (
            "convergence",
            "Convergence",
            "Each point is a trial with its standard error; the line is the best score so far.",
            figures.convergence(trials),
            0,
        ),
        (
            "weights",
            "Weights",
            "Every weight that was tried; the stronger the colour, the better the trial. The open diamonds are the best weights.",
            figures.weights_tried(trials, deltas, _best_weights(state)),
            0,
        ),
        (
            "by",
            "Scores by source and metric",
            "On the test split, with standard errors; a click on a name in the legend hides it.",
            figures.scores_by(state.rows, state),
            0,
        ),
        (
            "parallel",
            "Trials side by side",
            "Each line is a trial, from its weights to its score. Drag along an axis to pick some of them.",
            figures.parallel_coordinates(trials, deltas),
            AXIS_WIDTH * (len(deltas) + 1),
        ),
        ("curves", "Training", "The loss of every delta by step.", figures.training_curves(gathered.deltas), 0),
    ]
    return [Plot(name, title, text, figure, width) for name, title, text, figure, width in drawn if figure is not None]


def _best_weights(state: RunState) -> Mapping[str, float]:
    found = state.row(WINNER) or state.status.best
    return {name: float(value) for name, value in found.weights.items()} if found is not None else {}
