"""Trainings on several nodes find each other by a Service: there while they are at work, and gone with their Job."""

from __future__ import annotations

from datetime import timedelta

from autollm_operator.api.port import Document
from autollm_operator.api.resources import JOBS, SERVICES, TRAININGS
from autollm_operator.reconcile.rendezvous import AGAIN
from support.cluster_stages import started, until
from support.cluster_world import NAMESPACE, ClusterWorld, remote_run

TWO_NODES = {"train": {"nodes": 2}}


def training(**workers: object) -> ClusterWorld:
    """A world in which two deltas are being trained, by default on two nodes each."""
    world = until(started(workers=workers or TWO_NODES), "DataReady")
    world.reconcile()
    for name in world.jobs("train"):
        world.start_pod(name)
    world.reconcile()
    return world


def owners(world: ClusterWorld) -> list[tuple[str, str]]:
    """Kind and uid of whom each Service belongs to."""
    found = [service["metadata"]["ownerReferences"][0] for service in world.all(SERVICES)]
    return sorted((owner["kind"], owner["uid"]) for owner in found)


def jobs(world: ClusterWorld) -> list[tuple[str, str]]:
    return sorted((JOBS.kind, world.get(JOBS, name)["metadata"]["uid"]) for name in world.jobs("train"))


def lose(world: ClusterWorld) -> Document:
    """Let somebody delete a Service."""
    service = world.all(SERVICES)[0]
    world.delete(SERVICES, service["metadata"]["name"])
    return service


def look_later(world: ClusterWorld) -> None:
    world.now += AGAIN + timedelta(seconds=1)
    world.resync()
    world.reconcile()


def test_each_job_has_one_of_its_own() -> None:
    world = training()
    assert owners(world) == jobs(world)
    assert len(owners(world)) == 2


def test_one_that_is_deleted_is_made_again() -> None:
    world = training()
    lose(world)
    look_later(world)
    assert owners(world) == jobs(world)


def test_one_that_is_deleted_while_no_operator_is_there_is_made_at_its_start() -> None:
    world = training()
    lose(world)
    world.start_operator()
    world.reconcile()
    assert owners(world) == jobs(world)


def test_it_is_not_asked_for_in_every_pass() -> None:
    world = training()
    calls = len(world.api.calls)
    for _ in range(3):
        world.resync()
        world.reconcile()
    assert [call for call in world.api.calls[calls:] if call.resource == SERVICES] == []


def test_it_goes_with_its_job_and_the_next_job_has_another() -> None:
    world = training()
    name = world.jobs("train")[0]
    before = owners(world)
    world.delete(JOBS, name)
    assert len(owners(world)) == 1
    world.reconcile()
    assert owners(world) == jobs(world) != before


def test_while_that_of_an_earlier_job_is_on_its_way_out_it_is_waited_for() -> None:
    world = training()
    name = world.jobs("train")[0]
    world.api.holds = lambda resource, document: resource == SERVICES
    world.delete(JOBS, name)
    world.reconcile()
    assert world.conditions()["Stalled"][0] == "False"
    (leaving,) = [service for service in world.all(SERVICES) if "deletionTimestamp" in service["metadata"]]
    world.api.release(SERVICES, NAMESPACE, leaving["metadata"]["name"])
    world.now += timedelta(seconds=5)
    world.reconcile()
    assert owners(world) == jobs(world)


def test_for_what_has_ended_none_is_made() -> None:
    world = training()
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")
    lose(world)
    look_later(world)
    assert len(owners(world)) == 1


def test_one_node_needs_none() -> None:
    world = training(train={"nodes": 1})
    world.settle()
    assert [call for call in world.api.calls if call.resource == SERVICES] == []


def test_a_name_that_is_somebody_elses_is_told_until_it_is_free() -> None:
    world = training()
    service = lose(world)
    theirs = {"metadata": {"name": service["metadata"]["name"], "namespace": NAMESPACE}, "spec": {"clusterIP": "None"}}
    world.api.create(SERVICES, theirs)
    look_later(world)
    assert world.conditions()["Stalled"] == ("True", "NameTaken")
    assert f"The Service {service['metadata']['name']}" in world.message("Stalled")
    world.delete(SERVICES, service["metadata"]["name"])
    look_later(world)
    assert world.conditions()["Stalled"][0] == "False"
    assert owners(world) == jobs(world)


def test_a_training_made_by_hand_has_one_too() -> None:
    child = training().all(TRAININGS)[0]
    world = ClusterWorld()
    world.api.create(TRAININGS, {"metadata": {"name": "mine", "namespace": NAMESPACE}, "spec": child["spec"]})
    world.reconcile()
    assert owners(world) == jobs(world)
    lose(world)
    look_later(world)
    assert owners(world) == jobs(world)


def test_fewer_nodes_for_one_that_waits_leave_no_service_behind() -> None:
    world = until(started(workers=TWO_NODES), "DataReady")
    world.reconcile()
    assert len(owners(world)) == 2
    world.apply(remote_run(workers={"train": {"nodes": 1}}))
    world.reconcile()
    assert owners(world) == []
    assert len(world.jobs("train")) == 2
