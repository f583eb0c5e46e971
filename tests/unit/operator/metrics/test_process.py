"""What the process counts: durations, errors by reason, requests, candidates; the queue as it is."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from autollm_operator.api.port import ForbiddenError
from autollm_operator.cache.cache import Cache
from autollm_operator.metrics.exposition import build_registry, expose
from autollm_operator.metrics.process import reconciling, requested, suggested


class Queue:
    def depth(self) -> int:
        return 2

    def oldest_age(self) -> float:
        return 1.5


@pytest.fixture
def registry() -> CollectorRegistry:
    return build_registry(Cache(), Queue())


class Growth:
    """By how much a sample has grown since."""

    def __init__(self, registry: CollectorRegistry, name: str, **labels: str) -> None:
        self._registry, self._name, self._labels = registry, name, labels
        self._before = self._value()

    def _value(self) -> float:
        return self._registry.get_sample_value(self._name, self._labels) or 0.0

    def __call__(self) -> float:
        return self._value() - self._before


def test_a_pass_is_timed(registry: CollectorRegistry) -> None:
    passes = Growth(registry, "autollm_reconcile_duration_seconds_count", kind="AutoLLMRun")
    with reconciling("AutoLLMRun"):
        pass
    assert passes() == 1


@pytest.mark.parametrize(("error", "reason"), [(ForbiddenError("no right"), "Forbidden"), (KeyError("uid"), "Unexpected")])
def test_an_error_is_counted_by_its_reason_and_goes_on(registry: CollectorRegistry, error: Exception, reason: str) -> None:
    errors = Growth(registry, "autollm_reconcile_errors_total", kind="MergeTrial", reason=reason)
    passes = Growth(registry, "autollm_reconcile_duration_seconds_count", kind="MergeTrial")
    with pytest.raises(type(error)), reconciling("MergeTrial"):
        raise error
    assert (errors(), passes()) == (1, 1)


def test_candidates_and_requests_are_counted(registry: CollectorRegistry) -> None:
    fallbacks = Growth(registry, "autollm_suggest_duration_seconds_count", fallback="true")
    seconds = Growth(registry, "autollm_suggest_duration_seconds_sum", fallback="false")
    requests = Growth(registry, "autollm_api_requests_total", verb="create", resource="jobs", code="409")
    suggested(20.0, fallback=True)
    suggested(0.5, fallback=False)
    requested("create", "jobs", 409)
    assert (fallbacks(), seconds(), requests()) == (1, 0.5, 1)


def test_the_queue_is_told_as_it_is(registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("autollm_queue_depth") == 2
    assert registry.get_sample_value("autollm_queue_oldest_seconds") == 1.5


def test_two_operators_of_one_process_do_not_collide(registry: CollectorRegistry) -> None:
    assert build_registry(Cache(), Queue()).get_sample_value("autollm_queue_depth") == 2


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "application/openmetrics-text; version=1.0.0"),
    ],
)
def test_the_scraper_gets_the_form_it_asks_for(registry: CollectorRegistry, accept: str, content_type: str) -> None:
    body, told = expose(registry, accept)
    assert told.startswith(content_type)
    assert (b"# EOF" in body) == ("openmetrics" in content_type)
