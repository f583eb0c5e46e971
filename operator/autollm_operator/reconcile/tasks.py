"""How tasks are doing, by their Jobs and the Jobs' pods."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from autollm.contract.termination import read_last_words
from autollm.plan.snapshot import Phase, TaskKind, TaskState
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.reconcile.deaths import deaths_by_trial, last_died_on
from autollm_operator.reconcile.failures import deciding_pod, failure_of_job, last_failed

KIND_OF_LABEL: Mapping[str, TaskKind] = {"prepare": "Prepare", "train": "Train", "evaluate": "Evaluate", "publish": "Publish", "pin": "Pin"}

PODS_APPEAR = timedelta(seconds=30)
"""How long the Job controller may take to make a pod before something is in its way: a quota, or what the namespace admits."""

LATE = timedelta(minutes=1)
"""How much longer than its grace period a pod may take to be gone: after that, its node is not there to say that it has ended."""


def task_states(cache: Cache, owners: Iterable[str], generation: int, now: datetime) -> Iterator[TaskState]:
    """Yield the state of every task whose Job one of these owners controls.

    A Job that failed for an earlier generation of the spec does not count: its task is tried again, if it is still wanted.
    """
    for uid in owners:
        for job in cache.jobs(uid):
            if job.task in KIND_OF_LABEL and not is_stale(job, generation):
                yield task_state(job, cache.pods(job.uid), now)


def jobs_of(cache: Cache, uid: str) -> Iterator[JobView]:
    """Yield every Job that is run for a run, a training or a trial."""
    yield from cache.jobs(uid)
    for training in cache.children(uid).trainings:
        yield from cache.jobs(training.uid)


def next_look(cache: Cache, jobs: Iterable[JobView], now: datetime) -> timedelta | None:
    """Return after what time a Job that has no pod yet, or one that does not go, waits for something of which no event tells."""
    looks: list[timedelta] = []
    for job in jobs:
        if job.outcome is not None or job.suspended:
            continue
        pods = cache.pods(job.uid)
        looks += [pod.gone_by + LATE - now for pod in pods if pod.gone_by is not None]
        if not pods and not job.deleting and job.started is not None:
            looks.append(job.started + PODS_APPEAR - now)
    return min((look for look in looks if look > timedelta(0)), default=None)


def is_stale(job: JobView, generation: int) -> bool:
    """Say whether a Job is the record of a failure that a newer spec has overtaken."""
    return job.outcome == "Failed" and job.generation < generation and not job.deleting


def task_state(job: JobView, pods: Iterable[PodView], now: datetime) -> TaskState:
    """Return how one task is doing. It runs also while it is queued, suspended, tried again, or being stopped."""
    pods = tuple(pods)
    outcome = None if job.deleting else job.outcome
    phase: Phase = "Running" if outcome is None else "Succeeded" if outcome == "Complete" else "Failed"
    at_work = _at_work(pods)
    decided = deciding_pod(job, pods) if phase == "Failed" else None
    return TaskState(
        id=job.name,
        kind=KIND_OF_LABEL[job.task],
        phase=phase,
        failure=failure_of_job(job, pods) if phase == "Failed" else None,
        exit_code=0 if phase == "Succeeded" else decided.exit_code if decided else None,
        started=job.started,
        finished=job.finished if phase != "Running" else None,
        slots={pod.index: pod.started for pod in at_work if pod.started is not None},
        wanted={pod.index: pod.created for pod in at_work if pod.created is not None},
        vacant=_vacant(job, pods, {pod.index for pod in at_work}) if job.task == "evaluate" else {},
        size=job.size,
        deaths=deaths_by_trial(job, pods) if job.task == "evaluate" else {},
        died_on=last_died_on(job, pods) if job.task == "evaluate" and phase == "Failed" else "",
        waiting=_waiting(job, pods, now) if phase == "Running" else "",
    )


def _at_work(pods: Iterable[PodView]) -> list[PodView]:
    """Return the pods whose worker runs, and of each index the last one last."""
    found = [(pod.started, pod.index, pod) for pod in pods if pod.started is not None and not pod.deleting]
    return [pod for _, _, pod in sorted(found, key=lambda one: one[:2])]


def _vacant(job: JobView, pods: Iterable[PodView], at_work: Collection[int]) -> dict[int, datetime]:
    """Return since when each index without a worker has had none: since its pod was made, ended or was to go, else since the Job began."""
    if job.started is None:
        return {}
    since = dict.fromkeys((index for index in range(job.size) if index not in at_work), job.started)
    for pod in pods:
        if pod.index in since:
            since[pod.index] = max(moment for moment in (since[pod.index], pod.created, pod.finished, pod.gone_by) if moment is not None)
    return since


def _waiting(job: JobView, pods: Iterable[PodView], now: datetime) -> str:
    pods = tuple(pods)
    leaving = [pod for pod in pods if pod.gone_by is not None and pod.phase in ("Pending", "Running")]
    for pod in leaving:
        if pod.gone_by is not None and pod.gone_by + LATE <= now:
            lost = f"Its pod {pod.name} is being deleted, and its node {pod.node} does not say that it has ended"
            return f"{lost}: if that node is lost for good, `kubectl delete node {pod.node}` lets another pod begin."
    if job.deleting:
        return "It saves what it has and stops."
    if job.suspended:
        return f"It is queued: the Job {job.name} is suspended until its turn comes."
    present = [pod for pod in pods if not pod.deleting and pod.phase in ("Pending", "Running")]
    if present:
        why = next((pod.waiting for pod in sorted(present, key=lambda pod: pod.index) if pod.waiting), "")
        running = sum(pod.phase == "Running" for pod in present)
        return f"{why.rstrip('.')}. {running} of {job.size} pods run." if why and running else why
    if leaving:
        return f"Its pod {leaving[0].name} saves what it has and stops; Kubernetes then makes another."
    if (last := last_failed(pods)) is not None:
        ended = f"exit code {last.exit_code}" if last.exit_code is not None else "no exit code"
        said = read_last_words(last.termination).failure
        why = f" {said.reason}: {said.message}" if said is not None else ""
        return f"Its pod {last.name} ended with {ended} ({last.ended_because}); Kubernetes makes another, later each time.{why}"
    if job.started is None or now < job.started + PODS_APPEAR:
        return ""
    hint = "a quota, a missing ServiceAccount or what the namespace admits may be in the way"
    return f"The Job {job.name} has no pod: {hint}; `kubectl describe job --namespace {job.namespace} {job.name}` tells."
