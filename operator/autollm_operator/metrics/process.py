"""Counters and durations of the process itself: they begin anew with it, unlike the series of runs, which follow from the cache."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.registry import Collector

from autollm.errors import AutoLLMError
from autollm_operator.api.resources import RUNS, TRAININGS, TRIALS

UNEXPECTED: Final = "Unexpected"
"""The reason under which errors are counted that are no AutoLLMError: a bug."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # the package does not type it; those series are of no use to Prometheus

_RECONCILE_SECONDS = Histogram(
    "autollm_reconcile_duration_seconds",
    "How long one pass over an object took, its API calls included.",
    ["kind"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=None,
)
_RECONCILE_ERRORS = Counter(
    "autollm_reconcile_errors_total",
    "Passes that ended in an error, by its reason; Unexpected is a bug.",
    ["kind", "reason"],
    registry=None,
)
_SUGGEST_SECONDS = Histogram(
    "autollm_suggest_duration_seconds",
    "How long the optimiser took for the next candidate; fallback: whether it failed or ran out of time, so that a random one was taken.",
    ["fallback"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60),
    registry=None,
)
_API_REQUESTS = Counter(
    "autollm_api_requests_total",
    "Requests to the Kubernetes API; code 0: no answer came.",
    ["verb", "resource", "code"],
    registry=None,
)
_LOOP_LAG = Histogram(
    "autollm_event_loop_lag_seconds",
    "By how much the event loop that takes the API server's events is late, four times a second.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 5),
    registry=None,
)
_BUILD = Gauge("autollm_build_info", "Always 1; the version that runs.", ["version"], registry=None)
_BUILD.labels(version("autollm")).set(1)

# What may happen for the first time is told as 0 before: an increase from nothing is none that Prometheus sees.
for _kind in (RUNS.kind, TRAININGS.kind, TRIALS.kind):
    _RECONCILE_ERRORS.labels(_kind, UNEXPECTED)
for _fallback in ("true", "false"):
    _SUGGEST_SECONDS.labels(_fallback)


@contextmanager
def reconciling(kind: str) -> Iterator[None]:
    """Time one pass over an object of a kind, such as AutoLLMRun, and count an error that leaves it, which goes on to the caller."""
    begun = time.perf_counter()
    try:
        yield
    except Exception as error:
        _RECONCILE_ERRORS.labels(kind, error.reason if isinstance(error, AutoLLMError) else UNEXPECTED).inc()
        raise
    finally:
        _RECONCILE_SECONDS.labels(kind).observe(time.perf_counter() - begun)


def suggested(seconds: float, fallback: bool) -> None:
    """Count a candidate that took so many seconds; `fallback`: a random one was taken in place of the optimiser's."""
    _SUGGEST_SECONDS.labels("true" if fallback else "false").observe(seconds)


def requested(verb: str, resource: str, code: int) -> None:
    """Count a request to the API: its verb (list, get, create, apply, patch, delete), the resource's plural, the HTTP status or 0."""
    _API_REQUESTS.labels(verb, resource, str(code)).inc()


def lagged(seconds: float) -> None:
    """Count by how much the event loop was late."""
    _LOOP_LAG.observe(seconds)


def process_collectors() -> tuple[Collector, ...]:
    """Return what is counted here, to be registered beside the collectors of runs and of the queue."""
    return _RECONCILE_SECONDS, _RECONCILE_ERRORS, _SUGGEST_SECONDS, _API_REQUESTS, _LOOP_LAG, _BUILD
