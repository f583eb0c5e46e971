"""A trial that is asked for by name and failed is tried once more whenever the run is asked for again, as trainings are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from autollm.plan.landscape import failure_of
from autollm.plan.step import Ended
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from support.runs import make_run
from support.world import AnyErrand, World

PASSING = Failure(reason="InternalError", message="RuntimeError: the device was lost")
LASTING = Failure(reason="NonFinite", message="the model gives logits that are NaN")


def is_of(name: str) -> Callable[[MergeTrial], bool]:
    return lambda trial: trial.spec.split == "Test" and trial.spec.name == name


def is_finalist(trial: MergeTrial) -> bool:
    return trial.spec.split == "Search" and trial.spec.items is None


def failed(failing: Callable[[MergeTrial], bool], failure: Failure = PASSING, **changes: Any) -> World:
    """A run that has come to its end with these trials failed."""
    world = World(make_run(**changes))

    def fails(work: AnyErrand | MergeTrial) -> Failure | None:
        return failure if isinstance(work, MergeTrial) and failing(work) else None

    world.fails = fails
    world.settle()
    return world


def tried(world: World, kind: Callable[[MergeTrial], bool]) -> list[bool]:
    """Whether each trial of a kind was scored, in the order of their making."""
    return [failure_of(trial) is None for trial in world.trials.values() if kind(trial)]


def test_a_winner_that_could_not_be_tested_is_tested_when_the_run_is_asked_for_again() -> None:
    world = failed(is_of("auto"))
    ended = world.plan().state
    assert isinstance(ended, Ended)
    assert ended.reason == "TestFailed"
    assert ended.message.endswith("lost. `autollm run`, in a cluster `autollm retry`, tries it once more.")
    world.fails = lambda work: None
    world.run_again()
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")
    assert tried(world, is_of("auto")) == [False, True]


def test_it_is_tried_once_in_each_run() -> None:
    world = failed(is_of("auto"))
    for count in (2, 3):
        world.run_again()
        world.settle()
        assert world.conditions()["Succeeded"] == ("False", "TestFailed")
        assert tried(world, is_of("auto")) == [False] * count


def test_a_baseline_is_tried_again_too_and_the_winner_compared_with_it() -> None:
    world = failed(is_of("math/sft"))
    assert world.conditions()["Succeeded"][0] == "True"
    world.fails = lambda work: None
    world.run_again()
    world.settle()
    status = world.run.status
    assert status is not None
    (single,) = [row for row in status.results or [] if row.name == "math/sft"]
    assert single.test is not None
    assert single.versus is not None
    assert tried(world, is_of("math/sft")) == [False, True]


def test_finalists_of_which_none_was_scored_are_ranked_after_all() -> None:
    world = failed(is_finalist, search={"items": 5, "trials": 4, "finalists": 2})
    assert world.conditions()["Succeeded"] == ("False", "NoScores")
    world.fails = lambda work: None
    world.run_again()
    world.settle()
    assert world.conditions()["Succeeded"] == ("True", "Published")


@pytest.mark.parametrize("name", ["auto", "math/sft"])
def test_what_lies_in_the_candidate_is_not_tried_again(name: str) -> None:
    world = failed(is_of(name), LASTING)
    before = world.final_state()
    assert "Run again" not in str(world.conditions()) + world.plan().state.message
    world.run_again()
    world.settle()
    assert world.final_state() == before


def test_a_search_with_failed_trials_stays_as_it_was() -> None:
    world = failed(lambda trial: trial.spec.number == 1 and trial.spec.split == "Search")
    before = world.final_state()
    world.run_again()
    world.settle()
    assert world.final_state() == before
