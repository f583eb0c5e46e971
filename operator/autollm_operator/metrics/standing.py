"""The series that follow from a run's own document: its conditions, its counts, the incumbent, the results table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from autollm.resources import patterns
from autollm.resources.run import AutoLLMRun
from autollm.resources.run_status import ResultRow, RunStatus
from autollm_operator.metrics import series as s
from autollm_operator.metrics.series import Sample

STATUSES = ("True", "False", "Unknown")


def standing_samples(run: AutoLLMRun) -> Iterator[Sample]:
    """Yield what a run's status says; nothing that it does not say is made up."""
    status = run.status or RunStatus()
    revision = status.published.revision if status.published else ""
    stage = next((condition.reason for condition in status.conditions or [] if condition.type == "Reconciling"), "")
    yield Sample(s.INFO, (stage, revision), 1)
    yield Sample(s.TRIALS_ASKED, (), run.spec.search.trials)
    yield from _conditions(status)
    yield from _counts(status)
    yield from _incumbent(status)
    yield from _results(status)
    if re.match(patterns.REVISION, revision):
        yield Sample(s.REVISION, (), int(revision[1:]))


def seconds_since_epoch(stamp: str | None) -> float | None:
    """Return a metav1.Time as Prometheus counts time, or None for what is none: a user may have written anything into a status."""
    try:
        return datetime.fromisoformat(stamp).timestamp() if stamp else None
    except ValueError:
        return None


def _conditions(status: RunStatus) -> Iterator[Sample]:
    for condition in status.conditions or []:
        for possible in STATUSES:
            yield Sample(s.CONDITION, (condition.type, possible), float(condition.status == possible))
        moment = seconds_since_epoch(condition.last_transition_time)
        if moment is not None:
            yield Sample(s.CONDITION_TIME, (condition.type,), moment)


def _counts(status: RunStatus) -> Iterator[Sample]:
    if (data := status.data) is not None:
        yield Sample(s.RECORDS, ("used",), data.records)
        yield Sample(s.RECORDS, ("dropped",), sum(data.dropped.values()))
        yield Sample(s.CHUNKS, (), data.chunks)
    if (deltas := status.deltas) is not None:
        imported = len(status.prepared.imported) if status.prepared else 0
        counts = {
            "imported": imported,
            "reused": deltas.reused,
            "trained": deltas.ready - deltas.reused - imported,
            "failed": deltas.failed,
            "pending": deltas.total - deltas.ready - deltas.failed,
        }
        for state, count in counts.items():
            yield Sample(s.DELTAS, (state,), count)
    if (trials := status.trials) is not None:
        for state in ("succeeded", "failed", "running"):
            yield Sample(s.TRIALS, (state,), getattr(trials, state))


def _incumbent(status: RunStatus) -> Iterator[Sample]:
    if (best := status.best) is not None:
        yield Sample(s.BEST, (), float(best.score))
        yield Sample(s.BEST_ERROR, (), float(best.standard_error))
        yield from (Sample(s.WEIGHT, (delta,), weight) for delta, weight in bounded(best.weights).items())


def bounded(weights: Mapping[str, Decimal]) -> dict[str, float]:
    """Return the weights that are largest in absolute value, and the sum of those beyond the bound under one name."""
    largest_first = sorted(weights.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    shown = {delta: float(weight) for delta, weight in largest_first[: s.MOST_DELTAS]}
    beyond = largest_first[s.MOST_DELTAS :]
    return shown | {s.OTHERS: float(sum(weight for _, weight in beyond))} if beyond else shown


def _results(status: RunStatus) -> Iterator[Sample]:
    for row in _shown(status.results or []):
        if row.test is not None:
            yield Sample(s.TEST, (row.name,), float(row.test.score))
            yield Sample(s.TEST_ERROR, (row.name,), float(row.test.standard_error))
        if row.versus is not None:
            yield Sample(s.LEAD, (row.name,), float(row.versus.difference))
            yield Sample(s.LEAD_LOW, (row.name,), float(row.versus.low))
            yield Sample(s.LEAD_HIGH, (row.name,), float(row.versus.high))


def _shown(rows: list[ResultRow]) -> list[ResultRow]:
    """Return all rows, or of too many those that are no single delta's and then the best."""
    tested = [row for row in rows if row.test is not None]
    return sorted(tested, key=lambda row: (list(row.weights) == [row.name], -(row.test.score if row.test else 0)))[: s.MOST_ROWS]
