"""A training or a trial that somebody made by hand is carried out by itself, and says what it waits for or what is wrong with it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from autollm.contract.digests import digest_bytes
from autollm.contract.tasks import EvaluateTask, TrainTask
from autollm.plan.actions import EnsureTask, FailTrial, StopTask
from autollm.plan.alone import AlonePlan, plan_training, plan_trial
from autollm.plan.errands import REPORT_GRACE, TIME_TO_END
from autollm.plan.snapshot import TaskState
from autollm.resources.delta_training import DeltaTraining, DeltaTrainingStatus
from autollm.resources.merge_trial import MergeTrial, MergeTrialStatus
from autollm.resources.metadata import ChildMetadata, Failure
from support import synthetic
from support.runs import make_run
from support.world import START, World

NO_MEMORY = Failure(reason="OutOfMemory", message="Not even one record fits; choose a smaller model.")
Planned = AlonePlan[DeltaTrainingStatus] | AlonePlan[MergeTrialStatus]


def by_hand(name: str = "mine.2026", **changes: Any) -> DeltaTraining:
    """A training as a run would ask for it, in somebody's own name."""
    world = World(make_run())
    for _ in range(2):
        for action in world.plan().actions:
            world.act(action)
        for task in world.running():
            world.finish(task)
    (spec, *_) = [training.spec for training in world.trainings.values()]
    return DeltaTraining(metadata=ChildMetadata(name=name), spec=spec.model_copy(update=changes))


def trial(weights: dict[str, str | int] | None = None, **spec: Any) -> MergeTrial:
    asked = {"run": "demo", "split": "Search", "weights": {"math/sft": "0.5", "code/sft": 0} if weights is None else weights, **spec}
    return MergeTrial.parse({"metadata": {"name": "what-if"}, "spec": asked})


def prepared(**changes: Any) -> World:
    """A run whose data is prepared and whose deltas are not made."""
    world = World(make_run(**changes))
    for action in world.plan().actions:
        world.act(action)
    world.finish(world.running()[0])
    for action in world.plan().actions:
        world.act(action)
    return world


def succeeded(made: Planned) -> tuple[str, str]:
    return conditions(made)["Succeeded"]


def conditions(made: Planned) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in made.status.conditions or []}


def message(made: Planned) -> str:
    return next(condition.message for condition in made.status.conditions or [] if condition.type == "Succeeded")


def state(phase: Any, **fields: Any) -> TaskState:
    return TaskState("what-if-evaluate-0123456789", "Evaluate", phase, **fields)


class TestTraining:
    def test_it_becomes_a_task_that_works_for_it(self) -> None:
        training = by_hand()
        made = plan_training(training, None, START)
        (action,) = made.actions
        assert isinstance(action, EnsureTask)
        assert isinstance(action.task, TrainTask)
        assert (action.task.training, action.task.spec) == ("mine.2026", training.spec)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", action.task.id)
        assert len(action.task.id) <= 60
        truth = {"Reconciling": "True", "Stalled": "False", "Succeeded": "Unknown"}
        assert conditions(made) == {kind: (status, "Training") for kind, status in truth.items()}

    def test_two_names_that_begin_alike_have_two_tasks(self) -> None:
        ids = [plan_training(by_hand("x" * 60 + end), None, START).actions for end in ("a", "b")]
        assert ids[0] != ids[1]

    def test_while_it_waits_it_says_for_what(self) -> None:
        made = plan_training(by_hand(), TaskState("t", "Train", "Running", waiting="No node has room."), START)
        assert made.actions == ()
        assert message(made) == "The delta math/sft is being trained. Waiting: No node has room."

    def test_with_its_delta_it_has_succeeded(self) -> None:
        training = by_hand()
        training = training.model_copy(update={"status": DeltaTrainingStatus(delta=synthetic.trained(training.spec))})
        made = plan_training(training, TaskState("t", "Train", "Running"), START)
        assert (made.actions, succeeded(made), made.status.delta) == ((), ("True", "Trained"), None)

    def test_a_task_that_does_not_end_after_its_report_is_stopped_after_a_while(self) -> None:
        training, task = by_hand(), TaskState("t", "Train", "Running")
        training = training.model_copy(update={"status": DeltaTrainingStatus(delta=synthetic.trained(training.spec))})
        made = plan_training(training, task, START)
        assert (made.actions, made.requeue_after) == ((), TIME_TO_END)
        told = DeltaTrainingStatus(conditions=made.status.conditions, delta=synthetic.trained(training.spec))
        training = training.model_copy(update={"status": told})
        made = plan_training(training, task, START + TIME_TO_END)
        assert (made.actions, made.requeue_after) == ((StopTask("t"),), None)

    def test_a_failure_that_is_final_stalls_it_and_other_workers_try_again(self) -> None:
        failed = plan_training(by_hand(), TaskState("t", "Train", "Failed", failure=NO_MEMORY), START)
        assert (succeeded(failed), conditions(failed)["Stalled"]) == (("False", "OutOfMemory"), ("True", "OutOfMemory"))
        assert failed.status.failure == NO_MEMORY
        # Of an earlier generation, the failed task is shown as none.
        again = plan_training(by_hand().model_copy(update={"status": failed.status}), None, START)
        assert [type(action) for action in again.actions] == [EnsureTask]
        assert again.status.failure is None

    def test_a_report_may_take_a_moment(self) -> None:
        done = TaskState("t", "Train", "Succeeded", finished=START)
        assert plan_training(by_hand(), done, START).requeue_after == REPORT_GRACE
        assert succeeded(plan_training(by_hand(), done, START + REPORT_GRACE)) == ("False", "NoReport")

    def test_a_key_that_is_not_that_of_what_is_asked_would_mislead_others_and_is_refused(self) -> None:
        right = by_hand().spec.key
        made = plan_training(by_hand(key=digest_bytes(b"another")), None, START)
        assert (made.actions, succeeded(made)) == ((), ("False", "KeyMismatch"))
        assert right in message(made)


class TestTrial:
    def test_it_is_scored_by_an_evaluator_that_holds_the_deltas_it_names(self) -> None:
        world = World(make_run())
        world.settle()
        made = plan_trial(trial(), world.snapshot(), None, START)
        (action,) = made.actions
        assert isinstance(action, EnsureTask)
        assert isinstance(action.task, EvaluateTask)
        assert (action.task.trial, action.task.run) == ("what-if", "demo")
        assert [delta.name for delta in action.task.deltas] == ["math/sft"]
        assert succeeded(made) == ("Unknown", "Scoring")

    def test_source_and_method_mean_the_first_chunk_where_there_are_several(self) -> None:
        world = World(make_run())
        world.settle()
        status = world.run.status
        assert status is not None
        assert status.prepared is not None
        chunks = [chunk.model_copy(update={"name": f"{chunk.name}-0001"}) for chunk in status.prepared.chunks]
        cut = status.prepared.model_copy(update={"chunks": chunks})
        world.run = world.run.model_copy(update={"status": status.model_copy(update={"prepared": cut})})
        (action,) = plan_trial(trial(), world.snapshot(), None, START).actions
        assert isinstance(action, EnsureTask)
        assert isinstance(action.task, EvaluateTask)
        assert [delta.name for delta in action.task.deltas] == ["math/sft"]

    def test_the_base_alone_needs_no_delta(self) -> None:
        made = plan_trial(trial({}), prepared().snapshot(), None, START)
        assert [type(action) for action in made.actions] == [EnsureTask]

    @pytest.mark.parametrize(
        ("weights", "stage", "expected", "words"),
        [
            ({"math/sft": 1}, "missing", ("False", "RunNotFound"), "there is no AutoLLMRun demo in this namespace"),
            ({"math/sft": 1}, "new", ("Unknown", "RunNotPrepared"), "The data of the run demo is not prepared."),
            ({"math/sft": 1}, "prepared", ("Unknown", "DeltaNotReady"), "has not made the delta math/sft yet"),
            ({"maths/sft": 1}, "prepared", ("False", "UnknownDelta"), "the run demo has no delta maths/sft (did you mean math/sft?)"),
        ],
    )
    def test_it_says_what_it_waits_for_or_what_is_wrong(
        self, weights: dict[str, str | int], stage: str, expected: tuple[str, str], words: str
    ) -> None:
        worlds = {"missing": None, "new": World(make_run()), "prepared": prepared()}
        world = worlds[stage]
        made = plan_trial(trial(weights), world.snapshot() if world else None, None, START)
        assert (made.actions, succeeded(made)) == ((), expected)
        assert words in message(made)
        assert made.status.failure is None
        assert made.requeue_after == timedelta(minutes=1)

    def test_a_delta_that_could_not_be_made_is_told_with_why(self) -> None:
        world = prepared()
        world.fails = lambda work: NO_MEMORY
        world.settle()
        made = plan_trial(trial(), world.snapshot(), None, START)
        assert succeeded(made) == ("False", "DeltaFailed")
        assert message(made).endswith(f"could not make the delta math/sft: {NO_MEMORY.message}")

    def test_of_a_suspended_run_nothing_new_starts(self) -> None:
        world = prepared()
        world.change(make_run(suspend=True).spec)
        assert succeeded(plan_trial(trial({}), world.snapshot(), None, START)) == ("Unknown", "Suspended")

    def test_once_it_is_being_scored_its_run_may_change(self) -> None:
        made = plan_trial(trial(), None, state("Running", waiting="No node has room."), START)
        assert (made.actions, succeeded(made)) == ((), ("Unknown", "Scoring"))
        assert message(made).endswith("Waiting: No node has room.")

    def test_a_task_that_failed_for_good_is_the_trial_s_failure(self) -> None:
        made = plan_trial(trial(), None, state("Failed", failure=NO_MEMORY), START)
        assert made.actions == (FailTrial("what-if", NO_MEMORY),)
        assert succeeded(made) == ("False", "OutOfMemory")

    def test_an_outcome_is_left_as_it_is(self) -> None:
        done = trial().model_copy(update={"status": MergeTrialStatus.parse({"score": "0.5", "standardError": "0.1"})})
        made = plan_trial(done, None, state("Succeeded", finished=START), START + REPORT_GRACE)
        assert (made.actions, made.status, made.requeue_after) == ((), done.status, None)

    def test_a_run_s_plan_takes_no_notice_of_it(self) -> None:
        world = World(make_run())
        world.settle()
        before = world.plan()
        world.trials["what-if"] = trial()
        assert world.plan() == before
