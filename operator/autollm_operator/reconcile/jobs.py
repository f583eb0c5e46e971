"""The plan's actions on Jobs and their pods: a task has a Job of its own, made anew where it failed for an earlier spec."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from autollm.contract.tasks import TrainTask
from autollm.errors import InputError
from autollm.plan.actions import EnsureEvaluators, EnsureTask, RestartEvaluator
from autollm_operator.api.port import Document, UnavailableError
from autollm_operator.api.resources import JOBS, SERVICES, TRAININGS
from autollm_operator.cache.keys import Key
from autollm_operator.cache.views import JobView, Owner
from autollm_operator.jobs.build import build_evaluators, build_job, resize_patch
from autollm_operator.jobs.service import build_service
from autollm_operator.reconcile.children import Obstacle, create, own_training
from autollm_operator.reconcile.hands import Hands, Subject
from autollm_operator.reconcile.tasks import is_stale

KILL_SECONDS = 1
"""For a worker that hangs: long enough for its node to confirm that it is gone."""


def ensure_task(hands: Hands, subject: Subject, action: EnsureTask) -> bool:
    """Create the Job of a task, in place of one that failed for an earlier generation of the spec."""
    parent = subject.parent
    owner = parent.owner
    if isinstance(action.task, TrainTask):
        training = own_training(hands.cache, parent, action.task.training)
        owner = Owner(TRAININGS.kind, training.name, training.uid)
    if (known := _known_job(hands, subject, action.task.id)) is not None:
        return known
    return _create_job(hands, subject, owner, partial(build_job, action.task))


def ensure_service(hands: Hands, subject: Subject, job: JobView) -> bool:
    """Create the Service by which the pods of a Job find each other, if it is not there."""
    create(hands.api, hands.cache, SERVICES, build_service(job, subject.parent.run))
    hands.rendezvous.seen(job, subject.now)
    return False


def ensure_evaluators(hands: Hands, subject: Subject, action: EnsureEvaluators) -> bool:
    """Create the Job of the evaluators, in place of one that failed, or give it as many completions as there are slots."""
    parent, template = subject.parent, action.template
    job = hands.cache.job(parent.namespace, template.id)
    if job is not None and job.owner == parent.owner and job.outcome is None and not job.deleting and job.size != action.size:
        patch = {"metadata": {"uid": job.uid}, **resize_patch(action.size)}
        # What admission control sets back to what it was is not asked for again before something happens.
        return bool(hands.cache.put(JOBS, hands.api.patch(JOBS, parent.namespace, job.name, patch)))
    if job is not None and job.owner == parent.owner:
        if job.outcome != "Failed" or job.deleting:
            return False
        hands.api.delete(JOBS, job.namespace, job.name, uid=job.uid, propagation="Background")
    return _create_job(hands, subject, parent.owner, partial(build_evaluators, template, action.size))


def stop_task(hands: Hands, subject: Subject, name: str) -> bool:
    """Delete a Job from its pods upward: they save and end, and until then the Job stands for a task that runs."""
    job = hands.cache.job(subject.parent.namespace, name)
    if job is not None and not job.deleting and _is_ours(hands, subject, job):
        hands.api.delete(JOBS, job.namespace, job.name, uid=job.uid, propagation="Foreground")
    # What follows from it comes as an event: the Job is being deleted, and then gone.
    return False


def restart_evaluator(hands: Hands, subject: Subject, action: RestartEvaluator) -> bool:
    """Evict the pod of one index; the Job controller makes another as soon as it is gone.

    Deleted, it would use up a retry of its slot, and trials that hang would end the search. Raises Obstacle while it may not be evicted.
    """
    job = hands.cache.job(subject.parent.namespace, action.id)
    for pod in hands.cache.pods(job.uid) if job is not None and job.owner == subject.parent.owner else ():
        if pod.index == action.slot and pod.started is not None and not pod.deleting:
            try:
                hands.api.evict(pod.namespace, pod.name, uid=pod.uid, grace_seconds=KILL_SECONDS)
            except UnavailableError as error:
                if error.status != HTTPStatus.TOO_MANY_REQUESTS:
                    raise
                message = f"The evaluator in the pod {pod.name} hangs and cannot be replaced while a PodDisruptionBudget keeps it: {error}"
                raise Obstacle("EvictionRefused", message) from error
    return False


def _create_job(hands: Hands, subject: Subject, owner: Owner, build: Callable[..., Document]) -> bool:
    parent = subject.parent
    try:
        document = build(
            workers=subject.workers, owner=owner, namespace=parent.namespace, generation=parent.generation, settings=hands.settings
        )
    except InputError as error:
        raise Obstacle(error.reason, str(error)) from error
    return create(hands.api, hands.cache, JOBS, document)


def _is_ours(hands: Hands, subject: Subject, job: JobView) -> bool:
    if job.owner is None or job.owner == subject.parent.owner:
        return job.owner is not None
    training = hands.cache.training(Key(TRAININGS.kind, job.namespace, job.owner.name))
    return training is not None and training.uid == job.owner.uid and training.owner == subject.parent.owner


def _known_job(hands: Hands, subject: Subject, name: str) -> bool | None:
    """Return None where a Job has to be created, else whether anything changed; one that is stale is deleted first.

    It may belong to another training of the run, whose delta had another name when it failed: the key alone names the Job.
    """
    job: JobView | None = hands.cache.job(subject.parent.namespace, name)
    if job is None or not _is_ours(hands, subject, job):
        return None
    if not is_stale(job, subject.parent.generation):
        return False
    hands.api.delete(JOBS, job.namespace, job.name, uid=job.uid, propagation="Background")
    return None
