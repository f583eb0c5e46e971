"""The manual of a run: how it stands, what the planner then asks for, and what the conditions say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from autollm.plan.actions import (
    AskCandidate,
    EnsureEvaluators,
    EnsureTask,
    EnsureTraining,
    EnsureTrial,
    FailTrial,
    SetTrainingStatus,
    SetTrainingWorkers,
    StopTask,
    describe,
)
from autollm.plan.landscape import OUTDATED, failure_of, is_pending
from autollm.plan.plan import Plan
from autollm.plan.step import Ended
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.search import limits_of
from support.runs import make_run
from support.world import World

GOOD = {"weights": {"math/sft": "0.5", "code/sft": "0.5"}}
PREFERENCES = {"name": "chats", "file": {"uri": "file:///preference.jsonl"}}


def names(made: Plan) -> list[str]:
    """The actions by kind, tasks by the kind of the task."""
    return [
        f"Ensure{action.task.kind}" if isinstance(action, EnsureTask) else type(action).__name__
        for action in made.actions
        if not isinstance(action, SetTrainingStatus)
    ]


def fields(world: World) -> dict[str, Any]:
    """The run's status as it is written."""
    return world.run.status.document() if world.run.status else {}


def act(world: World) -> Plan:
    made = world.plan()
    for action in made.actions:
        world.act(action)
    return made


def finish_all(world: World) -> None:
    for name in world.running():
        world.finish(name)


def until(world: World, condition: str, status: str = "True") -> World:
    """Let the world go on until a condition has a status."""
    for _ in range(100):
        act(world)
        if world.conditions().get(condition, ("", ""))[0] == status:
            return world
        finish_all(world)
    raise AssertionError(f"{condition} never became {status}: {world.conditions()}")


def test_a_run_goes_from_data_to_a_published_model() -> None:
    world = World(make_run(search={"trials": 2, "finalists": 1, "start": [GOOD]}))

    # A new run: nothing is known but the document, so the data is prepared.
    assert names(act(world)) == ["EnsurePrepare"]
    assert world.conditions() == {
        "Validated": ("True", "Accepted"),
        "DataReady": ("Unknown", "Preparing"),
        "DeltasReady": ("Unknown", "NotReached"),
        "SearchComplete": ("Unknown", "NotReached"),
        "Published": ("Unknown", "NotReached"),
        "Reconciling": ("True", "Preparing"),
        "Stalled": ("False", "Preparing"),
        "Succeeded": ("Unknown", "Preparing"),
    }

    # The data is prepared: one DeltaTraining for each chunk and method, and a task for each.
    finish_all(world)
    assert names(act(world)) == ["EnsureTraining", "EnsureTraining", "EnsureTrain", "EnsureTrain"]
    assert world.conditions()["DeltasReady"] == ("Unknown", "Training")

    # One of two deltas is ready: nothing new.
    world.finish(world.running()[0])
    assert names(act(world)) == []
    assert fields(world)["deltas"]["ready"] == 1

    # Both are: the evaluator starts, and the optimiser is asked for the first candidate.
    finish_all(world)
    assert names(act(world)) == ["EnsureEvaluators", "AskCandidate"]
    assert world.conditions()["SearchComplete"] == ("Unknown", "Searching")

    # The slot has its trial: nothing new until it is scored; then the second is asked for.
    assert names(act(world)) == []
    finish_all(world)
    assert names(act(world)) == ["AskCandidate"]

    # All trials are done, and all of them were on the whole search split: the winner is known, and the baselines are tested one by one.
    finish_all(world)
    tested = []
    for number in range(4):
        made = act(world)
        assert names(made) == ["EnsureTrial"], number
        tested += [action.trial.spec for action in made.actions if isinstance(action, EnsureTrial)]
        finish_all(world)
    assert {trial.split for trial in tested} == {"Test"}
    assert world.conditions()["SearchComplete"] == ("True", "TrialsDone")

    # The last of them was the winner, compared with all others.
    assert [trial.name for trial in tested] == ["base", "math/sft", "code/sft", "auto"]
    assert [trial.against is None for trial in tested] == [True, True, True, False]

    # It is better: the evaluators go, the model is merged.
    assert names(act(world)) == ["StopTask", "EnsurePublish"]
    finish_all(world)

    # The worker reported the revision: the run has succeeded, and there is nothing left to do.
    assert names(act(world)) == []
    assert world.conditions()["Published"] == ("True", "Published")
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert world.conditions()["Reconciling"][0] == "False"
    assert names(act(world)) == []


def test_the_results_table_names_every_baseline_and_the_winner() -> None:
    world = World(
        make_run(
            deltas=[{"name": "tone", "lora": {"uri": "file:///tone"}}],
            baselines={"trainOnAll": True, "manual": [{"name": "human", "weights": {"math/sft": 1, "tone": "0.5"}}]},
        )
    )
    world.settle()
    results = fields(world)["results"]
    rows = [row["name"] for row in results]
    assert [row for row in rows if not row.startswith("finalist")] == [
        "base",
        "tone",
        "math/sft",
        "code/sft",
        "average",
        "all",
        "human",
        "auto",
    ]
    assert all("test" in row for row in results)


def test_equal_weights_are_scored_once_and_stand_in_several_rows() -> None:
    world = World(make_run(baselines={"manual": [{"name": "same", "weights": {"math/sft": "0.5", "code/sft": "0.5"}}]}))
    world.settle()
    rows = {row["name"]: row for row in fields(world)["results"]}
    assert rows["same"]["test"] == rows["average"]["test"]
    tests = [trial for trial in world.trials.values() if trial.spec.split == "Test"]
    assert len({trial.spec.name for trial in tests}) == len(tests)
    assert "same" not in {trial.spec.name for trial in tests}


def test_dpo_after_sft_starts_from_the_delta_of_the_same_chunk_once_that_is_ready() -> None:
    methods = [{"name": "sft", "sft": {}}, {"name": "dpo", "dpo": {}, "after": "sft"}]
    world = until(World(make_run(sources=[PREFERENCES], training={"methods": methods})), "DataReady")
    (started,) = [task for task, _ in world.tasks.values() if task.kind == "Train"]
    assert started.spec.delta == "chats/sft"
    finish_all(world)
    made = act(world)
    (next_task,) = [action.task for action in made.actions if isinstance(action, EnsureTask)]
    assert next_task.kind == "Train"
    assert (next_task.spec.delta, next_task.spec.start) == ("chats/dpo", started.spec.key)


PREFERENCES = {"name": "chats", "file": {"uri": "file:///preference.jsonl"}}


def test_a_delta_that_is_in_the_artifacts_is_not_trained_again() -> None:
    first = World(make_run())
    first.settle()
    second = World(make_run(name="another"))
    second.deltas = set(first.deltas)
    second.settle()
    assert fields(second)["deltas"]["reused"] == 2
    assert not any(key in second.done for key in first.deltas)
    assert all(training.status and training.status.reused and training.status.delta for training in second.trainings.values())


def test_two_methods_that_differ_in_name_alone_train_one_delta() -> None:
    world = World(make_run(training={"methods": [{"name": "one", "sft": {}}, {"name": "two", "sft": {}}]}))
    world.settle()
    assert len(world.trainings) == 4
    assert len(world.deltas) == 2
    assert len([key for key in world.done if key in world.deltas]) == 2


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_every_slot_has_one_trial_at_a_time(parallelism: int) -> None:
    world = until(World(make_run(search={"parallelism": parallelism, "trials": 9})), "DeltasReady")
    for _ in range(parallelism + 1):
        act(world)
    slots = [trial.spec.slot or 0 for trial in world.trials.values() if is_pending(trial)]
    assert sorted(slots) == list(range(parallelism))
    (evaluators,) = [state for task, state in world.tasks.values() if task.kind == "Evaluate"]
    assert evaluators.size == parallelism


def test_finalists_of_a_search_on_a_sample_are_scored_on_the_whole_split_where_the_winner_is_chosen() -> None:
    world = World(make_run(search={"trials": 6, "items": 10, "finalists": 2}))
    world.settle()
    searched = [trial for trial in world.trials.values() if trial.spec.split == "Search"]
    assert sorted(trial.spec.items or 0 for trial in searched) == [0, 0, 10, 10, 10, 10, 10, 10]
    assert world.trials[fields(world)["best"]["trial"]].spec.items is None


class TestStopRules:
    def test_without_improvement(self) -> None:
        world = World(make_run(search={"trials": 50, "start": [GOOD], "stop": {"withoutImprovement": 3}}))
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "NoImprovement")
        searched = sorted((t for t in world.trials.values() if t.spec.split == "Search"), key=lambda trial: trial.spec.place)
        scores = [trial.status.score for trial in searched if trial.status and trial.status.score is not None]
        assert len(scores) - 1 - scores.index(max(scores)) == 3

    def test_after_a_time(self) -> None:
        world = World(make_run(search={"trials": 50, "stop": {"after": "5s"}}))
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "TimeUp")
        assert len([trial for trial in world.trials.values() if trial.spec.split == "Search"]) == 5

    def test_no_time_passes_while_the_run_is_suspended(self) -> None:
        limited = {"trials": 50, "stop": {"after": "30s"}}
        world = until(World(make_run(search=limited)), "DeltasReady")
        for _ in range(2):
            for _ in range(10):
                act(world)
                world.finish(world.running()[0])
            world.change(make_run(search=limited, suspend=True).spec)
            for _ in range(3):
                world.plan()
                world.now += timedelta(hours=1)
            world.change(make_run(search=limited).spec)
            assert world.plan().state.reason == "Searching"
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "TimeUp")
        assert len([trial for trial in world.trials.values() if trial.spec.split == "Search"]) == 30, "each takes a second"

    def test_a_search_that_was_over_is_not_taken_up_again_by_a_suspension(self) -> None:
        limited = {"trials": 50, "stop": {"after": "5s"}}
        world = World(make_run(search=limited))
        world.settle()
        done = list(world.done)
        world.change(make_run(search=limited, suspend=True).spec)
        world.plan()
        world.now += timedelta(hours=1)
        world.change(make_run(search=limited).spec)
        world.settle()
        assert (world.conditions()["SearchComplete"], world.done) == (("True", "TimeUp"), done)

    def test_no_time_passes_while_nobody_searches(self) -> None:
        """As after a search that came to its end, and while a queue has taken the evaluators' places away."""
        limited = {"stop": {"after": "30s"}}
        world = World(make_run(search={"trials": 4, **limited}))
        world.settle()
        world.now += timedelta(hours=5)
        world.change(make_run(search={"trials": 50, **limited}).spec)
        for _ in range(3):
            act(world)
        ((name, (task, state)),) = [one for one in world.tasks.items() if one[1][0].kind == "Evaluate"]
        world.tasks[name] = (task, replace(state, started=None, slots={}))
        for _ in range(3):
            act(world)
            world.now += timedelta(hours=1)
        world.tasks[name] = (task, state)
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "TimeUp")
        assert len([trial for trial in world.trials.values() if trial.spec.split == "Search"]) == 30, "each takes a second"

    def test_no_time_passes_while_nobody_keeps_the_clock(self) -> None:
        """As on one machine between an engine that is killed and the one that goes on, with all of its workers gone."""
        world = until(World(make_run(search={"trials": 12, "stop": {"after": "1h"}})), "DeltasReady")
        for _ in range(3):
            act(world)
            world.finish(world.running()[0])
        act(world)
        world.run_again()
        world.now += timedelta(hours=10)
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "TrialsDone")

    def test_another_search_has_a_time_of_its_own(self) -> None:
        limited = {"trials": 50, "stop": {"after": "5s"}}
        world = World(make_run(search=limited))
        world.settle()
        world.now += timedelta(hours=1)
        world.change(make_run(search=limited, evaluation={"metrics": [{"name": "m", "match": {}}]}).spec)
        made = world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "TimeUp")
        assert len([trial for trial in world.trials.values() if trial.spec.split == "Search"]) == 10
        assert made.status.clock is not None

    def test_the_time_is_when_the_planner_wants_to_look_again(self) -> None:
        world = until(World(make_run(search={"trials": 50, "stop": {"after": "1h"}})), "DeltasReady")
        act(world)
        world.finish(world.running()[0])
        requeue = act(world).requeue_after
        assert requeue is not None
        assert 3500 < requeue.total_seconds() <= 3600

    def test_no_time_passes_before_the_first_trial_is_scored(self) -> None:
        """As while a queue holds the evaluators back, or a node is made for them."""
        world = until(World(make_run(search={"trials": 50, "stop": {"after": "5s"}})), "DeltasReady")
        act(world)
        world.now += timedelta(hours=1)
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "TimeUp")
        assert len([trial for trial in world.trials.values() if trial.spec.split == "Search"]) > 3

    def test_one_trial_is_told_of_as_one(self) -> None:
        world = World(make_run(search={"trials": 1}))
        world.settle()
        (told,) = [one for one in (world.run.status.conditions if world.run.status else None) or [] if one.type == "SearchComplete"]
        assert (told.reason, told.message) == ("TrialsDone", "The one trial is done.")

    def test_a_space_without_free_weights_has_one_candidate(self) -> None:
        world = World(make_run(search={"trials": 50, "space": {"deltas": [{"match": "*", "fixed": "0.5"}]}}))
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "SpaceExhausted")

    def test_too_many_failed_trials_end_the_run(self) -> None:
        world = World(make_run(search={"trials": 50, "maxFailed": 2}))
        world.fails = lambda work: Failure(reason="NonFinite", message="NaN in the logits.") if hasattr(work, "metadata") else None
        made = world.settle()
        assert isinstance(made.state, Ended)
        assert not made.state.succeeded
        assert "NaN in the logits" in made.state.message
        assert world.conditions()["SearchComplete"] == ("False", "TooManyFailedTrials")
        assert len(world.trials) == 3
        assert not any(task.kind == "Evaluate" for task, _ in world.tasks.values())

    def test_a_failed_trial_is_no_score(self) -> None:
        world = World(make_run(search={"trials": 6, "maxFailed": 1}))
        broken: list[str] = []

        def once(work: object) -> Failure | None:
            if hasattr(work, "metadata") and not broken:
                broken.append(work.metadata.name)
                return Failure(reason="NonFinite", message="Infinity.")
            return None

        world.fails = once
        world.settle()
        assert world.conditions()["Succeeded"][0] == "True"
        assert fields(world)["trials"] == {"total": 6, "succeeded": 5, "failed": 1, "running": 0}


class TestFailure:
    def test_a_preparation_that_failed_for_good_stalls_the_run(self) -> None:
        world = World(make_run())
        world.fails = lambda work: Failure(reason="MixedFormats", message="math.jsonl line 3: …")
        world.settle()
        assert world.conditions()["DataReady"] == ("False", "MixedFormats")
        assert world.conditions()["Stalled"] == ("True", "MixedFormats")
        assert world.conditions()["Succeeded"] == ("False", "MixedFormats")

    def test_a_failed_training_fails_the_run_after_the_others_have_finished(self) -> None:
        world = World(make_run())
        world.fails = lambda work: (
            Failure(reason="NoChatTemplate", message="Give the model a chat template.")
            if getattr(work, "kind", "") == "Train" and work.spec.delta == "math/sft"  # type: ignore[union-attr]  # only a training has a spec with a delta
            else None
        )
        made = world.settle()
        assert isinstance(made.state, Ended)
        assert made.state.message.startswith("math/sft: Give the model a chat template.")
        assert world.conditions()["DeltasReady"] == ("False", "TrainingFailed")
        assert len(world.deltas) == 1
        conditions = {training.spec.delta: training.status.conditions for training in world.trainings.values() if training.status}
        assert [condition.reason for condition in conditions["math/sft"] or []] == ["NoChatTemplate"]

        # Run again, the failed task being forgotten: only what failed is tried, and the run goes on.
        world.fails = lambda work: None
        for name in [name for name, (_, state) in world.tasks.items() if state.phase == "Failed"]:
            world.lose(name)
        world.settle()
        assert world.conditions()["Succeeded"][0] == "True"
        assert len([key for key in world.done if key in world.deltas]) == 2

    def test_what_continues_a_failed_delta_fails_with_it(self) -> None:
        methods = [{"name": "sft", "sft": {}}, {"name": "dpo", "dpo": {}, "after": "sft"}]
        world = World(make_run(sources=[PREFERENCES], training={"methods": methods}))
        world.fails = lambda work: (
            Failure(reason="OutOfMemory", message="Choose a smaller model.") if getattr(work, "kind", "") == "Train" else None
        )
        made = world.settle()
        assert isinstance(made.state, Ended)
        assert made.state.message.startswith("chats/sft: Choose a smaller model. 1 more failed too.")

    def test_a_task_that_ends_well_without_a_report_has_failed(self) -> None:
        world = World(make_run())
        act(world)
        (name,) = world.running()
        world.finish(name)
        assert world.run.status
        world.run = world.run.model_copy(update={"status": world.run.status.model_copy(update={"prepared": None})})
        waiting = world.plan()
        assert names(waiting) == []
        assert waiting.requeue_after is not None
        assert world.conditions()["Succeeded"][0] == "Unknown"
        world.now += waiting.requeue_after
        world.plan()
        assert world.conditions()["Succeeded"] == ("False", "NoReport")

    def test_evaluators_that_fail_for_good_end_the_run(self) -> None:
        world = until(World(make_run()), "DeltasReady")
        (name,) = [name for name, (task, _) in world.tasks.items() if task.kind == "Evaluate"]
        world._finish_task(name)
        made = world.plan()
        assert isinstance(made.state, Ended)
        assert made.state.reason == "EvaluatorFailed"


class TestSuspend:
    def test_running_work_is_stopped_and_conditions_stay(self) -> None:
        world = until(World(make_run()), "DataReady")
        world.change(make_run(suspend=True).spec)
        made = act(world)
        assert [describe(action)["action"] for action in made.actions] == ["StopTask", "StopTask"]
        assert world.conditions()["DataReady"] == ("True", "Prepared")
        assert world.conditions()["Succeeded"] == ("Unknown", "Suspended")
        assert world.conditions()["Reconciling"] == ("False", "Suspended")
        assert names(act(world)) == []

    def test_and_it_goes_on_where_it_was(self) -> None:
        world = until(World(make_run()), "DeltasReady")
        world.change(make_run(suspend=True).spec)
        world.settle()
        world.change(make_run().spec)
        world.settle()
        unbroken = World(make_run())
        unbroken.settle()
        assert world.done == unbroken.done
        assert world.conditions() == unbroken.conditions()


class TestChangedSpec:
    def test_more_trials_continue_the_search(self) -> None:
        world = World(make_run(search={"trials": 4}))
        world.settle()
        before = dict(world.trials)
        world.change(make_run(search={"trials": 8}).spec)
        world.settle()
        assert before.items() <= world.trials.items()
        assert len([trial for trial in world.trials.values() if trial.spec.split == "Search"]) == 8
        assert len([key for key in world.done if key in world.deltas]) == 2

    def test_another_source_trains_what_is_new_and_searches_another_landscape(self) -> None:
        world = World(make_run())
        world.settle()
        more = [*[source.document() for source in make_run().spec.sources], {"name": "law", "file": {"uri": "file:///law.jsonl"}}]
        world.change(make_run(sources=more).spec)
        assert names(act(world)) == ["EnsurePrepare"]
        finish_all(world)
        assert names(act(world)) == ["EnsureTraining", "EnsureTrain"]
        world.settle()
        assert len({trial.spec.landscape for trial in world.trials.values()}) == 4
        assert world.conditions()["Succeeded"][0] == "True"

    def test_back_to_what_it_was_repeats_no_training_and_no_trial(self) -> None:
        world = World(make_run())
        world.settle()
        first = list(world.done)
        world.change(make_run(sources=[source.document() for source in make_run().spec.sources[:1]]).spec)
        world.settle()
        world.change(make_run().spec)
        world.settle()
        repeated = [work for work in world.done if work in first and not work.startswith("r")]
        assert len(repeated) == len(set(repeated))
        assert world.conditions()["Succeeded"][0] == "True"

    def test_a_trial_of_an_earlier_landscape_is_given_up_before_other_evaluators_start(self) -> None:
        world = until(World(make_run()), "DeltasReady")
        act(world)
        (old,) = [name for name, trial in world.trials.items() if is_pending(trial)]
        world.change(make_run(evaluation={"metrics": [{"name": "answers", "match": {}}]}).spec)
        made = act(world)
        assert [type(action) for action in made.actions] == [StopTask, FailTrial, EnsureEvaluators, AskCandidate]
        assert failure_of(world.trials[old]) == OUTDATED
        world.settle()
        assert world.conditions()["Succeeded"][0] == "True"

    @pytest.mark.parametrize(("search", "split"), [({}, "Test"), ({"items": 5}, "Search")])
    def test_what_was_given_up_is_scored_after_all_where_the_run_goes_back(self, search: dict[str, Any], split: str) -> None:
        asked = make_run(search={"trials": 3, **search})
        world = until(World(asked), "SearchComplete") if split == "Test" else World(asked)
        for _ in range(100):
            act(world)
            if any(is_pending(trial) and trial.spec.split == split and trial.spec.items is None for trial in world.trials.values()):
                break
            finish_all(world)
        world.change(make_run(evaluation={"metrics": [{"name": "answers", "match": {}}]}).spec)
        act(world)
        assert any(failure_of(trial) == OUTDATED for trial in world.trials.values())
        world.change(asked.spec)
        world.settle()
        assert world.conditions()["Succeeded"][0] == "True"

    def test_fewer_evaluators_first_score_the_trials_that_they_have(self) -> None:
        world = until(World(make_run(search={"parallelism": 3, "trials": 9})), "DeltasReady")
        act(world)
        world.change(make_run(search={"parallelism": 1, "trials": 9}).spec)
        sizes = []
        for slot in (2, 1):
            assert act(world).actions == ()
            (last,) = [name for name, trial in world.trials.items() if is_pending(trial) and trial.spec.slot == slot]
            world.finish(last)
            sizes += [action.size for action in act(world).actions if isinstance(action, EnsureEvaluators)]
        assert sizes == [2, 1]
        world.settle()
        assert len([trial for trial in world.trials.values() if trial.spec.split == "Search"]) == 9

    def test_what_pods_may_use_changes_for_trainings_that_are_not_done(self) -> None:
        world = until(World(make_run()), "DataReady")
        world.finish(world.running()[0])
        act(world)
        more = {"train": {"resources": {"limits": {"memory": "64Gi"}}}}
        world.change(make_run(workers=more).spec)
        (change,) = [action for action in act(world).actions if isinstance(action, SetTrainingWorkers)]
        (waiting,) = [training for training in world.trainings.values() if training.status and not training.status.delta]
        assert change.name == waiting.metadata.name
        assert waiting.spec.workers.train.resources.limits == make_run(workers=more).spec.workers.train.resources.limits
        assert act(world).actions == ()
        world.settle()
        assert len([key for key in world.done if key in world.deltas]) == 2

    @pytest.mark.parametrize(
        "space",
        [{"max": "0.1"}, {"deltas": [{"match": "*", "fixed": "0.25"}]}, {"deltas": [{"match": "*", "group": "g", "max": "0.3"}]}],
    )
    def test_another_space_is_searched_and_what_lies_outside_wins_no_more(self, space: dict[str, Any]) -> None:
        search = {"trials": 6, "parallelism": 2, "items": 10}
        world = until(World(make_run(search=search)), "SearchComplete")
        finish_all(world)
        tried = len(world.trials)
        world.change(make_run(search=search | {"space": space}).spec)
        assert world.settle().state.reason in ("Published", "NotPublished")
        assert len(world.trials) > tried
        limits = limits_of(world.run.spec.search.space, ["math/sft", "code/sft"])
        status = world.run.status
        assert status is not None
        assert status.best is not None
        assert status.trials is not None
        chosen = [row.weights for row in status.results or [] if row.name.startswith(("auto", "finalist"))]
        assert all(limits.allow(weights) for weights in (status.best.weights, *chosen))
        inside = [one for one in world.trials.values() if one.spec.items == 10 and limits.allow(one.spec.weights)]
        assert status.trials.total == len(inside)

    def test_a_narrower_space_leaves_behind_what_failed_and_gives_up_what_is_under_way(self) -> None:
        search = {"trials": 20, "parallelism": 2, "maxFailed": 2}
        world = World(make_run(search=search))

        def is_large(work: object) -> bool:
            return isinstance(work, MergeTrial) and any(weight > Decimal("0.2") for weight in work.spec.weights.values())

        world.fails = lambda work: Failure(reason="NonFinite", message="NaN.") if is_large(work) else None
        world.settle()
        assert world.conditions()["SearchComplete"] == ("False", "TooManyFailedTrials")
        world.change(make_run(search=search | {"maxFailed": 20}).spec)
        act(world)
        under_way = [trial for trial in world.trials.values() if is_pending(trial) and is_large(trial)]
        assert under_way
        world.change(make_run(search=search | {"space": {"max": "0.2"}}).spec)
        given_up = [action.name for action in act(world).actions if isinstance(action, FailTrial)]
        assert given_up == [trial.metadata.name for trial in under_way]
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "TrialsDone")

    def test_more_evaluators_join_in(self) -> None:
        world = until(World(make_run(search={"trials": 9})), "DeltasReady")
        act(world)
        world.change(make_run(search={"parallelism": 3, "trials": 9}).spec)
        (evaluators,) = [action for action in act(world).actions if isinstance(action, EnsureEvaluators)]
        assert evaluators.size == 3
        act(world)
        assert sorted(trial.spec.slot or 0 for trial in world.trials.values() if is_pending(trial)) == [0, 1, 2]

    def test_more_evaluators_that_are_not_given_leave_no_trial_without_one(self) -> None:
        world = until(World(make_run(search={"trials": 9})), "DeltasReady")
        act(world)
        world.change(make_run(search={"parallelism": 3, "trials": 9}).spec)
        for _ in range(3):
            for action in world.plan().actions:
                if not isinstance(action, EnsureEvaluators):
                    world.act(action)
        assert [trial.spec.slot for trial in world.trials.values() if is_pending(trial)] == [0]

    def test_fewer_evaluators_leave_no_trial_behind(self) -> None:
        world = until(World(make_run(search={"parallelism": 3, "trials": 9})), "DeltasReady")
        for _ in range(3):
            act(world)
        world.change(make_run(search={"parallelism": 1, "trials": 9}).spec)
        for name, (task, _) in list(world.tasks.items()):
            if task.kind == "Evaluate":
                world.lose(name)
        (evaluators,) = [action for action in act(world).actions if isinstance(action, EnsureEvaluators)]
        assert evaluators.size == 1
        assert [trial.spec.slot for trial in world.trials.values() if is_pending(trial)] == [0]


class TestNothingIsAskedTwice:
    @pytest.mark.parametrize("condition", ["DataReady", "DeltasReady", "SearchComplete"])
    def test_planning_again_without_a_change_gives_the_same(self, condition: str) -> None:
        world = until(World(make_run()), condition)
        finish_all(world)
        assert world.plan() == world.plan()

    def test_a_candidate_asked_for_twice_is_one_trial(self) -> None:
        world = until(World(make_run()), "DeltasReady")
        finish_all(world)
        made = world.plan()
        asks = [action for action in made.actions if isinstance(action, AskCandidate)]
        before = len(world.trials)
        for action in [*asks, *asks]:
            world.act(action)
        assert (len(asks), len(world.trials)) == (1, before + 1)

    def test_a_training_asked_for_twice_is_one(self) -> None:
        world = until(World(make_run()), "DataReady")
        for training in list(world.trainings.values()):
            world.act(EnsureTraining(training))
        assert len(world.trainings) == 2
