"""The one write that gives a trial its outcome: the result or the failure, and the condition that says so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from autollm.resources.facts import TrialResult
from autollm.resources.metadata import Condition, Failure
from autollm_runtime.worker.cluster.api import Document

SCORED = "Scored"
"""The reason of a trial's Succeeded=True; of Succeeded=False it is the failure's own."""


def has_outcome(trial: Mapping[str, Any]) -> bool:
    """Say whether a trial has its score or its failure."""
    status = trial.get("status") or {}
    return status.get("score") is not None or status.get("failure") is not None


def outcome_patch(trial: Document, outcome: TrialResult | Failure, now: datetime) -> Document:
    """Return the merge patch that gives a trial, as it was read, its outcome; it is refused where the trial has changed since."""
    metadata = trial["metadata"]
    generation = metadata.get("generation", 1)
    if isinstance(outcome, Failure):
        status, reason, message, fields = "False", outcome.reason, outcome.message, {"failure": outcome.document()}
    else:
        message = f"The score is {outcome.score} ± {outcome.standard_error} on {outcome.items} items."
        status, reason, fields = "True", SCORED, outcome.document()
    known = (trial.get("status") or {}).get("conditions") or []
    condition = Condition.model_validate(
        {
            "type": "Succeeded",
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    conditions = [*(other for other in known if other.get("type") != "Succeeded"), condition.document()]
    return {
        "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        "status": fields | {"observedGeneration": generation, "conditions": conditions},
    }
