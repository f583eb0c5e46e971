"""A worker goes on while what it does is asked for, and once its report is there it ends by itself, so that its record and its log stay."""

from __future__ import annotations

import dataclasses

import pytest

from autollm.plan.actions import EnsureTask, StopTask
from autollm.plan.errands import TIME_TO_END
from support.runs import make_run
from support.world import World


def test_a_worker_that_has_reported_is_left_to_end() -> None:
    world = World(make_run())
    reported = []
    while True:
        for action in world.plan().actions:
            assert not isinstance(action, StopTask) or world.tasks[action.id][1].kind == "Evaluate"
            world.act(action)
        waiting = [name for name in world.running() if name not in reported]
        if not waiting:
            break
        world.finish(waiting[0])
        if waiting[0] in world.tasks:  # its process is still there
            task, state = world.tasks[waiting[0]]
            world.tasks[waiting[0]] = task, dataclasses.replace(state, phase="Running", finished=None)
            reported.append(waiting[0])
    assert {world.tasks[name][1].kind for name in reported} == {"Prepare", "Train", "Publish"}
    assert world.conditions()["Succeeded"] == ("True", "Published")


KINDS = ["Prepare", "Train", "Publish", "Pin"]


def under_way(kind: str) -> tuple[World, str]:
    """A run in which a task of this kind has just begun, and its id."""
    world = World(make_run())
    if kind == "Pin":
        world.settle()
        world.revisions["r9"] = world.revisions["r1"].model_copy(update={"revision": "r9"})
        world.change(make_run(publish={"pin": "r9"}).spec)
    while True:
        for action in world.plan().actions:
            world.act(action)
        found = [name for name, (task, state) in world.tasks.items() if (task.kind, state.phase) == (kind, "Running")]
        if found:
            return world, found[0]
        world.finish(world.running()[0])


def test_a_preparation_that_did_not_know_of_the_gpus_begins_anew() -> None:
    """By them it chooses the number format, which the run then keeps."""
    world, name = under_way("Prepare")
    world.change(make_run(workers={"train": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}}).spec)
    actions = world.plan().actions
    assert StopTask(name) in actions
    assert any(isinstance(action, EnsureTask) for action in actions)


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_by_which_the_same_is_asked_lets_work_go_on(kind: str) -> None:
    world, _ = under_way(kind)
    search = world.run.spec.search.model_copy(update={"parallelism": 3})
    world.change(world.run.spec.model_copy(update={"search": search}))
    assert not [action for action in world.plan().actions if isinstance(action, StopTask | EnsureTask)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_has_reported_and_does_not_end_is_stopped_after_a_while(kind: str) -> None:
    world, name = under_way(kind)
    world.finish(name)
    task, state = world.tasks[name]
    world.tasks[name] = task, dataclasses.replace(state, phase="Running", finished=None)
    until = world.now + TIME_TO_END
    while world.now < until:
        made = world.plan()
        assert StopTask(name) not in made.actions
        for action in made.actions:
            world.act(action)
        assert made.requeue_after is not None
        world.now += made.requeue_after
    assert StopTask(name) in world.plan().actions
