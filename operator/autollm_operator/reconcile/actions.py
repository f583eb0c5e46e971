"""The plan's actions, one function each; carried out twice, the second time finds it done. Each says whether it changed anything."""

from __future__ import annotations

from datetime import datetime
from typing import Any

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
from autollm.resources.merge_trial import MergeTrialStatus
from autollm.resources.metadata import Failure
from autollm.search import SpaceExhausted
from autollm_operator.api.port import ConflictError, Document
from autollm_operator.api.resources import TRAININGS, TRIALS, Resource
from autollm_operator.cache.keys import Key
from autollm_operator.cache.parsed import Parsed
from autollm_operator.reconcile.children import create, own_training
from autollm_operator.reconcile.hands import Hands, Subject
from autollm_operator.reconcile.jobs import ensure_evaluators, ensure_service, ensure_task, restart_evaluator, stop_task
from autollm_operator.reconcile.rendezvous import EnsureService


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
    return hands.statuses.write(TRAININGS, own_training(hands.cache, subject.parent, action.name), action.status)


def set_training_workers(hands: Hands, subject: Subject, action: SetTrainingWorkers) -> bool:
    """Write what the pods of a training may use: the Job that is made for it next is made so."""
    training = own_training(hands.cache, subject.parent, action.name)
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
