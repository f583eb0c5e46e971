"""What is done for a DeltaTraining or a MergeTrial that somebody made by hand, of which no run's plan knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from autollm.contract.keys import delta_key, key_parts
from autollm.contract.tasks import EvaluateTask, TrainTask
from autollm.plan.actions import Action, FailTrial, StopTask
from autollm.plan.conditions import decided_since, settle, summary
from autollm.plan.deltas import delta_keys, known_deltas
from autollm.plan.errands import Errand, ending, errand, in_hand, task_id
from autollm.plan.landscape import evaluator, is_pending
from autollm.plan.names import present_name
from autollm.plan.prepare import current_preparation
from autollm.plan.problems import instead
from autollm.plan.snapshot import Snapshot, TaskState
from autollm.plan.step import Ended, Verdict, Working
from autollm.plan.trainings import planned_trainings
from autollm.plan.waiting import Wait, with_waits
from autollm.resources.delta_training import DeltaTraining, DeltaTrainingSpec, DeltaTrainingStatus
from autollm.resources.facts import Prepared
from autollm.resources.merge_trial import MergeTrial, MergeTrialStatus
from autollm.resources.metadata import Condition

Status = TypeVar("Status", DeltaTrainingStatus, MergeTrialStatus)

LOOK_AGAIN = timedelta(minutes=1)
"""For a trial that its run keeps waiting: what it waits for may come without a word to the trial."""


@dataclass(frozen=True)
class AlonePlan(Generic[Status]):
    """What is to be done, in this order, and what the status then says.

    Attributes:
        status: The fields that the planner owns; written before the actions are carried out. The outcome of a trial is final, and then
            it is all of the status.
        requeue_after: When to plan again even if nothing happens.
    """

    actions: tuple[Action, ...]
    status: Status
    requeue_after: timedelta | None = None


def plan_training(training: DeltaTraining, task: TaskState | None, now: datetime) -> AlonePlan[DeltaTrainingStatus]:
    """Decide what to do for a training that no run owns; `task` is how its task is doing, None where there is none."""
    state, doing = _training_now(training, task, now)
    before, generation = training.status or DeltaTrainingStatus(), training.metadata.generation
    conditions = settle(before.conditions, summary(state), generation, now)
    status = DeltaTrainingStatus(observed_generation=generation, conditions=conditions, failure=doing.failure)
    return AlonePlan(doing.actions, status, _until(doing, now))


def plan_trial(trial: MergeTrial, run: Snapshot | None, task: TaskState | None, now: datetime) -> AlonePlan[MergeTrialStatus]:
    """Decide what to do for a trial without a slot.

    Args:
        trial: The trial, whose condition Succeeded is False without a failure while something in it or in its run has to be mended.
        run: The run that it names, in its own namespace; None where there is none.
        task: How the evaluator that was started for it is doing, whatever the run has become since; None where there is none.
        now: The time.
    """
    if not is_pending(trial):
        status = trial.status or MergeTrialStatus()
        done = _ending(task, status.conditions, now)
        return AlonePlan(done.actions, status, _until(done, now))
    asked = _evaluation(trial, run) if task is None else None
    if isinstance(asked, Verdict):
        return AlonePlan((), _with(trial, asked, now), LOOK_AGAIN)
    doing = errand(asked, None, now) if asked is not None else in_hand(task, now) if task is not None else Errand()
    if doing.failure is not None:
        verdict = Verdict("Succeeded", "False", doing.failure.reason, doing.failure.message)
        return AlonePlan((FailTrial(trial.metadata.name, doing.failure),), _with(trial, verdict, now))
    message = with_waits("An evaluator scores it.", [Wait(task.id if task else "", doing.waiting)])
    return AlonePlan(doing.actions, _with(trial, Verdict("Succeeded", "Unknown", "Scoring", message), now), _until(doing, now))


def _training_now(training: DeltaTraining, task: TaskState | None, now: datetime) -> tuple[Working | Ended, Errand]:
    name, spec = training.metadata.name, training.spec
    if training.status is not None and training.status.delta is not None:
        return Ended(True, "Trained", "The delta is in the artifacts."), _ending(task, training.status.conditions, now)
    key = _key_of(spec)
    if key != spec.key:
        message = f"spec.key: what this training is asked has the digest {key}, not {spec.key}; make another DeltaTraining with that key."
        return Ended(False, "KeyMismatch", message), Errand()
    made_by = TrainTask(id=task_id(name, "Train", name, key), run=name, training=name, spec=spec)
    doing = errand(made_by, task, now)
    if doing.failure is not None:
        return Ended(False, doing.failure.reason, doing.failure.message), doing
    message = with_waits(f"The delta {spec.delta} is being trained.", [Wait(made_by.id, doing.waiting)])
    return Working("Training", message), doing


def _ending(task: TaskState | None, conditions: Sequence[Condition] | None, now: datetime) -> Errand:
    """Return what is to be done about the task of an outcome that is there: it is stopped where it does not end by itself."""
    doing = ending(task, decided_since(conditions, "Succeeded", now), now)
    if task is None or task.phase != "Running" or doing.tasks:
        return doing
    return Errand(actions=(StopTask(task.id),))


def _key_of(spec: DeltaTrainingSpec) -> str:
    """Return the key under which the delta may lie in the artifacts, where others believe it."""
    model, chunks = spec.model, spec.chunk.digests
    parts = key_parts(spec.method, spec.adapter)
    return delta_key(parts, base=model.digest, dtype=model.dtype, chunks=chunks, start=spec.start, max_tokens=spec.max_tokens)


def _evaluation(trial: MergeTrial, run: Snapshot | None) -> EvaluateTask | Verdict:
    """Return the task that scores a trial, or why there can be none now."""
    wanted = trial.spec.run
    if run is None:
        return _wrong("RunNotFound", f"spec.run: there is no AutoLLMRun {wanted} in this namespace; make it, or make a trial of another.")
    if run.spec.suspend:
        return _later("Suspended", f"The run {wanted} is suspended.")
    prepared = current_preparation(run)
    if prepared is None:
        return _later("RunNotPrepared", f"The data of the run {wanted} is not prepared.")
    planned = planned_trainings(run.spec, prepared)
    keys = delta_keys(prepared, planned)
    named = _named(trial, prepared)
    if unknown := [written for written, name in named.items() if name not in keys]:
        message = f"spec.weights: the run {wanted} has no delta {unknown[0]}{instead(unknown[0], list(keys))}; make another trial."
        return _wrong("UnknownDelta", message)
    if missing := _missing(run, known_deltas(run, prepared, planned), prepared, [keys[name] for name in named.values()]):
        return missing
    # Held under the names by which the trial gives their weights.
    task = evaluator(wanted, run.spec, prepared, {written: keys[name] for written, name in named.items()})
    name = trial.metadata.name
    return task.model_copy(update={"id": task_id(name, "Evaluate", name), "trial": name})


def _named(trial: MergeTrial, prepared: Prepared) -> Mapping[str, str]:
    """Return the present names of the deltas that the trial gives a weight, by the names that it uses."""
    chunks = {chunk.name for chunk in prepared.chunks}
    return {name: present_name(name, chunks) for name, weight in trial.spec.weights.items() if weight != 0}


def _missing(run: Snapshot, known: frozenset[str], prepared: Prepared, keys: Sequence[str]) -> Verdict | None:
    """Return which of these deltas is not there, and why, if one is not."""
    ready = known | {delta.key for delta in prepared.imported}
    children = {training.spec.key: training for training in run.trainings}
    for key in keys:
        child = children.get(key)
        if key in ready:
            continue
        if child is not None and child.status is not None and child.status.failure is not None:
            told = child.status.failure.message
            return _wrong("DeltaFailed", f"The run {run.name} could not make the delta {child.spec.delta}: {told}")
        called = child.spec.delta if child is not None else key
        return _later("DeltaNotReady", f"The run {run.name} has not made the delta {called} yet.")
    return None


def _wrong(reason: str, message: str) -> Verdict:
    return Verdict("Succeeded", "False", reason, message)


def _later(reason: str, message: str) -> Verdict:
    return Verdict("Succeeded", "Unknown", reason, message)


def _with(trial: MergeTrial, verdict: Verdict, now: datetime) -> MergeTrialStatus:
    before, generation = trial.status or MergeTrialStatus(), trial.metadata.generation
    return MergeTrialStatus(observed_generation=generation, conditions=settle(before.conditions, [verdict], generation, now))


def _until(doing: Errand, now: datetime) -> timedelta | None:
    return None if doing.look_again is None else max(doing.look_again - now, timedelta(0))
