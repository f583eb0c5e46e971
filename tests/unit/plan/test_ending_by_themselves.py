"""A worker goes on while what it does is asked for, and once its report is there it ends by itself, so that its record and its log stay."""

from __future__ import annotations

import dataclasses

import pytest

from autollm.plan.actions import EnsureTask, StopTask
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


@pytest.mark.parametrize("kind", ["Prepare", "Train", "Publish", "Pin"])
def test_a_change_by_which_the_same_is_asked_lets_work_go_on(kind: str) -> None:
    world = World(make_run(publish={"pin": "r1"} if kind == "Pin" else {}))
    while kind not in {state.kind for _, state in world.tasks.values()}:
        for name in world.running()[:1]:
            world.finish(name)
        for action in world.plan().actions:
            world.act(action)
    world.change(world.run.spec.model_copy(update={"search": world.run.spec.search.model_copy(update={"parallelism": 3})}))
    assert not [action for action in world.plan().actions if isinstance(action, StopTask | EnsureTask)]
