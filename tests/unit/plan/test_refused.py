"""A run that may not be carried out here: told as one whose document is wrong, and whatever of it is at work is stopped."""

from __future__ import annotations

import dataclasses

from autollm.plan.actions import StopTask
from autollm.plan.plan import plan
from autollm.plan.problems import Problem
from autollm.plan.step import Ended
from support.runs import make_run
from support.world import START, World


def test_a_run_that_is_refused_stalls_and_stops() -> None:
    world = World(make_run())
    for action in world.plan().actions:
        world.act(action)
    problem = Problem("ImageNotAllowed", "spec.workers.image: x is not allowed.")
    made = plan(dataclasses.replace(world.snapshot(), refused=problem), START)
    assert made.state == Ended(False, problem.reason, problem.message)
    assert [type(action) for action in made.actions] == [StopTask]
    assert {condition.type: condition.status for condition in made.status.conditions or []}["Validated"] == "False"
