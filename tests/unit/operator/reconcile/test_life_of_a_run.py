"""The life of a run in a cluster, from `kubectl apply` to a published model, and what users do to it meanwhile."""

from __future__ import annotations

from collections import Counter

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.pod import GENERATION_LABEL
from autollm.contract.tasks import TrainTask
from autollm.plan.landscape import OUTDATED, failure_of, is_pending
from autollm_operator.api.port import ForbiddenError
from autollm_operator.api.resources import EVENTS, JOBS, PODS, RUNS, TRAININGS, TRIALS
from autollm_operator.cache.parsed import LOOK_AGAIN_ANNOTATION
from autollm_operator.commands.retry import look_again
from support.cluster_stages import searching, started, until
from support.cluster_world import NAMESPACE, ClusterWorld, remote_run, task_of
from support.fake_api import Call, When


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

    def test_a_delta_that_failed_is_tried_again_under_another_name(self) -> None:
        world = ClusterWorld()
        world.fails = lambda task: (ExitCode.BAD_INPUT, None) if isinstance(task, TrainTask) else None
        world.apply(remote_run())
        world.settle()
        failed = world.jobs("train")
        world.fails = lambda task: None
        world.apply(remote_run(training={"methods": [{"name": "tuned", "sft": {}}]}))
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")
        assert world.jobs("train") == failed, "the key is the same"

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

    def test_more_evaluators_that_admission_control_does_not_allow_keep_no_trial_waiting(self) -> None:
        world = searching(trials=12, parallelism=2)
        world.reconcile()
        (pool,) = world.jobs("evaluate")

        def on_call(call: Call, when: When) -> None:
            if (call.verb, call.name, when) == ("patch", pool, "before"):
                raise ForbiddenError("exceeded quota: gpus", status=403)

        world.on_call = on_call
        world.apply(remote_run(search={"trials": 12, "parallelism": 4}))
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")
        assert len(world.trials("Search")) == 12

    def test_fewer_evaluators_leave_no_trial_behind(self) -> None:
        world = searching(trials=12, parallelism=4)
        world.reconcile()
        (pool,) = world.jobs("evaluate")
        world.api.patch(JOBS, NAMESPACE, pool, {"status": {"startTime": world.stamp()}}, subresource="status")
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
        assert [failure_of(trial) for trial in world.trials("Search")].count(OUTDATED) == 1
        assert world.conditions()["Succeeded"][0] == "True"

    def test_a_wider_space_goes_on_where_a_narrow_one_was_exhausted(self) -> None:
        world = started(search={"trials": 8, "space": {"deltas": [{"match": "*", "min": "0.5", "max": "0.50000001"}]}})
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "SpaceExhausted")
        world.apply(remote_run(search={"trials": 8, "space": {"deltas": [{"match": "*", "min": "0", "max": "1"}]}}))
        world.settle()
        assert world.conditions()["SearchComplete"] == ("True", "TrialsDone")


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

    def test_rounds_that_fail_leave_the_record_of_the_last_one_alone(self) -> None:
        world = started(refresh={"every": "8h"})
        world.fails = lambda task: (ExitCode.BAD_INPUT, None)
        world.settle()
        failed = [world.get(JOBS, name) for name in world.jobs("prepare")]
        assert len(failed) >= 3
        lasting = [job["metadata"]["labels"][GENERATION_LABEL] for job in failed if "ttlSecondsAfterFinished" not in job["spec"]]
        assert lasting == [str(len(failed))]

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


class TestLookAgain:
    def test_everything_is_looked_for_once_and_what_is_there_is_not_made_again(self) -> None:
        world = started()
        world.settle()
        done, conditions, trainings = list(world.done), world.conditions(), {row["metadata"]["name"] for row in world.all(TRAININGS)}
        assert len(world.jobs("prepare")) == 1
        removed = list(look_again(world.api, NAMESPACE, "demo", world.now))
        assert set(removed) == {f"dt/{name}" for name in trainings}
        world.settle()
        assert len(world.jobs("prepare")) == 2
        assert {row["metadata"]["name"] for row in world.all(TRAININGS)} == trainings
        world.start_operator()
        world.settle()
        assert len(world.jobs("prepare")) == 2, "asking once is enough for one look, and for no other"
        assert (world.done, world.conditions()) == (done, conditions)

    def test_what_was_written_on_the_run_may_be_taken_back_and_written_again(self) -> None:
        world = started()
        for asked in ("once", None, "once", None):
            world.settle()
            world.api.patch(RUNS, NAMESPACE, "demo", {"metadata": {"annotations": {LOOK_AGAIN_ANNOTATION: asked}}})
        world.settle()
        assert world.conditions()["Succeeded"] == ("True", "Published")
        assert len(world.jobs("prepare")) == 5

    def test_a_delta_that_somebody_removed_is_trained_again(self) -> None:
        world = started()
        world.settle()
        done = list(world.done)
        removed = world.deltas.pop()
        list(look_again(world.api, NAMESPACE, "demo", world.now))
        world.settle()
        assert world.done == [*done, removed]
        assert world.conditions()["Succeeded"] == ("True", "Published")

    def test_who_may_not_change_the_run_removes_nothing(self) -> None:
        world = started()
        world.settle()
        before = world.all(TRAININGS), world.all(JOBS), world.all(RUNS)

        def refuse(call: Call, when: When) -> None:
            if call.verb == "patch":
                raise ForbiddenError("cannot patch", status=403)

        world.api.fault = refuse
        with pytest.raises(ForbiddenError):
            list(look_again(world.api, NAMESPACE, "demo", world.now))
        assert (world.all(TRAININGS), world.all(JOBS), world.all(RUNS)) == before
