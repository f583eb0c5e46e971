"""Rounds of `refresh` in a cluster: begun in time, by whichever process is there, and what failed in one is tried again in the next."""

from __future__ import annotations

from datetime import timedelta

from autollm.contract.exit_codes import ExitCode
from autollm.contract.pod import GENERATION_LABEL
from autollm.resources.metadata import Failure
from autollm_operator.api.resources import JOBS, TRAININGS
from support.cluster_stages import started
from support.cluster_world import ClusterWorld, task_of
from support.world import START

EVERY = timedelta(hours=48)


def first_round(**changes: object) -> ClusterWorld:
    """A world at the moment at which the second round is due; settling takes it there."""
    world = started(refresh={"every": "48h"}, **changes)
    world.settle()
    assert world.now == START + EVERY
    return world


def round_of(world: ClusterWorld) -> int:
    status = world.run().status
    assert status is not None
    assert status.refresh is not None
    return status.refresh.round


def test_a_round_begins_in_time_though_the_operator_was_started_anew() -> None:
    world = first_round()
    done = list(world.done)
    world.start_operator()
    world.reconcile()
    assert (round_of(world), world.conditions()["Succeeded"]) == (2, ("True", "Published"))
    assert world.message("Reconciling").startswith("Round 2: ")
    running = [task_of(world.get(JOBS, name)) for name in world.running()]
    assert [task.kind for task in running] == ["Prepare"]
    for name in world.running():
        world.finish(name)
    world.reconcile()
    assert world.done == done
    assert world.conditions()["Reconciling"] == ("False", "Published")


def test_a_training_that_failed_is_tried_again_in_the_next_round_and_not_before() -> None:
    failing = [True]
    world = ClusterWorld()
    told = Failure(reason="Diverged", message="The loss is NaN; lower learningRate.")
    world.fails = lambda task: (ExitCode.BAD_INPUT, told) if failing and task.kind == "Train" and task.spec.delta == "math/sft" else None
    world.apply(started(refresh={"every": "48h"}).run().model_copy(update={"status": None}))
    world.settle()
    assert world.conditions()["Succeeded"] == ("False", "TrainingFailed")
    (failed,) = [job for job in world.all(JOBS) if any(one["type"] == "Failed" for one in job.get("status", {}).get("conditions", []))]
    failing.clear()
    world.start_operator()
    world.reconcile()
    while round_of(world) == 1 or world.running():
        for name in world.running()[:1]:
            world.finish(name)
        world.reconcile()
    assert world.conditions()["Succeeded"] == ("True", "Published")
    again = world.get(JOBS, failed["metadata"]["name"])
    assert again["metadata"]["uid"] != failed["metadata"]["uid"]
    assert (failed["metadata"]["labels"][GENERATION_LABEL], again["metadata"]["labels"][GENERATION_LABEL]) == ("1", "2")
    assert all(training["status"].get("delta") for training in world.all(TRAININGS))
