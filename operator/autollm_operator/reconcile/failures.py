"""Why a task failed: what its worker said, or what the way it ended says, with the field to change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from autollm.contract.exit_codes import FREE, ExitCode
from autollm.resources.metadata import Failure
from autollm_operator.cache.pods import one_line
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.jobs.kinds import KINDS

SECTIONS = {name.lower(): kind.section for name, kind in KINDS.items()}
NEVER = datetime.min.replace(tzinfo=UTC)


def failure_of_job(job: JobView, pods: Sequence[PodView]) -> Failure:
    """Return why a Job failed: as it was kept when it did, or else as its pods tell."""
    if job.failure and (kept := _said(job.failure)) is not None:
        return kept
    section = f"workers.{SECTIONS.get(job.task, job.task)}"
    if job.reason == "DeadlineExceeded":
        return Failure(
            reason="DeadlineExceeded", message=f"It took longer than {section}.deadline allows; raise it to go on from what was saved."
        )
    pod = deciding_pod(job, pods)
    if pod is None:
        message = f"The Job {job.name} failed ({job.reason}: {one_line(job.message)}), and no pod of it is left that could tell why."
        return Failure(reason="JobFailed", message=message)
    return _said(pod.termination) or _seen(pod, section)


def deciding_pod(job: JobView, pods: Sequence[PodView]) -> PodView | None:
    """Return the pod whose end decided that of its Job: the one that Kubernetes names, or else the last one that failed by itself."""
    named = next((pod for pod in pods if pod.phase == "Failed" and f"/{pod.name} " in f"{job.message} "), None)
    return named or last_failed([pod for pod in pods if not pod.disrupted and pod.exit_code not in FREE]) or last_failed(pods)


def last_failed(pods: Sequence[PodView]) -> PodView | None:
    """Return the pod that failed last, if one has."""
    return max((pod for pod in pods if pod.phase == "Failed"), key=lambda pod: pod.finished or NEVER, default=None)


def _said(text: str) -> Failure | None:
    """Return what a worker left; anything may be written there, and nothing but a failure is believed."""
    try:
        return Failure.model_validate(json.loads(text))
    except (ValueError, ValidationError, RecursionError):
        return None


def _seen(pod: PodView, section: str) -> Failure:
    if pod.ended_because == "OOMKilled":
        message = f"The pod {pod.name} needed more memory than {section}.resources.limits.memory allows: raise it, or use a smaller model."
        return Failure(reason="OOMKilled", message=message)
    if pod.ended_because == "Evicted":
        message = f"The pod {pod.name} was evicted by its node ({pod.message}): raise what is short in {section}.resources."
        return Failure(reason="Evicted", message=message)
    if pod.ended_because == "DeadlineExceeded":
        return Failure(reason="DeadlineExceeded", message=f"The pod {pod.name} took longer than {section}.deadline allows; raise it.")
    logs = f"`kubectl logs --namespace {pod.namespace} {pod.name}`"
    if pod.exit_code == ExitCode.KILLED:
        message = (
            f"The pod {pod.name} was killed (signal 9), most often because its node ran out of memory: raise "
            f"{section}.resources.requests.memory and limits.memory; {logs} may tell."
        )
        return Failure(reason="Killed", message=message)
    if pod.exit_code is None:
        return Failure(
            reason="NotStarted", message=f"The pod {pod.name} ended before its worker began ({pod.ended_because}: {pod.message})."
        )
    message = f"The pod {pod.name} ended with exit code {pod.exit_code} ({pod.ended_because}) without saying why; see {logs}."
    return Failure(reason="WorkerFailed", message=message)
