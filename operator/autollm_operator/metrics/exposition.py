"""What is served at /metrics: the series of runs, of the queue and of the process, in the form that the scraper asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from autollm_operator.metrics.collector import RunCollector, Runs
from autollm_operator.metrics.process import process_collectors


class Queue(Protocol):
    """What is read of the work queue at every scrape."""

    def depth(self) -> int:
        """Return how many keys are due and wait for a thread."""
        ...

    def oldest_age(self) -> float:
        """Return for how many seconds the key that waits longest has been due; 0 where none is."""
        ...


class QueueCollector(Collector):
    """The queue as it is at the moment of the scrape."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        """Yield how much waits, and for how long."""
        yield GaugeMetricFamily("autollm_queue_depth", "Objects that are due to be looked at.", value=self._queue.depth())
        yield GaugeMetricFamily(
            "autollm_queue_oldest_seconds",
            "For how long the one that waits longest has been due.",
            value=self._queue.oldest_age(),
        )


def build_registry(runs: Runs, queue: Queue) -> CollectorRegistry:
    """Return the registry of one operator: its cache's runs, its queue, and the process."""
    registry = CollectorRegistry(auto_describe=False)
    for collector in (RunCollector(runs), QueueCollector(queue), *process_collectors()):
        registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return a scrape's body and its content type, chosen by the request's Accept header (empty: the text format)."""
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type
