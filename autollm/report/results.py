"""results.json: the results of a run for programs. Its form is told in docs/results-json.md, field by field, and stays."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from autollm.plan.landscape import failure_of
from autollm.report.state import RunState
from autollm.resources.facts import MetricScore, PublishedRevision, TrialResult
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run_status import Best, Interval, ResultRow, ScoredOn

MEAN = "over sources of the mean over items of the weighted mean of metrics"


def results_document(state: RunState) -> dict[str, Any]:
    """Return the table, every trial of the search, the best weights and the published revision; all numbers are JSON numbers."""
    best, published = state.status.best, state.published
    return {
        "run": state.run.metadata.name,
        "objective": {
            "metrics": [{"name": metric.name, "weight": float(metric.weight)} for metric in state.run.spec.evaluation.effective_metrics],
            "mean": MEAN,
        },
        "results": [_row(row, state.test_trial(row)) for row in state.rows],
        "trials": [_trial(trial) for trial in state.search_trials],
        "best": _best(best) if best else None,
        "published": _published(published) if published else None,
    }


def _row(row: ResultRow, trial: MergeTrial | None) -> dict[str, Any]:
    status = trial.status if trial else None
    return {
        "name": row.name,
        "weights": _weights(row.weights),
        "search": _scored(row.search) if row.search else None,
        "test": _scored(row.test) if row.test else None,
        "versus": _interval(row.versus) if row.versus else None,
        "metrics": _by_name(status.metrics if status else None),
        "sources": _by_name(status.sources if status else None),
        "testTrial": trial.metadata.name if trial else None,
    }


def _trial(trial: MergeTrial) -> dict[str, Any]:
    status, failure = trial.status, failure_of(trial)
    outcome: dict[str, Any] = {"state": "pending"}
    if failure is not None:
        outcome = {"state": "failed", "reason": failure.reason, "message": failure.message}
    elif status is not None and status.result is not None:
        outcome = {"state": "scored"} | _scored(status.result)
    return {
        "name": trial.metadata.name,
        "number": trial.spec.number,
        "weights": _weights(trial.spec.weights),
        "optimizer": trial.spec.chosen_by,
    } | outcome


def _best(best: Best) -> dict[str, Any]:
    score = {"score": float(best.score), "standardError": float(best.standard_error)}
    return {"trial": best.trial} | score | {"weights": _weights(best.weights)}


def _published(revision: PublishedRevision) -> dict[str, Any]:
    return {
        "revision": revision.revision,
        "uri": revision.uri,
        "digest": revision.digest,
        "base": revision.base,
        "weights": _weights(revision.weights),
        "deltas": dict(revision.deltas),
    }


def _by_name(scores: list[MetricScore] | None) -> dict[str, Any]:
    return {one.name: _scored(one) | ({"stopRate": float(one.stop_rate)} if one.stop_rate is not None else {}) for one in scores or []}


def _scored(score: ScoredOn | MetricScore | TrialResult) -> dict[str, Any]:
    return {"score": float(score.score), "standardError": float(score.standard_error), "items": score.items}


def _interval(versus: Interval) -> dict[str, float]:
    return {"difference": float(versus.difference), "low": float(versus.low), "high": float(versus.high)}


def _weights(weights: Mapping[str, Decimal]) -> dict[str, float]:
    return {name: float(value) for name, value in weights.items()}
