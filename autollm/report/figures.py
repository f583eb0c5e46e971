"""The plots of a report. Colours of text, grid and background are left to the page, which knows light from dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from autollm.contract.manifests import DeltaManifest
from autollm.report.gather import RunState
from autollm.resources.facts import MetricScore
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run_status import ResultRow

ACCENT, MUTED = "#2f7ed8", "#8a97a6"
SERIES = ("#2f7ed8", "#d9822b", "#3a9d5d", "#b04a9c", "#c0392b", "#7a6ad8", "#1f9aa8", "#8d6e4b")


def _figure(height: int, **layout: Any) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 56, "r": 16, "t": 16, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": -0.22, "x": 0},
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
    """Return every trial's score with its standard error, and the best so far."""
    scored = _scored(trials)
    if not scored:
        return None
    numbers = [trial.spec.number + 1 for trial, _, _ in scored]
    scores = [score for _, score, _ in scored]
    best = [max(scores[: end + 1]) for end in range(len(scores))]
    figure = _figure(340, xaxis_title="trial", yaxis_title="score on the search split")
    figure.add_scatter(
        x=numbers,
        y=scores,
        mode="markers",
        name="trial",
        marker={"color": MUTED, "size": 7},
        error_y={"type": "data", "array": [error for _, _, error in scored], "thickness": 1, "width": 0, "color": MUTED},
        text=[_hover(trial) for trial, _, _ in scored],
        hovertemplate="trial %{x}: %{y:.4f}<br>%{text}<extra></extra>",
    )
    figure.add_scatter(x=numbers, y=best, mode="lines", name="best so far", line={"color": ACCENT, "shape": "hv", "width": 2.5})
    return figure


def _hover(trial: MergeTrial) -> str:
    weights = "<br>".join(f"{name} {float(value):.3g}" for name, value in trial.spec.weights.items() if value)
    return f"{trial.spec.origin.optimizer}<br>{weights or 'no delta'}"


def weights_tried(trials: Sequence[MergeTrial], deltas: Sequence[str], best: Mapping[str, float]) -> go.Figure | None:
    """Return, for each delta, every weight that was tried, the better the darker, and the best one."""
    scored = _scored(trials)
    if not scored:
        return None
    figure = _figure(max(240, 60 + 44 * len(deltas)), xaxis_title="weight", yaxis={"automargin": True})
    scores = [score for _, score, _ in scored]
    for delta in deltas:
        figure.add_scatter(
            x=[float(trial.spec.weights.get(delta, 0)) for trial, _, _ in scored],
            y=[delta] * len(scored),
            mode="markers",
            showlegend=False,
            marker={"color": scores, "colorscale": "Viridis", "reversescale": True, "size": 9, "opacity": 0.55, "line": {"width": 0}},
            text=[f"{score:.4f}" for score in scores],
            hovertemplate=f"{delta} %{{x:.3g}}: score %{{text}}<extra></extra>",
        )
    figure.add_scatter(
        x=[best.get(delta, 0.0) for delta in deltas],
        y=list(deltas),
        mode="markers",
        name="best",
        marker={"symbol": "diamond", "size": 13, "color": SERIES[4], "line": {"width": 1.5, "color": "white"}},
        hovertemplate="best: %{x:.3g}<extra></extra>",
    )
    return figure


def scores_by(rows: Sequence[ResultRow], state: RunState) -> go.Figure | None:
    """Return the test score of every row by source and by metric."""
    tested = [(row.name, trial.status) for row in rows if (trial := state.test_trial(row)) is not None and trial.status is not None]
    if not tested:
        return None
    groups = [one.name for one in [*(tested[0][1].sources or []), *(tested[0][1].metrics or [])]]
    figure = _figure(380, barmode="group", yaxis_title="score on the test split", xaxis={"type": "category"})
    figure.update_layout(yaxis_range=[0, 1])
    for index, (name, status) in enumerate(tested):
        found = {one.name: one for one in [*(status.sources or []), *(status.metrics or [])]}
        figure.add_bar(
            x=groups,
            y=[_value(found.get(group)) for group in groups],
            name=name,
            marker={"color": SERIES[index % len(SERIES)], "opacity": 1 if name == "auto" else 0.55},
            error_y={"type": "data", "array": [_error(found.get(group)) for group in groups], "thickness": 1, "width": 2, "color": MUTED},
        )
    return figure


def _value(score: MetricScore | None) -> float | None:
    return float(score.score) if score else None


def _error(score: MetricScore | None) -> float:
    return float(score.standard_error) if score else 0.0


def parallel_coordinates(trials: Sequence[MergeTrial], deltas: Sequence[str]) -> go.Figure | None:
    """Return every trial as a line through its weights to its score; dragging along an axis picks trials."""
    scored = _scored(trials)
    if not scored or not deltas:
        return None
    scores = [score for _, score, _ in scored]
    dimensions = [{"label": delta, "values": [float(trial.spec.weights.get(delta, 0)) for trial, _, _ in scored]} for delta in deltas]
    figure = _figure(380)
    figure.add_parcoords(
        dimensions=[*dimensions, {"label": "score", "values": scores}],
        line={"color": scores, "colorscale": "Viridis", "reversescale": True},
        labelangle=-18 if len(deltas) > 3 else 0,
    )
    figure.update_layout(margin={"l": 56, "r": 40, "t": 84, "b": 24})
    return figure


def training_curves(deltas: Mapping[str, DeltaManifest]) -> go.Figure | None:
    """Return the loss by step of every delta that was trained."""
    drawn = {name: manifest.curve for name, manifest in deltas.items() if manifest.curve}
    if not drawn:
        return None
    figure = _figure(340, xaxis_title="step", yaxis_title="loss")
    for index, (name, curve) in enumerate(sorted(drawn.items())):
        figure.add_scatter(
            x=[point.step for point in curve],
            y=[point.loss for point in curve],
            mode="lines+markers" if len(curve) < 3 else "lines",
            name=name,
            line={"color": SERIES[index % len(SERIES)], "width": 2},
        )
    return figure
