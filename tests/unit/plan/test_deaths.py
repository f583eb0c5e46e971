"""An evaluator that dies fails its trial the second time, and never the search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from autollm.plan.actions import Action, EnsureEvaluators, FailTrial
from autollm.plan.landscape import failure_of, is_pending
from autollm.plan.snapshot import TaskState
from autollm.plan.step import Ended
from autollm.resources.metadata import Failure
from support.runs import make_run
from support.world import World

OUT_OF_MEMORY = Failure(reason="OOMKilled", message="The pod x needed more than workers.evaluate.resources.limits.memory allows.")
STORE = Failure(reason="StoreUnavailable", message="No answer.")


def searching(**search: object) -> tuple[World, str]:
    """A world with one trial that waits for its score."""
    world = World(make_run(search={"trials": 6, **search}))
    while not any(map(is_pending, world.trials.values())):
        for action in world.plan().actions:
            world.act(action)
        if not world.trials:
            world.finish(world.running()[0])
    (pending,) = [name for name, trial in world.trials.items() if is_pending(trial)]
    return world, pending


def pool(world: World, **changes: object) -> TaskState:
    """Change how the evaluators are doing."""
    (name,) = [name for name, (task, _) in world.tasks.items() if task.kind == "Evaluate"]
    task, state = world.tasks[name]
    world.tasks[name] = (task, dataclasses.replace(state, **changes))  # type: ignore[arg-type]  # named by the tests
    return state


def act(world: World) -> Sequence[Action]:
    """Plan once and carry it out."""
    actions = world.plan().actions
    for action in actions:
        world.act(action)
    return actions


def deaths(trial: str, times: int) -> Mapping[str, tuple[Failure, ...]]:
    return {trial: (OUT_OF_MEMORY,) * times}


class TestWhileTheyAreStartedAgain:
    def test_the_first_death_is_an_accident(self) -> None:
        world, trial = searching()
        pool(world, deaths=deaths(trial, 1))
        assert world.plan().actions == ()

    def test_the_second_fails_the_trial_and_says_what_to_do(self) -> None:
        world, trial = searching()
        pool(world, deaths=deaths(trial, 2))
        (action,) = act(world)
        assert isinstance(action, FailTrial)
        assert (action.name, action.failure.reason) == (trial, "EvaluatorDied")
        assert action.failure.message == f"2 evaluators died one after the other while scoring it (OOMKilled): {OUT_OF_MEMORY.message}"

    def test_the_slot_gets_the_next_trial_and_the_run_is_published(self) -> None:
        world, trial = searching()
        pool(world, deaths=deaths(trial, 2))
        made = world.settle()
        assert made.state == Ended(True, "Published", made.state.message)
        counts = made.status.trials
        assert counts is not None
        assert (counts.total, counts.succeeded, counts.failed) == (6, 5, 1)
        assert [name for name, found in world.trials.items() if failure_of(found) is not None] == [trial]

    def test_too_many_of_them_end_the_search_with_the_cause_of_the_last(self) -> None:
        world, _ = searching(maxFailed=2)
        for _ in range(3):
            (pending,) = [name for name, trial in world.trials.items() if is_pending(trial)]
            pool(world, deaths=deaths(pending, 2))
            act(world)
            act(world)
        state = world.plan().state
        assert isinstance(state, Ended)
        assert state.reason == "TooManyFailedTrials"
        assert "OOMKilled" in state.message

    def test_a_trial_that_has_its_outcome_keeps_it(self) -> None:
        world, trial = searching()
        pool(world, deaths=deaths(trial, 2))
        world.finish(trial)
        assert not [action for action in act(world) if isinstance(action, FailTrial)]


class TestWithTheirRetriesUsedUp:
    @pytest.mark.parametrize("times", [1, 2])
    def test_by_a_trial_that_one_has_failed_and_they_are_started_again(self, times: int) -> None:
        world, trial = searching()
        pool(world, phase="Failed", failure=OUT_OF_MEMORY, deaths=deaths(trial, times), died_on=trial)
        (failed,) = act(world)
        assert isinstance(failed, FailTrial)
        assert failed.name == trial
        again = act(world)
        assert EnsureEvaluators in [type(action) for action in again]
        assert world.settle().state.reason == "Published"
        assert [name for name, found in world.trials.items() if failure_of(found) is not None] == [trial]

    def test_by_a_trial_that_was_failed_before(self) -> None:
        world, trial = searching()
        pool(world, deaths=deaths(trial, 2))
        act(world)
        act(world)
        pool(world, phase="Failed", failure=OUT_OF_MEMORY, died_on=trial)
        assert any(isinstance(action, EnsureEvaluators) for action in act(world))

    @pytest.mark.parametrize(("died_on", "failure"), [("", STORE), ("demo-of-another-time", OUT_OF_MEMORY)])
    def test_by_anything_else_they_end_the_run(self, died_on: str, failure: Failure) -> None:
        world, trial = searching()
        pool(world, phase="Failed", failure=failure, deaths=deaths(trial, 1), died_on=died_on)
        state = world.plan().state
        assert isinstance(state, Ended)
        assert (state.reason, state.message) == (failure.reason, failure.message)
        assert is_pending(world.trials[trial])
        assert act(world) == ()

    def test_on_a_trial_that_was_scored_all_the_same_they_end_the_run(self) -> None:
        """Otherwise nothing would ever end evaluators that die after each report."""
        world, trial = searching()
        world.finish(trial)
        pool(world, phase="Failed", failure=OUT_OF_MEMORY, deaths=deaths(trial, 1), died_on=trial)
        assert isinstance(world.plan().state, Ended)
