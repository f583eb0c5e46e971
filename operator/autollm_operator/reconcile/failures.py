"""Why a task failed: what its worker said, or what the way it ended says, with the field to change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from autollm.contract.exit_codes import FREE, ExitCode
from autollm.contract.termination import read_last_words
from autollm.resources.metadata import Failure
from autollm_operator.cache.pods import one_line
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.jobs.kinds import KINDS_OF_TASKS

SECTIONS = {name.lower(): kind.section for name, kind in KINDS_OF_TASKS.items()}
NEVER = datetime.min.replace(tzinfo=UTC)


def failure_of_job(job: JobView, pods: Sequence[PodView]) -> Failure:
    """Return why a Job failed: as it was kept when it did, or else as its pods tell."""
    if (kept := read_last_words(job.failure).failure) is not None:
        return kept
    if job.reason == "DeadlineExceeded":
        message = f"It took longer than {_section(job)}.deadline allows; raise it to go on from what was saved."
        last = last_failed(pods)
        if last is not None and last.exit_code == ExitCode.UNAVAILABLE and (said := read_last_words(last.termination).failure):
            message = f"{message} At last a server was away: {said.message}"
        return Failure(reason="DeadlineExceeded", message=message)
    pod = deciding_pod(job, pods)
    if pod is None:
        message = f"The Job {job.name} failed ({job.reason}: {one_line(job.message)}), and no pod of it is left that could tell why."
        return Failure(reason="JobFailed", message=message)
    return failure_of_pod(job, pod)


def failure_of_pod(job: JobView, pod: PodView) -> Failure:
    """Return why a pod of a Job failed: as its worker said, or else as Kubernetes saw it."""
    return read_last_words(pod.termination).failure or _seen(pod, _section(job))


def deciding_pod(job: JobView, pods: Sequence[PodView]) -> PodView | None:
    """Return the pod whose end decided that of its Job: the one that Kubernetes names, or else the last one that failed by itself.

    Of a Job that gave an index up, one of that index: the others were stopped because of it, and may have ended later.
    """
    named = next((pod for pod in pods if pod.phase == "Failed" and f"/{pod.name} " in f"{job.message} "), None)
    pods = [pod for pod in pods if pod.index in job.failed_indexes] or pods
    return named or last_failed([pod for pod in pods if not pod.disrupted and pod.exit_code not in FREE]) or last_failed(pods)


def last_failed(pods: Sequence[PodView]) -> PodView | None:
    """Return the pod that failed last, if one has."""
    return max((pod for pod in pods if pod.phase == "Failed"), key=lambda pod: pod.finished or NEVER, default=None)


def _section(job: JobView) -> str:
    return f"workers.{SECTIONS.get(job.task, job.task)}"


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
