"""What becomes of Jobs that have ended: succeeded ones go some time after their report is safe, failed ones keep why they failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from autollm.contract.pod import FAILURE_ANNOTATION
from autollm.plan.plan import Plan
from autollm.plan.prepare import current_preparation
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Working
from autollm.resources.delta_training import DeltaTraining
from autollm_operator.api.port import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from autollm_operator.api.resources import JOBS
from autollm_operator.cache.parsed import Parsed
from autollm_operator.cache.views import JobView
from autollm_operator.jobs.ttl_after_finished import ttl_patch
from autollm_operator.reconcile.attempts import Attempts
from autollm_operator.reconcile.breakdowns import is_of_one_object, reason_of
from autollm_operator.reconcile.events import News, tell
from autollm_operator.reconcile.failures import failure_of_job
from autollm_operator.reconcile.hands import Hands, Subject
from autollm_operator.reconcile.tasks import is_stale


def keep_or_expire(
    hands: Hands, subject: Subject, attempts: Attempts, jobs: Iterable[JobView], is_reported: Callable[[JobView], bool]
) -> None:
    """Let Kubernetes remove succeeded Jobs some time from now, once their reports are in a status; note on failed ones why they failed.

    Failed ones that a newer spec or round has overtaken go too: a run whose rounds all fail would leave one of each.
    """
    for job in jobs:
        if job.deleting or not hands.refusals.is_due(job, subject.now):
            continue
        if patch := _wanted(hands, subject, job, is_reported):
            if not attempts.may_write():
                return
            _patch(hands, subject, attempts, job, patch)


def reported_in(snapshot: Snapshot, made: Plan, trainings: Iterable[Parsed[DeltaTraining]]) -> Callable[[JobView], bool]:
    """Return what says whether the report of a succeeded Job of a run has reached a status."""
    trained = {row.uid for row in trainings if row.value and row.value.status and row.value.status.delta}
    prepared = current_preparation(snapshot) is not None
    settled = not isinstance(made.state, Working)

    def is_reported(job: JobView) -> bool:
        match job.task:
            case "train":
                return job.owner is not None and job.owner.uid in trained
            case "prepare":
                return prepared
            case _:
                return settled

    return is_reported


def _wanted(hands: Hands, subject: Subject, job: JobView, is_reported: Callable[[JobView], bool]) -> dict[str, Any] | None:
    over = is_stale(job, subject.parent.generation) or (job.outcome == "Complete" and is_reported(job))
    if over and not job.has_ttl:
        return ttl_patch(subject.workers)
    if job.outcome == "Failed" and not job.failure and (pods := hands.cache.pods(job.uid)):
        return {"metadata": {"annotations": {FAILURE_ANNOTATION: json.dumps(failure_of_job(job, pods).document())}}}
    return None


def _patch(hands: Hands, subject: Subject, attempts: Attempts, job: JobView, patch: dict[str, Any]) -> None:
    patch = {**patch, "metadata": {**patch.get("metadata", {}), "uid": job.uid}}
    try:
        hands.cache.put(JOBS, hands.api.patch(JOBS, job.namespace, job.name, patch))
    except (NotFoundError, ConflictError):
        return  # it is gone, or another one is there: an event tells
    except (ForbiddenError, InvalidError, UnavailableError) as error:
        if isinstance(error, UnavailableError):
            if not is_of_one_object(hands.api, error, job.namespace):
                raise
            attempts.failed()
        if hands.refusals.remember(subject.uid, job, error, subject.now):
            note = f"Jobs that have ended cannot be given a time to live, or a note of why they failed: {error}; delete them by hand."
            tell(hands.api, subject.parent, News("Warning", reason_of(error), "Reconcile", note), subject.now)
