"""Kueue: its label on a Job is all that is written; Kueue alone suspends and resumes it."""

from __future__ import annotations

from autollm.resources.workers import Workers

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def queue_labels(workers: Workers) -> dict[str, str]:
    """Return the label with which Kueue takes a Job into a LocalQueue, none where no queue is named."""
    return {} if workers.queue_name is None else {QUEUE_LABEL: workers.queue_name}
