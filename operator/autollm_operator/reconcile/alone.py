"""One pass over a DeltaTraining or a MergeTrial that somebody made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from autollm.plan.actions import FailTrial, StopTask
from autollm.plan.alone import AlonePlan, plan_training, plan_trial
from autollm.plan.conditions import settle, summary
from autollm.plan.landscape import is_pending
from autollm.plan.problems import Problem
from autollm.plan.snapshot import Snapshot, TaskState
from autollm.plan.step import Ended, Verdict
from autollm.resources.delta_training import DeltaTraining, DeltaTrainingStatus
from autollm.resources.merge_trial import MergeTrial, MergeTrialStatus
from autollm_operator.api.resources import RUNS, TRAININGS, TRIALS, Resource
from autollm_operator.cache.keys import Key
from autollm_operator.cache.parsed import Parsed
from autollm_operator.reconcile.attempts import AT_ONCE, Attempts
from autollm_operator.reconcile.hands import Hands, Subject
from autollm_operator.reconcile.keeping import keep_or_expire
from autollm_operator.reconcile.observing import observe
from autollm_operator.reconcile.obstacles import Obstacles
from autollm_operator.reconcile.outdated import outdated
from autollm_operator.reconcile.policy import refused_training
from autollm_operator.reconcile.tasks import next_look, task_states

AnyAlonePlan = AlonePlan[DeltaTrainingStatus] | AlonePlan[MergeTrialStatus]


def reconcile_training(
    hands: Hands, obstacles: Obstacles, row: Parsed[DeltaTraining], training: DeltaTraining, subject: Subject
) -> float | None:
    """Have a training that no run owns carried out; return in how many seconds to look again."""
    refused = refused_training(training.spec, hands.settings)
    made = plan_training(training, _task(hands, row, subject.now), subject.now)
    problem = refused or obstacles.first(row.uid)
    ready = training.status is not None and training.status.delta is not None
    status = made.status if problem is None or ready else _stalled_training(training, problem, subject.now)
    hands.statuses.write(TRAININGS, row, status)
    renewals = _renewals(hands, row, subject, lambda: plan_training(training, None, subject.now))
    actions = (*made.actions, *renewals) if refused is None else ()
    return _act(hands, obstacles, row, AlonePlan(actions, status, made.requeue_after), subject, reported=ready)


def reconcile_trial(hands: Hands, obstacles: Obstacles, row: Parsed[MergeTrial], trial: MergeTrial, subject: Subject) -> float | None:
    """Have a trial scored that somebody made by hand; return in how many seconds to look again."""
    task = _task(hands, row, subject.now)
    run = _run_of(hands, trial, row.namespace, subject.now)
    refusal = _refused_trial(trial, run)
    refused = refusal if task is None else None
    made = plan_trial(trial, run, task, subject.now)
    problem = refused or obstacles.first(row.uid)
    status = made.status if problem is None or not is_pending(trial) else _failing_trial(trial, problem, subject.now)
    # An outcome is written at once, with its condition, and nothing after it.
    if is_pending(trial) and not any(isinstance(action, FailTrial) for action in made.actions):
        hands.statuses.write(TRIALS, row, status)
    renewals = _renewals(hands, row, subject, lambda: plan_trial(trial, run, None, subject.now)) if refusal is None else ()
    made = AlonePlan((*made.actions, *renewals) if refused is None else (), status, made.requeue_after)
    return _act(hands, obstacles, row, made, subject, reported=not is_pending(trial))


def say_unreadable(hands: Hands, resource: Resource, row: Parsed[Any], now: datetime) -> None:
    """Say that this version of the operator cannot read an object, which a newer one has stored; an outcome of a trial stays as it is."""
    if not row.raw_status.keys() & {"score", "failure"}:
        problem = Problem("NotReadable", f"This version of the operator cannot read the {resource.kind}; upgrade it. {row.problem}")
        hands.statuses.write_problem(resource, row, problem, now)


def _renewals(hands: Hands, row: Parsed[Any], subject: Subject, without_job: Callable[[], AnyAlonePlan]) -> tuple[StopTask, ...]:
    """Return what stops a Job that waits with other workers than are asked for now, if a plan that knows of no Job asks for one."""
    stops = tuple(outdated(hands, subject, hands.cache.jobs(row.uid)))
    return stops if stops and without_job().actions else ()


def _act(hands: Hands, obstacles: Obstacles, row: Parsed[Any], made: AnyAlonePlan, subject: Subject, *, reported: bool) -> float | None:
    attempts, problem = Attempts(hands, obstacles, subject), obstacles.first(row.uid)
    changed = attempts.all(made.actions)
    jobs = hands.cache.jobs(row.uid)
    services = hands.rendezvous.due(jobs, subject.now)
    attempts.all(services)
    obstacles.retain(row.uid, [*made.actions, *services])
    keep_or_expire(hands, subject, attempts, jobs, lambda job: reported)
    attempts.end()
    again = AT_ONCE if changed or obstacles.first(row.uid) != problem else None
    waits = [obstacles.next_look(row.uid, subject.now), next_look(hands.cache, jobs, subject.now)]
    looks = [again, made.requeue_after, *waits, *attempts.looks]
    return min((look.total_seconds() for look in looks if look is not None), default=None)


def _task(hands: Hands, row: Parsed[Any], now: datetime) -> TaskState | None:
    return next(task_states(hands.cache, [row.uid], row.generation, now), None)


def _run_of(hands: Hands, trial: MergeTrial, namespace: str, now: datetime) -> Snapshot | None:
    row = hands.cache.run(Key(RUNS.kind, namespace, trial.spec.run))
    return observe(hands, row, row.value, now) if row is not None and row.value is not None and not row.deleting else None


def _refused_trial(trial: MergeTrial, run: Snapshot | None) -> Problem | None:
    if not trial.spec.by_hand:
        message = (
            f"spec.landscape, number, slot and origin are for the run {trial.spec.run} to set, which did not make this: leave them out."
        )
        return Problem("NotOfItsRun", message)
    return run.refused if run is not None else None


def _stalled_training(training: DeltaTraining, problem: Problem, now: datetime) -> DeltaTrainingStatus:
    before, generation = training.status or DeltaTrainingStatus(), training.metadata.generation
    verdicts = summary(Ended(False, problem.reason, problem.message))
    return DeltaTrainingStatus(observed_generation=generation, conditions=settle(before.conditions, verdicts, generation, now))


def _failing_trial(trial: MergeTrial, problem: Problem, now: datetime) -> MergeTrialStatus:
    before, generation = trial.status or MergeTrialStatus(), trial.metadata.generation
    verdicts = [Verdict("Succeeded", "False", problem.reason, problem.message)]
    return MergeTrialStatus(observed_generation=generation, conditions=settle(before.conditions, verdicts, generation, now))
