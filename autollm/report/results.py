"""results.json: the results of a run for programs. Its form is documented in docs/results-json.md and stays."""

from __future__ import annotations

from typing import Any

from autollm.report.gather import RunState
from autollm.resources.facts import MetricScore
from autollm.resources.merge_trial import MergeTrial


def results_document(state: RunState) -> dict[str, Any]:
    """Return the table, every trial of the search, the best weights and the published revision."""
    status = state.status
    return {
        "run": state.run.metadata.name,
        "objective": {
            "metrics": [{"name": metric.name, "weight": float(metric.weight)} for metric in state.run.spec.evaluation.effective_metrics],
            "mean": "over sources of the mean over items of the weighted mean of metrics",
        },
        "results": [
            {
                "name": row.name,
                "weights": row.document()["weights"],
                "search": _numbers(row.search.document()) if row.search else None,
                "test": _numbers(row.test.document()) if row.test else None,
                "versus": _numbers(row.versus.document()) if row.versus else None,
                "metrics": _metrics(state.test_trial(row)),
                "sources": _sources(state.test_trial(row)),
            }
            for row in state.rows
        ],
        "trials": [_trial(trial) for trial in state.search_trials],
        "best": status.best.document() if status.best else None,
        "published": status.published.document() if status.published else None,
    }


def _trial(trial: MergeTrial) -> dict[str, Any]:
    status, origin = trial.status, trial.spec.origin
    outcome: dict[str, Any] = {"state": "pending"}
    if status is not None and status.failure is not None:
        outcome = {"state": "failed", "reason": status.failure.reason, "message": status.failure.message}
    elif status is not None and status.score is not None and status.standard_error is not None:
        outcome = {"state": "scored", "score": float(status.score), "standardError": float(status.standard_error), "items": status.items}
    return {
        "name": trial.metadata.name,
        "number": trial.spec.number,
        "weights": trial.spec.document()["weights"],
        "optimizer": origin.optimizer,
    } | outcome


def _metrics(trial: MergeTrial | None) -> dict[str, Any]:
    return _by_name(trial.status.metrics if trial and trial.status else None)


def _sources(trial: MergeTrial | None) -> dict[str, Any]:
    return _by_name(trial.status.sources if trial and trial.status else None)


def _by_name(scores: list[MetricScore] | None) -> dict[str, Any]:
    return {one.name: {key: value for key, value in _numbers(one.document()).items() if key != "name"} for one in scores or []}


def _numbers(document: dict[str, Any]) -> dict[str, Any]:
    """Return scores as plain numbers: the decimals of the documents are for YAML."""
    return {key: value if key in ("name", "items") else float(value) for key, value in document.items()}
