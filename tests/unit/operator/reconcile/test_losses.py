"""What goes wrong with the work of a run, and what somebody deletes of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.pod import CONTAINER
from autollm.contract.tasks import EvaluateTask, TrainTask
from autollm.plan.landscape import failure_of, is_pending
from autollm.resources.metadata import Failure
from autollm_operator.api.resources import EVENTS, JOBS, PODS, RUNS, TRAININGS, TRIALS, Resource
from support.cluster_stages import searching, started, until
from support.cluster_world import NAMESPACE, remote_run, task_of


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

    def test_a_trial_on_which_two_workers_hang_has_failed_and_both_are_replaced(self) -> None:
        world = searching(trials=4)
        world.reconcile()
        (pool,) = world.jobs("evaluate")
        hanging = world.trials("Search")[0].metadata.name
        for _ in range(2):
            pod = world.start_pod(pool)["metadata"]["name"]
            world.now += timedelta(days=1)
            world.start_operator()
            world.reconcile()
            assert world.find(PODS, pod) is None
        (failed,) = [trial for trial in world.trials("Search") if trial.metadata.name == hanging]
        failure = failure_of(failed)
        assert failure is not None
        assert failure.reason == "DeadlineExceeded"

    def test_a_worker_whose_pod_waited_long_for_a_node_has_not_hung_before(self) -> None:
        world = searching(trials=4)
        world.reconcile()
        (pool,) = world.jobs("evaluate")
        world.api.patch(JOBS, NAMESPACE, pool, {"status": {"startTime": world.stamp()}}, subresource="status")
        pod = world.start_pod(pool, status={"phase": "Pending"})["metadata"]["name"]
        world.now += timedelta(days=2)
        running = {"phase": "Running", "containerStatuses": [{"name": CONTAINER, "state": {"running": {"startedAt": world.stamp()}}}]}
        world.api.patch(PODS, NAMESPACE, pod, {"status": running}, subresource="status")
        world.now += timedelta(days=1)
        world.start_operator()
        world.reconcile()
        assert world.find(PODS, pod) is None
        assert is_pending(world.trials("Search")[0])

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

    @pytest.mark.parametrize("condition", ["Validated", "DataReady", "DeltasReady"])
    def test_of_a_run_that_somebody_holds_all_work_stops_and_nothing_else_is_written(self, condition: str) -> None:
        world = until(started(), condition)
        world.reconcile()
        at_work = [name for name in world.jobs() if not world.get(JOBS, name).get("status")]
        world.api.patch(RUNS, NAMESPACE, "demo", {"metadata": {"finalizers": ["backup.test/keep"]}})
        world.delete(RUNS, "demo")
        writes = len(world.api.writes())
        world.reconcile()
        world.resync()
        world.reconcile()
        asked = world.api.writes()[writes:]
        assert {(call.verb, call.resource) for call in asked} == {("delete", JOBS)}
        assert sorted(call.name for call in asked) == sorted(at_work)
        assert not [name for name in at_work if world.find(JOBS, name)]
        assert world.find(RUNS, "demo") is not None

    def test_of_a_training_made_by_hand_that_somebody_holds_too(self) -> None:
        world = until(started(), "DataReady")
        world.reconcile()
        (spec, *_) = [training["spec"] for training in world.all(TRAININGS)]
        metadata = {"name": "mine", "namespace": NAMESPACE, "finalizers": ["backup.test/keep"]}
        world.delete(RUNS, "demo")
        world.api.create(TRAININGS, {"metadata": metadata, "spec": spec})
        world.reconcile()
        assert len(world.jobs("train")) == 1
        world.delete(TRAININGS, "mine")
        world.reconcile()
        assert world.jobs("train") == []

    def test_work_whose_run_goes_without_it_goes_on(self) -> None:
        world = until(started(), "DataReady")
        world.reconcile()
        world.api.patch(RUNS, NAMESPACE, "demo", {"metadata": {"finalizers": ["orphan"]}})
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
