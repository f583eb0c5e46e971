"""What is read of a Job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from autollm_operator.cache.jobs import job_view
from autollm_operator.cache.views import Owner
from support.kubernetes_objects import Document, condition, job, job_with

FAILED_BY_POLICY = "Container worker for pod team-a/demo-train-0123456789-x7k2p failed with exit code 42 matching FailJob rule at index 0"
COMPLETE = condition("Complete", reason="CompletionsReached")
LATE = condition("Failed", reason="DeadlineExceeded", message="Job was active longer than specified deadline")


def test_a_running_job() -> None:
    view = job_view(job())
    assert (view.namespace, view.name, view.uid, view.version) == ("team-a", "demo-train-0123456789", "job-uid", 731)
    assert view.owner == Owner("DeltaTraining", "demo-abc", "training-uid")
    assert (view.task, view.generation, view.size, view.gpus) == ("train", 3, 1, 2)
    assert (view.outcome, view.suspended, view.deleting, view.has_ttl) == (None, False, False, False)
    assert view.started == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert view.finished is None


@pytest.mark.parametrize(
    ("document", "outcome", "reason"),
    [
        (job_with(COMPLETE, completionTime="2026-01-01T11:00:00Z"), "Complete", "CompletionsReached"),
        (job_with(condition("Failed", reason="PodFailurePolicy", message=FAILED_BY_POLICY)), "Failed", "PodFailurePolicy"),
        (job_with(condition("Failed", reason="BackoffLimitExceeded")), "Failed", "BackoffLimitExceeded"),
        (job_with(LATE, LATE | {"type": "FailureTarget"}), "Failed", "DeadlineExceeded"),
        (job_with(condition("Failed", reason="FailedIndexes"), failedIndexes="0,2"), "Failed", "FailedIndexes"),
        (job_with(condition("FailureTarget", reason="PodFailurePolicy", message=FAILED_BY_POLICY)), None, ""),
        (job_with(condition("SuccessCriteriaMet", reason="CompletionsReached")), None, ""),
        (job_with(condition("Failed", "False", reason="PodFailurePolicy")), None, ""),
        (job(spec={"suspend": True}, status={"conditions": [condition("Suspended", reason="JobSuspended")]}), None, "JobSuspended"),
    ],
)
def test_only_complete_and_failed_decide(document: Document, outcome: str | None, reason: str) -> None:
    view = job_view(document)
    assert (view.outcome, view.reason) == (outcome, reason)
    assert (view.finished is None) == (outcome is None)
    assert view.suspended == (reason == "JobSuspended")


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"spec": {"completionMode": "Indexed", "completions": 4, "parallelism": 4}}, "size", 4),
        ({"spec": {"ttlSecondsAfterFinished": 0}}, "has_ttl", True),
        ({"metadata": {"deletionTimestamp": "2026-01-01T10:10:00Z"}}, "deleting", True),
        ({"metadata": {"annotations": {"autollm.dev/failure": "{}"}}}, "failure", "{}"),
        ({"metadata": {"annotations": {"autollm.dev/workers": "0123456789ab"}}}, "made_with", "0123456789ab"),
        ({"metadata": {"ownerReferences": []}}, "owner", None),
        ({"metadata": {"labels": {"autollm.dev/generation": "²"}}}, "generation", 0),
        ({"metadata": {"labels": {"autollm.dev/generation": "-1"}}}, "generation", 0),
        ({"spec": {"template": {"spec": {"containers": [{"name": "worker"}]}}}}, "gpus", 0),
    ],
)
def test_fields(changes: dict[str, Any], field: str, value: object) -> None:
    assert getattr(job_view(job(**changes)), field) == value
