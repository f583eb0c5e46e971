"""The plan's actions, one function each; carried out twice, the second time finds it done. Each says whether it changed anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autollm.contract.tasks import TrainTask
from autollm.errors import InputError
from autollm.plan.actions import (
    Action,
    AskCandidate,
    DeleteTraining,
    DeleteTrial,
    EnsureEvaluators,
    EnsureTask,
    EnsureTraining,
    EnsureTrial,
    FailTrial,
    RestartEvaluator,
    SetTrainingStatus,
    SetTrainingWorkers,
    StopTask,
    candidate_trial,
)
from autollm.plan.conditions import settle
from autollm.plan.step import Verdict
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrialStatus
from autollm.resources.metadata import Failure
from autollm.resources.workers import Workers
from autollm.search import SpaceExhausted
from autollm_operator.api.port import Api, ConflictError, Document
from autollm_operator.api.resources import JOBS, PODS, SERVICES, TRAININGS, TRIALS, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.cache.parsed import Parsed
from autollm_operator.cache.views import JobView, Owner
from autollm_operator.jobs.build import build_evaluators, build_job, resize_patch
from autollm_operator.jobs.service import build_service
from autollm_operator.reconcile.children import NotYet, Obstacle, Parent, create
from autollm_operator.reconcile.refusals import Refusals
from autollm_operator.reconcile.rendezvous import EnsureService, Rendezvous
from autollm_operator.reconcile.status import Statuses
from autollm_operator.reconcile.suggesting import Suggesting
from autollm_operator.reconcile.tasks import is_stale
from autollm_operator.settings import Settings

KILL_SECONDS = 1
"""For a worker that hangs: long enough for its node to confirm that it is gone."""


@dataclass(frozen=True)
class Hands:
    """What actions are carried out with."""

    api: Api
    cache: Cache
    settings: Settings
    suggesting: Suggesting
    statuses: Statuses
    refusals: Refusals
    rendezvous: Rendezvous


@dataclass(frozen=True)
class Subject:
    """For whom they are carried out: a run, or a training or trial that belongs to none."""

    key: Key
    parent: Parent
    workers: Workers
    now: datetime

    @property
    def uid(self) -> str:
        """The uid of the run, training or trial."""
        return self.parent.owner.uid


def carry_out(hands: Hands, subject: Subject, action: Action | EnsureService) -> bool:
    """Carry out one action; say whether it changed anything.

    Raises Obstacle where a user has to change something first, NotYet where an earlier object is in the way, and the errors of the API.
    """
    match action:
        case EnsureTraining(training):
            return create(hands.api, hands.cache, TRAININGS, subject.parent.child(training))
        case SetTrainingStatus():
            return set_training_status(hands, subject, action)
        case SetTrainingWorkers():
            return set_training_workers(hands, subject, action)
        case EnsureTask():
            return ensure_task(hands, subject, action)
        case EnsureService(job):
            return ensure_service(hands, subject, job)
        case EnsureEvaluators():
            return ensure_evaluators(hands, subject, action)
        case StopTask(name):
            return stop_task(hands, subject, name)
        case RestartEvaluator():
            return restart_evaluator(hands, subject, action)
        case AskCandidate():
            return ask_candidate(hands, subject, action)
        case EnsureTrial(trial):
            return create(hands.api, hands.cache, TRIALS, subject.parent.child(trial))
        case FailTrial():
            return fail_trial(hands, subject, action)
        case DeleteTraining(name):
            return delete_child(hands, subject, TRAININGS, hands.cache.training(Key(TRAININGS.kind, subject.parent.namespace, name)))
        case DeleteTrial(name):
            return delete_child(hands, subject, TRIALS, hands.cache.trial(Key(TRIALS.kind, subject.parent.namespace, name)))


def set_training_status(hands: Hands, subject: Subject, action: SetTrainingStatus) -> bool:
    """Write the status fields of a training that the planner owns."""
    return hands.statuses.write(TRAININGS, _training(hands, subject, action.name), action.status)


def set_training_workers(hands: Hands, subject: Subject, action: SetTrainingWorkers) -> bool:
    """Write what the pods of a training may use: the Job that is made for it next is made so."""
    training = _training(hands, subject, action.name)
    change = _merge_patch(training.value.spec.workers.document() if training.value else {}, action.workers.document())
    if not change:
        return False
    patch = {"metadata": {"uid": training.uid}, "spec": {"workers": change}}
    return bool(hands.cache.put(TRAININGS, hands.api.patch(TRAININGS, training.namespace, training.name, patch)))


def _merge_patch(before: Document, after: Document) -> Document:
    """Return the JSON merge patch (RFC 7396) that makes one document another."""
    changed: Document = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := _merge_patch(old, value):
                changed[name] = inner
        elif name not in before or old != value:
            changed[name] = value
    return changed


def ensure_task(hands: Hands, subject: Subject, action: EnsureTask) -> bool:
    """Create the Job of a task, in place of one that failed for an earlier generation of the spec."""
    parent = subject.parent
    owner = parent.owner
    if isinstance(action.task, TrainTask):
        training = _training(hands, subject, action.task.training)
        owner = Owner(TRAININGS.kind, training.name, training.uid)
    if (known := _known_job(hands, owner, parent, action.task.id)) is not None:
        return known
    try:
        document = build_job(
            action.task,
            workers=subject.workers,
            owner=owner,
            namespace=parent.namespace,
            generation=parent.generation,
            settings=hands.settings,
        )
    except InputError as error:
        raise Obstacle(error.reason, str(error)) from error
    return create(hands.api, hands.cache, JOBS, document)


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
    try:
        document = build_evaluators(
            template,
            action.size,
            workers=subject.workers,
            owner=parent.owner,
            namespace=parent.namespace,
            generation=parent.generation,
            settings=hands.settings,
        )
    except InputError as error:
        raise Obstacle(error.reason, str(error)) from error
    return create(hands.api, hands.cache, JOBS, document)


def stop_task(hands: Hands, subject: Subject, name: str) -> bool:
    """Delete a Job from its pods upward: they save and end, and until then the Job stands for a task that runs."""
    job = hands.cache.job(subject.parent.namespace, name)
    if job is not None and not job.deleting and _is_ours(hands, subject, job):
        hands.api.delete(JOBS, job.namespace, job.name, uid=job.uid, propagation="Foreground")
    # What follows from it comes as an event: the Job is being deleted, and then gone.
    return False


def restart_evaluator(hands: Hands, subject: Subject, action: RestartEvaluator) -> bool:
    """Delete the pod of one index; the Job controller makes another as soon as it is gone."""
    job = hands.cache.job(subject.parent.namespace, action.id)
    for pod in hands.cache.pods(job.uid) if job is not None and job.owner == subject.parent.owner else ():
        if pod.index == action.slot and pod.started is not None and not pod.deleting:
            hands.api.delete(PODS, pod.namespace, pod.name, uid=pod.uid, grace_seconds=KILL_SECONDS)
    return False


def ask_candidate(hands: Hands, subject: Subject, action: AskCandidate) -> bool:
    """Create the trial of a suggested candidate once the optimiser has answered."""
    try:
        suggestion = hands.suggesting.ask(subject.uid, subject.key, action)
    except SpaceExhausted:
        return True
    if suggestion is None:
        return False
    return create(hands.api, hands.cache, TRIALS, subject.parent.child(candidate_trial(action, suggestion)))


def fail_trial(hands: Hands, subject: Subject, action: FailTrial) -> bool:
    """Write a failure in place of the result of a trial; a result that was there first stands."""
    key = Key(TRIALS.kind, subject.parent.namespace, action.name)
    trial = hands.cache.trial(key)
    if trial is None or trial.value is None or subject.uid not in (trial.uid, trial.owner.uid if trial.owner else ""):
        return False
    metadata = {"uid": trial.uid, "resourceVersion": str(trial.version)}
    patch = {"metadata": metadata, "status": failed_status(action.failure, trial.generation, subject.now).document()}
    try:
        hands.cache.put(TRIALS, hands.api.patch(TRIALS, key.namespace, key.name, patch, subresource="status"))
    except ConflictError:
        # Somebody wrote in between, most likely the evaluator its result: what stands now decides, at the next look.
        hands.cache.put(TRIALS, hands.api.get(TRIALS, key.namespace, key.name))
    return True


def delete_child(hands: Hands, subject: Subject, resource: Resource, child: Parsed[Any] | None) -> bool:
    """Delete a training or a trial that this run made, and with a training what is left of its Job."""
    if child is not None and not child.deleting and child.owner == subject.parent.owner:
        hands.api.delete(resource, child.namespace, child.name, uid=child.uid)
    # What follows from it comes as an event: it is being deleted, or gone.
    return False


def failed_status(failure: Failure, generation: int, now: datetime) -> MergeTrialStatus:
    """Return the status of a trial that will have no score."""
    verdict = Verdict("Succeeded", "False", failure.reason, failure.message)
    return MergeTrialStatus(observed_generation=generation, conditions=settle(None, [verdict], generation, now), failure=failure)


def _training(hands: Hands, subject: Subject, name: str) -> Parsed[DeltaTraining]:
    """Return a training of the subject's, or the subject itself; one that is somebody else's, or being deleted, is not touched."""
    training = hands.cache.training(Key(TRAININGS.kind, subject.parent.namespace, name))
    if training is None or training.deleting or subject.uid not in (training.uid, training.owner.uid if training.owner else ""):
        raise NotYet(f"the DeltaTraining {name} is not there any more")
    return training


def _is_ours(hands: Hands, subject: Subject, job: JobView) -> bool:
    if job.owner is None or job.owner == subject.parent.owner:
        return job.owner is not None
    training = hands.cache.training(Key(TRAININGS.kind, job.namespace, job.owner.name))
    return training is not None and training.uid == job.owner.uid and training.owner == subject.parent.owner


def _known_job(hands: Hands, owner: Owner, parent: Parent, name: str) -> bool | None:
    """Return None where a Job has to be created, else whether anything changed; one that is stale is deleted first."""
    job: JobView | None = hands.cache.job(parent.namespace, name)
    if job is None or job.owner != owner:
        return None
    if not is_stale(job, parent.generation):
        return False
    hands.api.delete(JOBS, job.namespace, job.name, uid=job.uid, propagation="Background")
    return None
