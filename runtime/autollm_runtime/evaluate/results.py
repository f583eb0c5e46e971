"""From item results to the result of a trial: scores with standard errors, and differences to other trials."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import numpy as np

from autollm import statistics
from autollm.contract.manifests import ItemResult
from autollm.errors import InputError
from autollm.resources.evaluation import Metric
from autollm.resources.facts import Difference, MetricScore, Seconds, TrialResult
from autollm_runtime.evaluate.metrics.match import generates


def to_decimal(value: float) -> Decimal:
    """Return a finite number as the documents write it, to nine places."""
    return Decimal(f"{value:.9f}").normalize()


def summarise(
    results: Sequence[ItemResult],
    metrics: Sequence[Metric],
    *,
    seconds: Seconds,
    uri: str,
    differences: list[Difference] | None = None,
) -> TrialResult:
    """Return the result of a trial: the objective, every metric, and the objective on every source."""
    objective = {result.id: result.score for result in results if result.score is not None}
    scored = [result for result in results if result.score is not None]
    whole = _estimate(scored, objective)
    sources = sorted({result.source for result in scored})
    return TrialResult(
        score=to_decimal(whole.score),
        standard_error=to_decimal(whole.standard_error),
        items=len(results),
        metrics=[_metric_score(metric, results) for metric in metrics],
        sources=[_named(source, _estimate([r for r in scored if r.source == source], objective)) for source in sources],
        seconds=seconds,
        results=uri,
        differences=differences,
    )


def compare(
    ours: Sequence[ItemResult],
    others: Mapping[str, Sequence[ItemResult]],
    metrics: Iterable[str],
    confidence: float,
) -> list[Difference]:
    """Return our score minus that of each other trial, on the objective and on each of these metrics.

    Raises InputError (reason ItemsDiffer) where another trial was scored on other items.
    """
    names: list[str | None] = [None, *metrics]
    return [_difference(ours, theirs, trial, name, confidence) for trial, theirs in others.items() for name in names if _values(ours, name)]


def encode_results(results: list[ItemResult]) -> bytes:
    """Return per-item results as they are stored: one JSON object a line."""
    return b"".join(json.dumps(result.document(), ensure_ascii=False, allow_nan=False).encode() + b"\n" for result in results)


def decode_results(data: bytes) -> list[ItemResult]:
    """Read per-item results back."""
    return [ItemResult.parse(json.loads(line)) for line in data.splitlines()]


def _difference(ours: Sequence[ItemResult], theirs: Sequence[ItemResult], trial: str, metric: str | None, confidence: float) -> Difference:
    mine, other = _values(ours, metric), _values(theirs, metric)
    if mine.keys() != other.keys():
        what = "the objective" if metric is None else f"metric {metric!r}"
        raise InputError(
            f"trial {trial} has {what} for {len(other)} items, of which {len(mine.keys() & other.keys())} are among our {len(mine)}: "
            "only trials of the same items compare",
            reason="ItemsDiffer",
        )
    strata = statistics.strata_of([result.source for result in ours if result.id in mine])
    result = statistics.paired_difference(
        np.array(list(mine.values())), np.array([other[item] for item in mine]), strata, confidence=confidence
    )
    return Difference(
        trial=trial,
        metric=metric,
        difference=to_decimal(result.difference),
        low=to_decimal(result.low),
        high=to_decimal(result.high),
        gate_low=to_decimal(result.lower_bound),
    )


def _values(results: Sequence[ItemResult], metric: str | None) -> dict[str, float]:
    """Return the values of one metric by item, or of the objective for None, in the order of the results."""
    if metric is None:
        return {result.id: result.score for result in results if result.score is not None}
    return {result.id: result.values[metric] for result in results if metric in result.values}


def _metric_score(metric: Metric, results: Sequence[ItemResult]) -> MetricScore:
    values = _values(results, metric.name)
    fitting = [result for result in results if result.id in values]
    stops = [result.stopped for result in fitting if result.stopped is not None]
    rate = to_decimal(sum(stops) / len(stops)) if stops and metric.match is not None and generates(metric.match) else None
    return _named(metric.name, _estimate(fitting, values), rate)


def _estimate(results: Sequence[ItemResult], values: Mapping[str, float]) -> statistics.Estimate:
    return statistics.estimate(np.array([values[r.id] for r in results]), statistics.strata_of([r.source for r in results]))


def _named(name: str, estimate: statistics.Estimate, stop_rate: Decimal | None = None) -> MetricScore:
    return MetricScore(
        name=name,
        score=to_decimal(estimate.score),
        standard_error=to_decimal(estimate.standard_error),
        items=estimate.items,
        stop_rate=stop_rate,
    )
