"""Trials on which evaluators died, by what the pods of these left: what a node, a user or the operator ended is no trial's doing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from autollm.contract.termination import read_last_words
from autollm.plan.retries import is_death
from autollm.resources.metadata import Failure
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.reconcile.failures import NEVER, deciding_pod, failure_of_pod

RETRIES_USED_UP = frozenset({"MaxFailedIndexesExceeded", "FailedIndexes", "BackoffLimitExceeded"})
"""Reasons for which a Job has failed: no cause of its own, but one pod too many that failed."""


def deaths_by_trial(job: JobView, pods: Iterable[PodView]) -> Mapping[str, tuple[Failure, ...]]:
    """Return how the workers ended that died while they scored a trial, by the trial's name, the first one first."""
    found: dict[str, tuple[Failure, ...]] = {}
    for pod in sorted(pods, key=lambda pod: pod.finished or NEVER):
        if trial := died_on(pod):
            found[trial] = (*found.get(trial, ()), failure_of_pod(job, pod))
    return found


def last_died_on(job: JobView, pods: Sequence[PodView]) -> str:
    """Return the trial that used up the last retry of a Job that has failed; empty where it failed of something else."""
    pod = deciding_pod(job, pods) if job.outcome == "Failed" and job.reason in RETRIES_USED_UP else None
    return died_on(pod) if pod is not None else ""


def died_on(pod: PodView) -> str:
    """Return the trial on which a worker died; empty where it is not dead, or had none in hand."""
    if pod.phase != "Failed" or pod.deleting or pod.disrupted or pod.exit_code is None or not is_death(pod.exit_code):
        return ""
    return read_last_words(pod.termination).trial
