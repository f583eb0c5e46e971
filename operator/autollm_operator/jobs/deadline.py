"""How long a Job may take in all."""

from __future__ import annotations

from autollm.resources.values import parse_duration
from autollm.resources.workers import TaskWorkers


def active_deadline_seconds(asked: TaskWorkers) -> int:
    """Return it in seconds, counted from when the Job is not suspended; every Job has one, so that none hangs for ever."""
    return parse_duration(asked.deadline)
