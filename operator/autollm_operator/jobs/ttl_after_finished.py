"""When the Job of a finished task goes: some time after its report is in a status, never before."""

from __future__ import annotations

from typing import Any

from autollm.resources.values import parse_duration
from autollm.resources.workers import Workers


def ttl_patch(workers: Workers) -> dict[str, Any]:
    """Return the patch of a Job that succeeded and whose report is safe; a Job is never made with a time to live."""
    return {"spec": {"ttlSecondsAfterFinished": parse_duration(workers.ttl_after_finished)}}
