"""A worker whose report is there ends by itself: nobody stops it, so that its record and its log stay."""

from __future__ import annotations

import dataclasses

from autollm.plan.actions import StopTask
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
