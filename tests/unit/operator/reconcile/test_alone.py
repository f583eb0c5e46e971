"""Trainings and trials that somebody applies by hand, without a run that made them."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.tasks import EvaluateTask, TrainTask
from autollm.resources.metadata import Failure
from autollm_operator.api.resources import JOBS, RUNS, TRAININGS, TRIALS, Resource
from autollm_operator.cache.keys import Key
from support.cluster_world import NAMESPACE, ClusterWorld, remote_run, task_of
from support.kubernetes_objects import Document


def of_a_run(resource: Resource) -> tuple[ClusterWorld, Document]:
    """A world in which a run has come to its end, and one of its children to be made by hand as well."""
    world = ClusterWorld()
    world.apply(remote_run())
    world.settle()
    return world, world.all(resource)[0]


def make(world: ClusterWorld, resource: Resource, name: str, spec: Document) -> None:
    world.api.create(resource, {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})


def conditions(world: ClusterWorld, resource: Resource, name: str = "mine") -> dict[str, tuple[str, str]]:
    held = world.get(resource, name).get("status", {}).get("conditions", [])
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in held}


def message(world: ClusterWorld, resource: Resource, kind: str = "Succeeded") -> str:
    held = {condition["type"]: condition["message"] for condition in world.get(resource, "mine")["status"]["conditions"]}
    return str(held[kind])


@pytest.fixture
def training() -> ClusterWorld:
    _, child = of_a_run(TRAININGS)
    world = ClusterWorld()
    make(world, TRAININGS, "mine", child["spec"])
    return world


class TestTraining:
    def test_is_carried_out(self, training: ClusterWorld) -> None:
        training.reconcile()
        assert conditions(training, TRAININGS)["Succeeded"] == ("Unknown", "Training")
        (name,) = training.jobs("train")
        assert isinstance(task_of(training.get(JOBS, name)), TrainTask)
        assert training.get(JOBS, name)["metadata"]["ownerReferences"][0]["name"] == "mine"
        training.settle()
        assert conditions(training, TRAININGS)["Succeeded"] == ("True", "Trained")
        assert training.get(JOBS, name)["spec"]["ttlSecondsAfterFinished"] == 3600

    def test_that_fails_says_why_and_is_tried_again_with_other_workers(self, training: ClusterWorld) -> None:
        why = Failure(reason="OutOfMemory", message="The GPU is too small.")
        training.fails = lambda task: (ExitCode.OUT_OF_GPU_MEMORY, why)
        training.settle()
        assert conditions(training, TRAININGS)["Stalled"] == ("True", "OutOfMemory")
        assert "The GPU is too small." in message(training, TRAININGS)
        training.fails = lambda task: None
        limits = {"train": {"resources": {"limits": {"nvidia.com/gpu": 2}}}}
        training.api.patch(TRAININGS, NAMESPACE, "mine", {"spec": {"workers": limits}})
        training.settle()
        assert conditions(training, TRAININGS)["Succeeded"] == ("True", "Trained")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"workers": {"image": "evil.test/x:1"}}, "ImageNotAllowed"),
            ({"workers": {"serviceAccountName": "admin"}}, "ServiceAccountNotAllowed"),
            ({"artifacts": {"uri": "file:///here"}}, "NotReachable"),
            ({"maxTokens": 17}, "KeyMismatch"),
        ],
    )
    def test_what_is_not_allowed_is_told_and_not_done(self, change: dict[str, Any], reason: str) -> None:
        _, child = of_a_run(TRAININGS)
        world = ClusterWorld()
        make(world, TRAININGS, "mine", child["spec"] | change)
        world.settle()
        assert world.jobs() == []
        assert conditions(world, TRAININGS)["Stalled"] == ("True", reason)

    def test_one_of_a_run_is_left_to_the_run(self) -> None:
        world, child = of_a_run(TRAININGS)
        writes = len(world.api.writes())
        world.wake(Key(TRAININGS.kind, NAMESPACE, child["metadata"]["name"]))
        world.settle()
        assert len(world.api.writes()) == writes


class TestTrial:
    def test_of_a_run_that_has_its_deltas_is_scored(self) -> None:
        world, _ = of_a_run(TRIALS)
        before = world.run().status
        make(world, TRIALS, "mine", {"run": "demo", "split": "Search", "weights": {"math/sft": "0.25"}})
        world.reconcile()
        (name,) = world.jobs("evaluate")
        task = task_of(world.get(JOBS, name))
        assert isinstance(task, EvaluateTask)
        assert task.trial == "mine"
        assert world.get(JOBS, name)["metadata"]["ownerReferences"][0]["name"] == "mine"
        world.settle()
        stored = world.get(TRIALS, "mine")["status"]
        assert float(stored["score"]) > 0
        assert world.get(JOBS, name)["spec"]["ttlSecondsAfterFinished"] == 3600
        assert world.run().status == before, "the run's search knows nothing of it"

    def test_waits_for_the_deltas_of_its_run(self) -> None:
        world = ClusterWorld()
        world.apply(remote_run())
        make(world, TRIALS, "mine", {"run": "demo", "split": "Search", "weights": {"math/sft": "0.25"}})
        world.reconcile()
        assert conditions(world, TRIALS)["Succeeded"] == ("Unknown", "RunNotPrepared")
        world.settle()
        assert "score" in world.get(TRIALS, "mine")["status"]
        assert world.conditions()["Succeeded"] == ("True", "Published")

    @pytest.mark.parametrize(
        ("spec", "reason", "told"),
        [
            ({"run": "nobody"}, "RunNotFound", "there is no AutoLLMRun nobody"),
            ({"weights": {"maths/sft": "1"}}, "UnknownDelta", "math/sft"),
        ],
    )
    def test_what_cannot_be_scored_says_why(self, spec: dict[str, Any], reason: str, told: str) -> None:
        world, _ = of_a_run(TRIALS)
        make(world, TRIALS, "mine", {"run": "demo", "split": "Search", "weights": {"math/sft": "1"}} | spec)
        world.reconcile()
        assert conditions(world, TRIALS)["Succeeded"] == ("False", reason)
        assert told in message(world, TRIALS)
        assert world.jobs("evaluate") == []

    def test_with_what_only_runs_set_is_refused(self) -> None:
        world, child = of_a_run(TRIALS)
        make(world, TRIALS, "mine", child["spec"])
        world.reconcile()
        assert conditions(world, TRIALS)["Succeeded"] == ("False", "NotOfItsRun")

    def test_whose_evaluator_fails_is_a_failed_trial_and_stays_one(self) -> None:
        world, _ = of_a_run(TRIALS)
        make(world, TRIALS, "mine", {"run": "demo", "split": "Search", "weights": {"math/sft": "1"}})
        why = Failure(reason="DigestMismatch", message="The delta was changed.")
        world.fails = lambda task: (ExitCode.BAD_INPUT, why)
        world.settle()
        assert world.get(TRIALS, "mine")["status"]["failure"] == why.document()
        assert conditions(world, TRIALS)["Succeeded"] == ("False", "DigestMismatch")
        world.delete(JOBS, world.jobs("evaluate")[0])
        world.delete(RUNS, "demo")
        world.settle()
        assert world.jobs("evaluate") == []
