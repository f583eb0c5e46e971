"""All that a plan is made from: a run, its children, and how its tasks are doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from autollm.plan.problems import Problem
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.resources.run import AutoLLMRun, RunSpec

TaskKind = Literal["Prepare", "Train", "Evaluate", "Publish", "Pin"]
Phase = Literal["Running", "Succeeded", "Failed"]


@dataclass(frozen=True)
class TaskState:
    """How a task is doing, as its engine knows it.

    Attributes:
        phase: Running also while it waits for its turn or to be tried again; Failed once it will not be tried again.
        started: When its turn came; of evaluators, of the first of them.
        finished: When it ended; None while it runs.
        slots: Of evaluators, since when each slot's present worker has been at work; a slot without an entry is being started.
        wanted: Of evaluators, since when each slot's present worker was to be at work, where it may have waited for its place.
        vacant: Of evaluators, since when the worker of a slot that has none waits for its place, where that is known.
        size: Of evaluators, how many slots there are.
        deaths: Of evaluators, by the trial that each was scoring, how those of its workers ended that died of themselves.
        died_on: Of evaluators whose retries are used up, the trial on which the last one died; empty where it died on none.
        waiting: Why it does not run, or not as a whole, as a sentence, where it is known: no node has room, its image cannot be pulled.
    """

    id: str
    kind: TaskKind
    phase: Phase
    failure: Failure | None = None
    exit_code: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    slots: Mapping[int, datetime] = field(default_factory=dict)
    wanted: Mapping[int, datetime] = field(default_factory=dict)
    vacant: Mapping[int, datetime] = field(default_factory=dict)
    size: int = 1
    deaths: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict)
    died_on: str = ""
    waiting: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A run as it stands.

    Attributes:
        run: The document with the status that was last written and what workers reported in it.
        inputs_seen: What sources, base model and ready-made deltas looked like, or who asked last to look at them; another text makes them
            be prepared again.
        exhausted: Landscapes of whose space the optimiser said that every candidate was tried, and how many trials there were then.
        failed_before: Trials that had failed when somebody asked for the run again; tests among them are tried once more.
        refused: Why whoever carries out plans here will not carry out this run: an image that is not allowed, a place no worker can reach.
    """

    run: AutoLLMRun
    trainings: tuple[DeltaTraining, ...] = ()
    trials: tuple[MergeTrial, ...] = ()
    tasks: tuple[TaskState, ...] = ()
    inputs_seen: str = ""
    exhausted: Mapping[str, int] = field(default_factory=dict)
    failed_before: frozenset[str] = frozenset()
    refused: Problem | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.metadata.name

    @property
    def spec(self) -> RunSpec:
        """What the user asked for."""
        return self.run.spec

    @property
    def seen(self) -> str:
        """What the sources looked like, or would if somebody looked: another text for every state of them and for every round."""
        status = self.run.status
        number = status.refresh.round if status is not None and status.refresh is not None else 1
        return self.inputs_seen if number == 1 else f"{self.inputs_seen} in round {number}"

    def task(self, task_id: str) -> TaskState | None:
        """Return the state of a task, or None where its engine knows none of that id."""
        return self._tasks_by_id.get(task_id)

    def training(self, name: str) -> DeltaTraining | None:
        """Return a DeltaTraining, or None where there is none of that name."""
        return self._trainings_by_name.get(name)

    def trial(self, name: str) -> MergeTrial | None:
        """Return a MergeTrial, or None where there is none of that name."""
        return self._trials_by_name.get(name)

    @cached_property
    def _tasks_by_id(self) -> dict[str, TaskState]:
        return {task.id: task for task in self.tasks}

    @cached_property
    def _trainings_by_name(self) -> dict[str, DeltaTraining]:
        return {training.metadata.name: training for training in self.trainings}

    @cached_property
    def _trials_by_name(self) -> dict[str, MergeTrial]:
        return {trial.metadata.name: trial for trial in self.trials}
