"""The plots of a report. Colours of text, grid and background, and the scale of scores, are the page's: it knows light from dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate
from typing import Any, Literal

import plotly.graph_objects as go

from autollm.contract.manifests import CurvePoint, DeltaManifest
from autollm.plan.landscape import failure_of
from autollm.report.state import RunState, compared_rows
from autollm.resources.facts import MetricScore
from autollm.resources.merge_trial import MergeTrial, MergeTrialStatus
from autollm.resources.run_status import ResultRow

ACCENT, MUTED, BAD = "#2f7ed8", "#8a97a6", "#d0453a"
SERIES = ("#2f7ed8", "#d9822b", "#3a9d5d", "#b04a9c", "#1f9aa8", "#c0392b", "#7a6ad8", "#8d6e4b")
DASHES = ("solid", "dash", "dot")
SMOOTHED_SHARE = 20
"""A training curve is smoothed over one in so many of its points."""

Kind = Literal["start point", "suggested", "random fallback"]
_SYMBOLS: Mapping[Kind, str] = {"start point": "circle-open", "suggested": "circle", "random fallback": "triangle-up-open"}


def _figure(height: int, **layout: Any) -> go.Figure:
    figure = go.Figure(layout={"template": {}})
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 16, "t": 12, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"namelength": -1},
        **layout,
    )
    return figure


def _scored(trials: Sequence[MergeTrial]) -> list[tuple[MergeTrial, float, float]]:
    return [
        (trial, float(trial.status.score), float(trial.status.standard_error or 0))
        for trial in trials
        if trial.status is not None and trial.status.score is not None
    ]


def convergence(trials: Sequence[MergeTrial]) -> go.Figure | None:
    """Return every trial's score with its standard error, those that failed below, and the best so far."""
    scored = _scored(trials)
    if not scored:
        return None
    figure = _figure(360, xaxis={"title": "trial", "tickformat": "d"}, yaxis_title="score on the search split")
    for kind, symbol in _SYMBOLS.items():
        found = [one for one in scored if _kind(one[0]) == kind]
        if found:
            figure.add_scatter(
                x=[trial.spec.place + 1 for trial, _, _ in found],
                y=[score for _, score, _ in found],
                mode="markers",
                name=kind,
                marker={"color": MUTED, "size": 8, "symbol": symbol},
                error_y={"type": "data", "array": [error for _, _, error in found], "thickness": 1, "width": 0, "color": MUTED},
                text=[_hover(trial) for trial, _, _ in found],
                hovertemplate="trial %{x}: %{y:.4f}<br>%{text}<extra></extra>",
            )
    numbers = [trial.spec.place + 1 for trial, _, _ in scored]
    best = list(accumulate((score for _, score, _ in scored), max))
    figure.add_scatter(x=numbers, y=best, mode="lines", name="best so far", line={"color": ACCENT, "shape": "hv", "width": 2.5})
    failed = [(trial, failure) for trial in trials if (failure := failure_of(trial)) is not None]
    if failed:
        figure.add_scatter(
            x=[trial.spec.place + 1 for trial, _ in failed],
            y=[min(score - error for _, score, error in scored)] * len(failed),
            mode="markers",
            name="failed",
            marker={"color": BAD, "size": 9, "symbol": "x-thin", "line": {"color": BAD, "width": 2}},
            text=[escape(failure.reason) for _, failure in failed],
            hovertemplate="trial %{x} failed: %{text}<extra></extra>",
        )
    return figure


def _kind(trial: MergeTrial) -> Kind:
    found: dict[str, Kind] = {"Start": "start point", "Fallback": "random fallback"}
    return found.get(trial.spec.chosen_by, "suggested")


def _hover(trial: MergeTrial) -> str:
    weights = "<br>".join(f"{escape(name)} {float(value):.3g}" for name, value in trial.spec.weights.items() if value)
    return f"{trial.spec.chosen_by}<br>{weights or 'no delta'}"


def weights_tried(trials: Sequence[MergeTrial], deltas: Sequence[str], best: Mapping[str, float]) -> go.Figure | None:
    """Return, for each delta, every weight that was tried, coloured by the trial's score, and the best one."""
    scored = sorted(_scored(trials), key=lambda one: one[1])
    if not scored or not deltas:
        return None
    scores = [score for _, score, _ in scored]
    figure = _figure(110 + 40 * len(deltas), xaxis={"title": "weight"}, yaxis={"automargin": True, "autorange": "reversed"})
    for delta in deltas:
        figure.add_scatter(
            x=[float(trial.spec.weights.get(delta, 0)) for trial, _, _ in scored],
            y=[delta] * len(scored),
            mode="markers",
            showlegend=False,
            marker={"color": scores, "coloraxis": "coloraxis", "size": 10, "line": {"width": 0}},
            text=[f"{score:.4f}" for score in scores],
            hovertemplate=f"{escape(delta)} %{{x:.3g}}: score %{{text}}<extra></extra>",
        )
    figure.add_scatter(
        x=[best.get(delta, 0.0) for delta in deltas],
        y=list(deltas),
        mode="markers",
        name="best",
        marker={"symbol": "diamond-open", "size": 17, "color": SERIES[1], "line": {"width": 2.5}},
        hovertemplate="best: %{x:.3g}<extra></extra>",
    )
    figure.update_layout(coloraxis={"colorbar": {"title": {"text": "score"}, "thickness": 10, "outlinewidth": 0}})
    return figure


def scores_by(rows: Sequence[ResultRow], state: RunState) -> go.Figure | None:
    """Return the test score of every row by source and by metric: the compared rows stand out, the others lie behind them."""
    tested = {row.name: trial.status for row in rows if (trial := state.test_trial(row)) is not None and trial.status is not None}
    if not tested:
        return None
    groups = list(dict.fromkeys(group for status in tested.values() for group in _by_group(status)))
    if not groups:
        return None
    compared = [row.name for row in compared_rows(state) if row.name in tested]
    others = [name for name in tested if name not in compared]
    figure = _figure(120 + 46 * len(groups), xaxis={"title": "score on the test split", "range": [-0.02, 1.02]})
    figure.update_layout(yaxis={"automargin": True, "autorange": "reversed", "type": "category"})
    behind = [(name, group) for name in others for group in groups if group in _by_group(tested[name])]
    if behind:
        figure.add_scatter(
            x=[float(_by_group(tested[name])[group].score) for name, group in behind],
            y=[group for _, group in behind],
            mode="markers",
            name="other rows",
            marker={"color": MUTED, "size": 8, "opacity": 0.55},
            text=[escape(name) for name, _ in behind],
            hovertemplate="%{text}, %{y}: %{x:.4f}<extra></extra>",
        )
    for name, colour, symbol in zip(compared, _compared_colours(compared), ("circle-open", "circle", "diamond"), strict=False):
        found = _by_group(tested[name])
        figure.add_scatter(
            x=[float(found[group].score) if group in found else None for group in groups],
            y=groups,
            mode="markers",
            name=escape(name),
            marker={"color": colour, "size": 12, "symbol": symbol, "line": {"width": 2, "color": colour}},
            error_x={
                "type": "data",
                "array": [float(found[group].standard_error) if group in found else 0 for group in groups],
                "thickness": 1.5,
                "width": 4,
            },
            hovertemplate=f"{escape(name)}, %{{y}}: %{{x:.4f}}<extra></extra>",
        )
    return figure


def _by_group(status: MergeTrialStatus) -> dict[str, MetricScore]:
    sources = {f"source {one.name}": one for one in status.sources or []}
    return sources | {f"metric {one.name}": one for one in status.metrics or []}


def _compared_colours(names: Sequence[str]) -> list[str]:
    return [{"base": MUTED, "auto": ACCENT}.get(name, SERIES[1]) for name in names]


def parallel_coordinates(trials: Sequence[MergeTrial], deltas: Sequence[str]) -> go.Figure | None:
    """Return every trial as a line through its weights to its score; dragging along an axis picks trials."""
    scored = sorted(_scored(trials), key=lambda one: one[1])
    if not scored or not deltas:
        return None
    scores = [score for _, score, _ in scored]
    dimensions = [
        {"label": delta, "values": [float(trial.spec.weights.get(delta, 0)) for trial, _, _ in scored], "tickformat": ".2~f"}
        for delta in deltas
    ]
    figure = _figure(400)
    figure.add_parcoords(
        dimensions=[*dimensions, {"label": "score", "values": scores, "tickformat": ".3~f"}],
        line={"color": scores, "coloraxis": "coloraxis"},
        labelangle=-14,
        rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
    )
    figure.update_layout(margin={"l": 64, "r": 64, "t": 76, "b": 20}, coloraxis={"showscale": False})
    return figure


def training_curves(deltas: Mapping[str, DeltaManifest]) -> go.Figure | None:
    """Return the loss by step of every delta that was trained, smoothed, with the losses themselves faint behind."""
    drawn = {name: manifest.curve for name, manifest in deltas.items() if manifest.curve}
    if not drawn:
        return None
    figure = _figure(360, xaxis_title="step", yaxis_title="loss")
    for index, (name, curve) in enumerate(sorted(drawn.items())):
        line = {"color": SERIES[index % len(SERIES)], "dash": DASHES[index // len(SERIES) % len(DASHES)]}
        steps = [point.step for point in curve]
        figure.add_scatter(
            x=steps,
            y=[point.loss for point in curve],
            mode="lines",
            legendgroup=name,
            showlegend=False,
            hoverinfo="skip",
            opacity=0.25,
            line=line | {"width": 1},
        )
        figure.add_scatter(
            x=steps,
            y=_smoothed(curve),
            mode="lines+markers" if len(curve) < 3 else "lines",
            name=escape(name),
            legendgroup=name,
            line=line | {"width": 2.2},
            hovertemplate=f"{escape(name)}, step %{{x}}: %{{y:.4f}}<extra></extra>",
        )
    return figure


def _smoothed(curve: Sequence[CurvePoint]) -> list[float]:
    """Return the mean of the last few losses at every point."""
    window = max(1, len(curve) // SMOOTHED_SHARE)
    losses = [point.loss for point in curve]
    return [sum(losses[max(0, end - window) : end]) / min(window, end) for end in range(1, len(losses) + 1)]
