"""The life of a run in a cluster, from `kubectl apply` to a published model, and what users do to it meanwhile."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.tasks import EvaluateTask, TrainTask
from autollm.plan.landscape import SUPERSEDED, failure_of, is_pending
from autollm.resources.metadata import Failure
from autollm_operator.api.port import ForbiddenError
from autollm_operator.api.resources import EVENTS, JOBS, PODS, RUNS, TRAININGS, TRIALS, Resource
from support.cluster_world import NAMESPACE, ClusterWorld, remote_run, task_of
from support.fake_api import Call, When


def started(**changes: Any) -> ClusterWorld:
    """A world in which a run was applied."""
    world = ClusterWorld()
    world.apply(remote_run(**changes))
    world.reconcile()
    return world


def until(world: ClusterWorld, condition: str) -> ClusterWorld:
    """Let everything end in order until a condition of the run holds."""
    for _ in range(200):
        world.reconcile()
        if world.conditions().get(condition, ("", ""))[0] == "True":
            return world
        world.finish(world.running()[0])
    raise AssertionError(f"{condition} is never reached: {world.conditions()}")


def searching(**search: Any) -> ClusterWorld:
    """A world whose run has its deltas and scores candidates."""
    return until(started(search=search), "DeltasReady")


class TestWholeLife:
    def test_one_stage_after_another(self) -> None:
        world = started()
        assert [task_of(world.get(JOBS, name)).kind for name in world.jobs()] == ["Prepare"]
        world.finish(world.running()[0])
        world.reconcile()
        assert Counter(task_of(world.get(JOBS, name)).kind for name in world.jobs()) == {"Prepare": 1, "Train": 2}
        assert {training["status"]["conditions"][0]["reason"] for training in world.all(TRAININGS)} == {"Training"}
        until(world, "DeltasReady")
        assert {trial.spec.slot for trial in world.trials("Search") if is_pending(trial)} == {0}
        until(world, "SearchComplete")
        assert len(world.trials("Search")) == 4
        world.settle()
        assert world.conditions() == {
            "Validated": ("True", "Accepted"),
            "DataReady": ("True", "Prepared"),
            "DeltasReady": ("True", "Ready"),
            "SearchComplete": ("True", "TrialsDone"),
            "Published": ("True", "Published"),
            "Reconciling": ("False", "Published"),
            "Stalled": ("False", "Published"),
            "Succeeded": ("True", "Published"),
        }
        assert world.run().status.observed_generation == 1  # type: ignore[union-attr]  # it has conditions

    def test_every_child_belongs_to_the_run_or_to_its_training(self) -> None:
        world = started()
        world.settle()
        uids = {row["metadata"]["name"]: row["metadata"]["uid"] for row in [*world.all(RUNS), *world.all(TRAININGS)]}
        for child in [*world.all(TRAININGS), *world.all(TRIALS), *world.all(JOBS)]:
            (owner,) = child["metadata"]["ownerReferences"]
            assert (owner["uid"], owner["controller"]) == (uids[owner["name"]], True)
            assert child["metadata"]["labels"]["autollm.dev/run"] == "demo"
            assert child["metadata"]["labels"]["autollm.dev/generation"] == "1"
        owners = {job["metadata"]["labels"]["autollm.dev/task"]: job["metadata"]["ownerReferences"][0]["kind"] for job in world.all(JOBS)}
        assert owners == {"prepare": "AutoLLMRun", "train": "DeltaTraining", "publish": "AutoLLMRun"}

    def test_evaluators_leave_when_the_search_is_over(self) -> None:
        world = started()
        world.settle()
        assert world.jobs("evaluate") == []

    def test_succeeded_jobs_go_once_their_report_is_safe(self) -> None:
        world = started(workers={"ttlAfterFinished": "20m"})
        (prepare,) = world.jobs("prepare")
        world.end_job(prepare, "Complete", "CompletionsReached")
        world.reconcile()
        assert "ttlSecondsAfterFinished" not in world.get(JOBS, prepare)["spec"]
        world = started(workers={"ttlAfterFinished": "20m"})
        world.settle()
        assert {job["spec"]["ttlSecondsAfterFinished"] for job in world.all(JOBS)} == {1200}

    def test_a_settled_run_is_left_alone(self) -> None:
        world = started()
        world.settle()
        writes = len(world.api.writes())
        world.start_operator()
        world.settle()
        assert len(world.api.writes()) == writes

    def test_stages_and_failures_are_told_once(self) -> None:
        world = started()
        world.settle()
        told = [(event["type"], event["reason"]) for event in world.all(EVENTS)]
        stages = ("Preparing", "Training", "Searching", "Testing", "Publishing", "Published")
        assert Counter(told) == Counter({("Normal", stage): 1 for stage in stages})


class TestWrites:
    def test_a_trial_costs_six_at_most(self) -> None:
        world = searching(trials=40, parallelism=4)
        before = len(world.api.writes())
        until(world, "SearchComplete")
        scored = len(world.trials("Search")) - 4
        counted = Counter(call.verb for call in world.api.writes()[before:] if call.resource not in (JOBS, EVENTS))
        assert sum(counted.values()) <= 6 * scored, counted
        # What the figure is made of: a trial, its result, and one status that tells of both.
        assert counted["create"] <= scored + 8
        assert counted["apply_status"] <= scored + 8

    def test_a_free_slot_gets_its_next_trial_in_the_pass_that_sees_the_result(self) -> None:
        world = searching(trials=40, parallelism=4)
        world.reconcile()
        assert sorted(trial.spec.slot or 0 for trial in world.trials("Search") if is_pending(trial)) == [0, 1, 2, 3]
        world.finish(world.running()[2])
        world.deliver()
        (key,) = world.looks
        world.reconciler.reconcile(key)
        assert sorted(trial.spec.slot or 0 for trial in world.trials("Search") if is_pending(trial)) == [0, 1, 2, 3]


class TestSuspend:
    def test_work_is_stopped_and_nothing_new_starts(self) -> None:
        world = searching(trials=8, parallelism=2)
        world.apply(remote_run(search={"trials": 8, "parallelism": 2}, suspend=True))
        world.settle()
        assert world.jobs("evaluate") == []
        assert world.conditions()["Succeeded"] == ("Unknown", "Suspended")
        assert world.conditions()["DeltasReady"][0] == "True"

    def test_stopping_takes_until_its_pods_are_gone(self) -> None:
        world = until(started(), "DataReady")
        world.reconcile()
        training = world.jobs("train")[0]
        pod = world.start_pod(training)
        world.api.holds = lambda resource, document: resource == PODS
        world.apply(remote_run(suspend=True))
        world.reconcile()
        assert "deletionTimestamp" in world.get(JOBS, training)["metadata"]
        world.apply(remote_run())
        world.reconcile()
        assert world.get(JOBS, training)["metadata"].get("deletionTimestamp"), "another one cannot start before this one has saved"
        world.api.release(PODS, NAMESPACE, pod["metadata"]["name"])
        world.reconcile()
        assert "deletionTimestamp" not in world.get(JOBS, training)["metadata"]
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    @pytest.mark.parametrize("condition", ["Validated", "DataReady", "DeltasReady", "SearchComplete"])
    def test_and_it_goes_on_where_it_was(self, condition: str) -> None:
        world = until(started(), condition)
        world.apply(remote_run(suspend=True))
        world.settle()
        world.apply(remote_run())
        world.settle()
        unbroken = started()
        unbroken.settle()
        assert sorted(world.done) == sorted(unbroken.done)
        assert world.conditions() == unbroken.conditions()


class TestChangedSpec:
    def test_another_source_trains_that_source_alone(self) -> None:
        world = started()
        world.settle()
        trained = set(world.deltas)
        before = len(world.all(TRAININGS))
        more = [*[source.document() for source in remote_run().spec.sources], {"name": "law", "file": {"uri": "s3://data/law.jsonl"}}]
        world.apply(remote_run(sources=more))
        world.settle()
        assert len(world.deltas - trained) == 1
        assert len(world.all(TRAININGS)) == before + 1
        assert len([key for key in world.done if key in world.deltas]) == 3
        assert world.conditions()["Succeeded"][0] == "True"

    def test_more_evaluators_join_while_others_score(self) -> None:
        world = searching(trials=12, parallelism=2)
        world.reconcile()
        (pool,) = world.jobs("evaluate")
        uid = world.get(JOBS, pool)["metadata"]["uid"]
        world.apply(remote_run(search={"trials": 12, "parallelism": 4}))
        world.reconcile()
        grown = world.get(JOBS, pool)
        assert (grown["metadata"]["uid"], grown["spec"]["completions"], grown["spec"]["parallelism"]) == (uid, 4, 4)
        assert len([trial for trial in world.trials() if is_pending(trial)]) == 4
        world.settle()
        assert len(world.trials("Search")) == 12

    def test_fewer_evaluators_leave_no_trial_behind(self) -> None:
        world = searching(trials=12, parallelism=4)
        world.reconcile()
        (pool,) = world.jobs("evaluate")
        world.apply(remote_run(search={"trials": 12, "parallelism": 1}))
        world.settle()
        assert world.conditions()["Succeeded"][0] == "True"
        assert len(world.trials("Search")) == 12
        assert not [trial for trial in world.trials() if is_pending(trial)]
        resized = [call for call in world.api.calls if call.verb == "patch" and call.name == pool]
        assert resized, "the evaluators that are not needed any more leave while the others go on"

    def test_a_trial_of_an_earlier_landscape_is_given_up(self) -> None:
        world = searching(trials=4)
        world.reconcile()
        world.apply(remote_run(search={"trials": 4}, evaluation={"metrics": [{"name": "answers", "match": {}}]}))
        world.settle()
        assert [failure_of(trial) for trial in world.trials("Search")].count(SUPERSEDED) == 1
        assert world.conditions()["Succeeded"][0] == "True"


class TestRefresh:
    def test_rounds_look_again_and_train_only_what_is_new(self) -> None:
        world = started(refresh={"every": "8h"})
        world.settle()
        status = world.run().status
        assert status is not None
        assert status.refresh is not None
        assert status.refresh.round >= 3
        assert world.conditions()["Succeeded"] == ("True", "Published")
        assert len(world.done) == len(set(world.done)), "nothing that is unchanged is done again"
        assert len(world.jobs("prepare")) == status.refresh.round

    def test_what_is_in_the_way_of_a_round_leaves_the_run_succeeded(self) -> None:
        world = started(refresh={"every": "8h"})
        until(world, "Succeeded")
        world.reconcile()
        world.fails = lambda task: (ExitCode.BAD_INPUT, None)

        def on_call(call: Call, when: When) -> None:
            if (call.verb, call.resource) == ("create", JOBS):
                raise ForbiddenError("exceeded quota", status=403)

        world.on_call = on_call
        world.now = min(world.looks.values())
        world.reconcile()
        assert world.conditions()["Stalled"] == ("True", "Forbidden")
        assert world.conditions()["Succeeded"] == ("True", "Published")


class TestFailures:
    def test_a_training_that_cannot_succeed_ends_the_run_and_says_why(self) -> None:
        world = started()
        why = Failure(reason="NoTemplate", message="The model has no chat template.")
        world.fails = lambda task: (ExitCode.BAD_INPUT, why) if isinstance(task, TrainTask) and "math" in task.spec.delta else None
        world.settle()
        assert world.conditions()["Succeeded"] == ("False", "TrainingFailed")
        assert "The model has no chat template." in world.message("DeltasReady")
        (failed,) = [name for name in world.jobs("train") if world.get(JOBS, name)["status"]["conditions"][0]["type"] == "Failed"]
        assert '"NoTemplate"' in world.get(JOBS, failed)["metadata"]["annotations"]["autollm.dev/failure"]
        assert "TrainingFailed" in [event["reason"] for event in world.all(EVENTS) if event["type"] == "Warning"]

    def test_why_it_failed_outlives_the_pods_and_the_operator(self) -> None:
        world = started()
        why = Failure(reason="NoTemplate", message="The model has no chat template.")
        world.fails = lambda task: (ExitCode.BAD_INPUT, why) if isinstance(task, TrainTask) else None
        world.settle()
        for pod in world.all(PODS):
            world.delete(PODS, pod["metadata"]["name"])
        writes = len(world.api.writes())
        world.start_operator()
        world.settle()
        assert len(world.api.writes()) == writes

    def test_a_changed_spec_tries_what_failed_once_more(self) -> None:
        world = started()
        world.fails = lambda task: (ExitCode.BAD_INPUT, None) if isinstance(task, TrainTask) else None
        world.settle()
        failed = {name: world.get(JOBS, name)["metadata"]["uid"] for name in world.jobs("train")}
        world.fails = lambda task: None
        world.apply(remote_run(search={"trials": 5}))
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")
        assert all(world.get(JOBS, name)["metadata"]["uid"] != uid for name, uid in failed.items())

    def test_a_failed_job_that_somebody_deletes_is_tried_again(self) -> None:
        world = started()
        world.fails = lambda task: (ExitCode.BAD_INPUT, None)
        world.settle()
        assert world.conditions()["Stalled"][0] == "True"
        world.fails = lambda task: None
        world.delete(JOBS, world.jobs("prepare")[0])
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_a_trial_that_fails_is_a_failed_trial(self) -> None:
        world = searching(trials=6)
        world.spoils = lambda trial: Failure(reason="NonFinite", message="The loss is not a number.") if trial.spec.number == 2 else None
        world.settle()
        counts = world.run().status.trials  # type: ignore[union-attr]  # it has one
        assert counts is not None
        assert (counts.total, counts.failed) == (6, 1)
        assert [event["reason"] for event in world.all(EVENTS)].count("TrialFailed") == 1

    def test_a_worker_that_hangs_is_replaced_in_its_slot(self) -> None:
        world = searching(trials=4)
        world.reconcile()
        (pool,) = world.jobs("evaluate")
        pod = world.start_pod(pool)
        world.reconcile()
        world.now += timedelta(days=2)
        world.start_operator()
        world.reconcile()
        assert world.find(PODS, pod["metadata"]["name"]) is None
        assert is_pending(world.trials("Search")[0]), "the next worker finds it"

    def test_evaluators_that_fail_for_good_end_the_run(self) -> None:
        world = searching(trials=4)
        world.reconcile()
        (pool,) = world.jobs("evaluate")
        assert isinstance(task_of(world.get(JOBS, pool)), EvaluateTask)
        world.end_job(pool, "Failed", "FailedIndexes", "Job has failed indexes")
        world.settle()
        assert world.conditions()["Succeeded"] == ("False", "JobFailed")


class TestDeletion:
    @pytest.mark.parametrize("condition", ["Validated", "DataReady", "DeltasReady", "SearchComplete"])
    def test_deleted_in_the_middle_and_applied_again(self, condition: str) -> None:
        world = until(started(), condition)
        world.reconcile()
        world.delete(RUNS, "demo")
        assert world.all(JOBS) + world.all(TRIALS) + world.all(TRAININGS) == []
        world.apply(remote_run())
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")
        trained = [key for key in world.done if key in world.deltas]
        assert len(trained) == len(set(trained)), "deltas are in the artifacts and not trained again"

    def test_applied_again_before_its_children_are_gone(self) -> None:
        world = until(started(), "DataReady")
        world.reconcile()
        world.api.holds = lambda resource, document: resource == JOBS
        world.delete(RUNS, "demo")
        leaving = world.jobs()
        world.api.holds = lambda resource, document: False
        world.apply(remote_run())
        world.reconcile()
        assert world.conditions()["Stalled"][0] == "False", "what leaves is waited for, not complained of"
        assert len(leaving) == 3
        for name in leaving:
            world.api.release(JOBS, NAMESPACE, name)
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_a_run_that_is_being_deleted_is_left_alone(self) -> None:
        world = until(started(), "DataReady")
        world.api.holds = lambda resource, document: resource == RUNS
        world.delete(RUNS, "demo")
        writes = len(world.api.writes())
        world.reconcile()
        assert len(world.api.writes()) == writes

    @pytest.mark.parametrize("resource", [TRAININGS, JOBS, TRIALS])
    def test_children_that_somebody_deletes_are_made_again(self, resource: Resource) -> None:
        world = until(started(), "DeltasReady")
        world.reconcile()
        for row in world.all(resource):
            world.delete(resource, row["metadata"]["name"])
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")
        trained = [key for key in world.done if key in world.deltas]
        assert len(trained) == len(set(trained))
