"""An evaluator that hangs is replaced; a trial on which two of them hang has failed."""

from __future__ import annotations

from datetime import timedelta

from autollm.plan.actions import FailTrial, RestartEvaluator
from autollm.plan.hanging import FIRST_DEADLINE, GRACE, LOADING
from autollm.plan.landscape import is_pending
from support.runs import make_run
from support.world import World

ALLOWED = GRACE + timedelta(seconds=10)
"""Every trial of the made-up world takes a second."""


def searching(scored: int = 1) -> tuple[World, str]:
    """A world with a trial that nobody scores."""
    world = World(make_run())
    while sum(not is_pending(trial) for trial in world.trials.values()) < scored or not any(map(is_pending, world.trials.values())):
        for action in world.plan().actions:
            world.act(action)
        if sum(not is_pending(trial) for trial in world.trials.values()) < scored or not world.trials:
            for name in world.running():
                world.finish(name)
    (pending,) = [name for name, trial in world.trials.items() if is_pending(trial)]
    return world, pending


def test_in_time_nothing_is_done_but_looking_again() -> None:
    world, _ = searching()
    made = world.plan()
    assert made.actions == ()
    assert made.requeue_after == ALLOWED


def test_past_the_deadline_its_evaluator_is_replaced() -> None:
    world, _ = searching()
    world.now += ALLOWED
    (action,) = world.plan().actions
    assert isinstance(action, RestartEvaluator)
    assert action.slot == 0
    world.act(action)
    assert world.plan().actions == ()


def test_past_it_again_the_trial_has_failed() -> None:
    world, pending = searching()
    for allowed in (ALLOWED, LOADING + ALLOWED):
        world.now += allowed
        actions = world.plan().actions
        for action in actions:
            world.act(action)
    assert [type(action) for action in actions] == [FailTrial, RestartEvaluator]
    status = world.trials[pending].status
    assert status is not None
    assert status.failure is not None
    assert status.failure.reason == "DeadlineExceeded"


def test_while_the_run_was_suspended_nobody_hung() -> None:
    world, pending = searching()
    for suspend in (True, False):
        world.change(make_run(suspend=suspend).spec)
        for action in world.plan().actions:
            world.act(action)
        world.now += timedelta(hours=12) if suspend else LOADING + ALLOWED
    (action,) = world.plan().actions
    assert isinstance(action, RestartEvaluator)
    world.act(action)
    world.now += LOADING + ALLOWED
    assert FailTrial in [type(action) for action in world.plan().actions]
    assert is_pending(world.trials[pending])


def test_one_that_still_loads_does_not_hang_though_others_score() -> None:
    """As where the first of four has its model long before the last."""
    world = World(make_run(search={"trials": 12, "parallelism": 4}))
    while not any(trial.spec.slot == 3 for trial in world.trials.values()):
        for action in world.plan().actions:
            world.act(action)
        if not world.trials:
            world.finish(world.running()[0])
    begun = world.now
    while any(is_pending(trial) and trial.spec.slot == 0 for trial in world.trials.values()):
        world.finish(next(name for name, trial in world.trials.items() if is_pending(trial) and trial.spec.slot == 0))
        for action in world.plan().actions:
            world.act(action)
        if world.now > begun + timedelta(seconds=5):
            break
    world.now = begun + LOADING
    assert {action.slot for action in world.plan().actions if isinstance(action, RestartEvaluator)} == {0}
    world.now += ALLOWED
    assert {action.slot for action in world.plan().actions if isinstance(action, RestartEvaluator)} == {0, 1, 2, 3}


def test_one_that_loads_again_after_a_suspension_does_not_hang() -> None:
    world, pending = searching(scored=3)
    for suspend in (True, False):
        world.change(make_run(suspend=suspend).spec)
        for action in world.plan().actions:
            world.act(action)
    world.now += LOADING
    assert not any(isinstance(action, RestartEvaluator) for action in world.plan().actions)
    assert is_pending(world.trials[pending])


def test_the_first_trial_of_all_has_a_day() -> None:
    world, _ = searching(scored=0)
    world.now += ALLOWED
    made = world.plan()
    assert made.actions == ()
    assert made.requeue_after == FIRST_DEADLINE - ALLOWED
