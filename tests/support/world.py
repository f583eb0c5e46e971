"""A made-up world in which plans are carried out: objects in dictionaries, tasks that end when the test says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from autollm.contract.exit_codes import ExitCode
from autollm.contract.tasks import EvaluateTask, PinTask, PrepareTask, PublishTask, TrainTask
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
from autollm.plan.conditions import stamp
from autollm.plan.landscape import failure_of, is_pending
from autollm.plan.plan import Plan, plan
from autollm.plan.snapshot import Snapshot, TaskState
from autollm.resources.delta_training import DeltaTraining, DeltaTrainingSpec, DeltaTrainingStatus
from autollm.resources.facts import Prepared, PublishedRevision, TrainedDelta, TrialResult
from autollm.resources.merge_trial import MergeTrial, MergeTrialStatus
from autollm.resources.metadata import Failure
from autollm.resources.run import AutoLLMRun, RunSpec
from autollm.resources.run_status import RunStatus
from autollm.search import SpaceExhausted, Suggestion, suggest
from support import synthetic

START = datetime(2026, 1, 1, tzinfo=UTC)
WORKER_FIELDS = {"delta", "progress"}
AnyErrand = PrepareTask | TrainTask | EvaluateTask | PublishTask | PinTask


class Workers(Protocol):
    """What tasks and trials come to."""

    def prepared(self, task: PrepareTask, existing: Collection[str] = (), published: PublishedRevision | None = None) -> Prepared: ...

    def trained(self, spec: DeltaTrainingSpec) -> TrainedDelta: ...

    def result(self, trial: MergeTrial, others: Mapping[str, MergeTrial]) -> TrialResult: ...

    def published(self, task: PublishTask, before: int) -> PublishedRevision: ...

    def pinned(self, task: PinTask, revisions: Mapping[str, PublishedRevision]) -> PublishedRevision: ...


class World:
    """Executes actions on dictionaries. `done` logs every piece of work that was really done, for tests to count.

    `workers` says what tasks and trials come to: the functions of `synthetic`, or others of the same names.
    """

    def __init__(self, run: AutoLLMRun, workers: Workers = synthetic) -> None:
        self.run = run
        self.workers = workers
        self.trainings: dict[str, DeltaTraining] = {}
        self.trials: dict[str, MergeTrial] = {}
        self.tasks: dict[str, tuple[AnyErrand, TaskState]] = {}
        self.revisions: dict[str, PublishedRevision] = {}
        self.deltas: set[str] = set()
        self.exhausted: dict[str, int] = {}
        self.ahead: tuple[AskCandidate, Suggestion] | None = None
        self.failed_before: frozenset[str] = frozenset()
        self.now = START
        self.done: list[str] = []
        self.fails: Callable[[AnyErrand | MergeTrial], Failure | None] = lambda work: None

    def snapshot(self) -> Snapshot:
        """Return the world as a planner sees it."""
        states = tuple(state for _, state in self.tasks.values())
        children = tuple(self.trainings.values()), tuple(self.trials.values())
        return Snapshot(self.run, *children, states, exhausted=dict(self.exhausted), failed_before=self.failed_before)

    def plan(self) -> Plan:
        """Plan, and write the status as a shell does before it acts."""
        made = plan(self.snapshot(), self.now)
        status = self.run.status or RunStatus()
        self.run = self.run.model_copy(
            update={"status": made.status.model_copy(update={"prepared": status.prepared, "published": status.published})}
        )
        return made

    def change(self, spec: RunSpec) -> None:
        """Let the user apply another spec."""
        metadata = self.run.metadata.model_copy(update={"generation": self.run.metadata.generation + 1})
        self.run = self.run.model_copy(update={"metadata": metadata, "spec": spec})

    def run_again(self) -> None:
        """Let the user ask for the run again: another engine knows of no task, and of trials what they came to."""
        self.tasks.clear()
        self.failed_before = frozenset(name for name, trial in self.trials.items() if failure_of(trial) is not None)

    def act(self, action: Action) -> None:
        """Carry out one action; once more changes nothing."""
        match action:
            case EnsureTraining(training):
                metadata = training.metadata.model_copy(update={"creation_timestamp": stamp(self.now)})
                self.trainings.setdefault(training.metadata.name, training.model_copy(update={"metadata": metadata}))
            case SetTrainingStatus(name, status):
                self._patch_training(name, **{key: value for key, value in status if value is not None or key not in WORKER_FIELDS})
            case SetTrainingWorkers(name, workers):
                training = self.trainings[name]
                self.trainings[name] = training.model_copy(update={"spec": training.spec.model_copy(update={"workers": workers})})
            case EnsureTask(task):
                self.tasks.setdefault(task.id, (task, TaskState(task.id, task.kind, "Running", started=self.now)))
            case EnsureEvaluators(template, size):
                started = self.tasks[template.id][1].started if template.id in self.tasks else self.now
                slots = dict.fromkeys(range(size), self.now)
                state = TaskState(template.id, "Evaluate", "Running", started=started, size=size, slots=slots)
                self.tasks[template.id] = (template, state)
            case StopTask(name):
                self.tasks.pop(name, None)
            case RestartEvaluator(name, slot):
                evaluator, state = self.tasks[name]
                self.tasks[name] = (evaluator, dataclasses.replace(state, slots={**state.slots, slot: self.now}))
            case AskCandidate():
                self._suggest(action)
            case EnsureTrial(trial):
                self._create(trial)
            case FailTrial(name, failure):
                self._end_trial(name, MergeTrialStatus(failure=failure))
            case DeleteTraining(name):
                self.trainings.pop(name, None)
            case DeleteTrial(name):
                self.trials.pop(name, None)

    def running(self) -> list[str]:
        """Return what could end next: tasks by id, and trials whose evaluator is there by name."""
        found = [name for name, (task, state) in self.tasks.items() if state.phase == "Running" and task.kind != "Evaluate"]
        if any(task.kind == "Evaluate" for task, _ in self.tasks.values()):
            found += [name for name, trial in self.trials.items() if is_pending(trial)]
        return found

    def finish(self, name: str) -> None:
        """Let a task or a trial come to its end, and report."""
        self.now += timedelta(seconds=1)
        if name in self.trials:
            self._score(self.trials[name])
        else:
            self._finish_task(name)

    def lose(self, name: str) -> None:
        """Let an engine forget a task, as when it was killed before the task reported: the next plan asks for it again."""
        self.tasks.pop(name, None)

    def settle(self, limit: int = 500) -> Plan:
        """Plan, act and let everything end in order, until nothing is left to do."""
        for _ in range(limit):
            made = self.plan()
            for action in made.actions:
                self.act(action)
            waiting = self.running()
            if waiting:
                self.finish(waiting[0])
            elif not made.actions and made.requeue_after != timedelta(0):
                return made
        raise AssertionError(f"the run does not settle: {made.state}")

    def conditions(self) -> dict[str, tuple[str, str]]:
        """Return status and reason of every condition."""
        status = self.run.status
        return {condition.type: (condition.status, condition.reason) for condition in (status.conditions if status else None) or []}

    def final_state(self) -> dict[str, Any]:
        """Return all of the run that does not depend on times or on who did what first."""
        status = self.run.status
        document = status.document() if status else {}
        for condition in document.get("conditions", []):
            condition.pop("lastTransitionTime")
        return {
            "status": document,
            "trainings": sorted(self.trainings),
            "trials": {name: (trial.spec.weights, trial.status) for name, trial in sorted(self.trials.items())},
        }

    def _suggest(self, question: AskCandidate) -> None:
        """Create the trial of a candidate, one that was asked for ahead if there is one, or keep one for later."""
        try:
            if self.ahead is None or not question.is_answered_by(self.ahead[0]):
                self.ahead = (question, suggest(question.request))
        except SpaceExhausted:
            self.exhausted[question.landscape] = question.request.trials
            return
        if question.slot is not None:
            self._create(candidate_trial(question, self.ahead[1]))

    def _create(self, trial: MergeTrial) -> None:
        metadata = trial.metadata.model_copy(update={"creation_timestamp": stamp(self.now)})
        self.trials.setdefault(trial.metadata.name, trial.model_copy(update={"metadata": metadata}))

    def _score(self, trial: MergeTrial) -> None:
        failure = self.fails(trial)
        if failure is not None:
            self._end_trial(trial.metadata.name, MergeTrialStatus(failure=failure))
            return
        self.done.append(trial.metadata.name)
        outcome = self.workers.result(trial, self.trials)
        self._end_trial(trial.metadata.name, MergeTrialStatus.model_validate(dict(outcome)))

    def _end_trial(self, name: str, status: MergeTrialStatus) -> None:
        if is_pending(self.trials[name]):
            self.trials[name] = self.trials[name].model_copy(update={"status": status})

    def _finish_task(self, name: str) -> None:
        task, state = self.tasks[name]
        failure = None if isinstance(task, EvaluateTask) else self.fails(task)
        if failure is not None:
            failed = dataclasses.replace(state, phase="Failed", failure=failure, exit_code=ExitCode.BAD_INPUT, finished=self.now)
            self.tasks[name] = (task, failed)
            return
        self.tasks[name] = (task, dataclasses.replace(state, phase="Succeeded", exit_code=0, finished=self.now))
        status = self.run.status or RunStatus()
        match task:
            case PrepareTask():
                self._report(status, prepared=self.workers.prepared(task, self.deltas, status.published))
            case TrainTask():
                if task.spec.key not in self.deltas:
                    self.done.append(task.spec.key)
                self.deltas.add(task.spec.key)
                self._patch_training(task.training, delta=self.workers.trained(task.spec))
            case PublishTask():
                revision = self.workers.published(task, len(self.revisions))
                self.revisions[revision.revision] = revision
                self.done.append(revision.revision)
                self._report(status, published=revision)
            case PinTask():
                self._report(status, published=self.workers.pinned(task, self.revisions))

    def _report(self, status: RunStatus, **facts: object) -> None:
        self.run = self.run.model_copy(update={"status": status.model_copy(update=facts)})

    def _patch_training(self, name: str, **fields: object) -> None:
        training = self.trainings[name]
        status = (training.status or DeltaTrainingStatus()).model_copy(update=fields)
        self.trainings[name] = training.model_copy(update={"status": status})
