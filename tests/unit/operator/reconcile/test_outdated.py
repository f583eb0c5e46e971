"""Workers that change while Jobs wait: those are made anew, and what is at work stays as it is."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.contract.pod import CONTAINER
from autollm_operator.api.resources import JOBS, PODS, RUNS, TRAININGS, TRIALS
from autollm_operator.settings import Settings
from support.cluster_stages import searching, started, until
from support.cluster_world import NAMESPACE, SETTINGS, ClusterWorld, remote_run

NO_ROOM = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: Insufficient gpu."}],
}
SAVING = {"phase": "Running", "containerStatuses": [{"name": CONTAINER, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}
KILLED = {"phase": "Failed", "containerStatuses": [{"name": CONTAINER, "state": {"terminated": {"exitCode": 137}}}]}
REPORTING = {"phase": "Succeeded", "containerStatuses": [{"name": CONTAINER, "state": {"terminated": {"exitCode": 0}}}]}
TWO_GPUS, ONE_GPU = ({"resources": {"limits": {"nvidia.com/gpu": count}}} for count in (2, 1))
WORKERS = {"train": TWO_GPUS, "evaluate": TWO_GPUS}


def training() -> ClusterWorld:
    """A world in which two deltas are to be trained on two GPUs each."""
    world = until(started(workers=WORKERS), "DataReady")
    world.reconcile()
    return world


def change(world: ClusterWorld, **workers: Any) -> None:
    world.apply(remote_run(workers={**WORKERS, **workers}))
    world.reconcile()


def uid(world: ClusterWorld, name: str) -> str:
    return str(world.get(JOBS, name)["metadata"]["uid"])


def gpus(world: ClusterWorld, name: str) -> str:
    (container,) = world.get(JOBS, name)["spec"]["template"]["spec"]["containers"]
    return str(container["resources"]["limits"]["nvidia.com/gpu"])


def test_a_training_whose_pod_waits_is_made_anew_and_one_at_work_goes_on() -> None:
    world = training()
    waiting, at_work = world.jobs("train")
    pod = world.start_pod(waiting, status=NO_ROOM)["metadata"]["name"]
    world.start_pod(at_work)
    before = {name: uid(world, name) for name in (waiting, at_work)}
    change(world, train=ONE_GPU)
    assert (uid(world, waiting) != before[waiting], gpus(world, waiting)) == (True, "1")
    assert (uid(world, at_work), gpus(world, at_work)) == (before[at_work], "2")
    assert world.find(PODS, pod) is None
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")


@pytest.mark.parametrize(
    ("pods", "renewed"),
    [([], True), ([NO_ROOM], True), ([KILLED], True), ([KILLED, NO_ROOM], True), ([REPORTING], False), ([KILLED, SAVING], False)],
    ids=["queued-or-not-made", "no-room", "tried-again-later", "tried-again-and-no-room", "reports", "tried-again"],
)
def test_what_waits(pods: list[dict[str, Any]], *, renewed: bool) -> None:
    world = training()
    name = world.jobs("train")[0]
    for status in pods:
        world.start_pod(name, status=status)
    world.reconcile()
    before = uid(world, name)
    change(world, train=ONE_GPU)
    assert (uid(world, name) != before) == renewed


def test_one_that_saves_before_it_leaves_its_node_has_the_new_workers_next() -> None:
    world = training()
    name = world.jobs("train")[0]
    pod = world.start_pod(name)["metadata"]["name"]
    world.api.holds = lambda resource, document: resource == PODS
    world.delete(PODS, pod)
    world.reconcile()
    before = uid(world, name)
    change(world, train=ONE_GPU)
    assert uid(world, name) == before
    world.api.release(PODS, NAMESPACE, pod)
    world.reconcile()
    assert (uid(world, name) != before, gpus(world, name)) == (True, "1")


def test_its_pods_are_gone_before_another_job_begins() -> None:
    world = training()
    name = world.jobs("train")[0]
    pod = world.start_pod(name, status=NO_ROOM)["metadata"]["name"]
    world.api.holds = lambda resource, document: resource == PODS
    before = uid(world, name)
    change(world, train=ONE_GPU)
    assert uid(world, name) == before
    assert "deletionTimestamp" in world.get(JOBS, name)["metadata"]
    world.api.release(PODS, NAMESPACE, pod)
    world.reconcile()
    assert gpus(world, name) == "1"


@pytest.mark.parametrize("at_work", [0, 1])
def test_evaluators_are_made_anew_where_all_of_them_wait(at_work: int) -> None:
    world = searching(trials=4, parallelism=2)
    world.reconcile()
    (pool,) = world.jobs("evaluate")
    for index in range(2):
        world.start_pod(pool, index, None if index < at_work else NO_ROOM)
    world.reconcile()
    before = uid(world, pool)
    world.apply(remote_run(search={"trials": 4, "parallelism": 2}, workers={"evaluate": ONE_GPU}))
    world.reconcile()
    assert (uid(world, pool) != before) == (at_work == 0)
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")


def test_a_change_that_is_not_about_them_leaves_jobs_as_they_are() -> None:
    world = training()
    before = [uid(world, name) for name in world.jobs("train")]
    change(world, evaluate=ONE_GPU, ttlAfterFinished="2h")
    assert [uid(world, name) for name in world.jobs("train")] == before


@pytest.mark.parametrize(("image", "renewed"), [("registry.test/autollm-runtime:2", False), ("mirror.test/autollm-runtime:1", True)])
def test_an_upgrade_of_the_operator_leaves_them_and_another_registry_does_not(image: str, *, renewed: bool) -> None:
    world = training()
    before = [uid(world, name) for name in world.jobs("train")]
    world.settings = Settings.parse(SETTINGS.document() | {"workers": {"image": image}})
    world.start_operator()
    world.reconcile()
    assert [uid(world, name) != was for name, was in zip(world.jobs("train"), before, strict=True)] == [renewed, renewed]


def test_jobs_of_an_operator_that_wrote_no_digest_are_left_alone() -> None:
    world = training()
    name = world.jobs("train")[0]
    world.api.patch(JOBS, NAMESPACE, name, {"metadata": {"annotations": {"autollm.dev/workers": None}}})
    before = uid(world, name)
    change(world, train=ONE_GPU)
    assert uid(world, name) == before


def test_a_suspended_run_gets_no_new_jobs() -> None:
    world = training()
    world.apply(remote_run(workers={"train": ONE_GPU}, suspend=True))
    writes = len(world.api.writes())
    world.reconcile()
    assert world.jobs("train") == []
    assert [call.verb for call in world.api.writes()[writes:] if call.resource == JOBS] == ["delete", "delete"]


class TestByHand:
    def test_a_training_that_waits_is_made_anew(self) -> None:
        child = training().all(TRAININGS)[0]
        world = ClusterWorld()
        world.api.create(TRAININGS, {"metadata": {"name": "mine", "namespace": NAMESPACE}, "spec": child["spec"]})
        world.reconcile()
        (name,) = world.jobs("train")
        world.start_pod(name, status=NO_ROOM)
        world.api.patch(TRAININGS, NAMESPACE, "mine", {"spec": {"workers": {"train": ONE_GPU}}})
        world.reconcile()
        assert gpus(world, name) == "1"

    def test_one_that_may_not_have_what_it_asks_for_now_keeps_what_it_has(self) -> None:
        child = training().all(TRAININGS)[0]
        world = ClusterWorld()
        world.api.create(TRAININGS, {"metadata": {"name": "mine", "namespace": NAMESPACE}, "spec": child["spec"]})
        world.reconcile()
        (name,) = world.jobs("train")
        before = uid(world, name)
        world.api.patch(TRAININGS, NAMESPACE, "mine", {"spec": {"workers": {"image": "evil.test/x:1"}}})
        world.reconcile()
        assert uid(world, name) == before

    @pytest.mark.parametrize("gone", [False, True])
    def test_a_trial_that_waits_gets_the_workers_of_its_run_while_there_is_one(self, *, gone: bool) -> None:
        world = started(workers=WORKERS)
        world.settle()
        world.api.create(
            TRIALS,
            {
                "metadata": {"name": "mine", "namespace": NAMESPACE},
                "spec": {"run": "demo", "split": "Search", "weights": {"math/sft": "0.25"}},
            },
        )
        world.reconcile()
        name = next(name for name in world.jobs("evaluate") if name.startswith("mine"))
        world.start_pod(name, status=NO_ROOM)
        before = uid(world, name)
        if gone:
            world.delete(RUNS, "demo")
            world.resync()
            world.reconcile()
        else:
            change(world, evaluate=ONE_GPU)
        assert (uid(world, name), gpus(world, name)) == (before, "2") if gone else gpus(world, name) == "1"
