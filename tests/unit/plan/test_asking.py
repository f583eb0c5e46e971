"""Candidates are asked for so that no slot waits: for all free slots at once where no optimiser is needed, ahead where none is free."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.plan.actions import AskCandidate
from autollm.plan.landscape import is_pending
from autollm.plan.plan import Plan
from autollm.resources.merge_trial import MergeTrial, Origin
from support.runs import make_run
from support.world import World

TPE: dict[str, Any] = {"optuna": {}, "random": None}


def searching(**search: Any) -> World:
    """A world whose deltas are ready."""
    world = World(make_run(search=search))
    while world.conditions().get("DeltasReady", ("", ""))[0] != "True":
        for name in world.running():
            world.finish(name)
        for action in world.plan().actions:
            if not isinstance(action, AskCandidate):
                world.act(action)
    return world


def asked(made: Plan) -> list[AskCandidate]:
    return [action for action in made.actions if isinstance(action, AskCandidate)]


def act(world: World) -> list[AskCandidate]:
    made = world.plan()
    for action in made.actions:
        world.act(action)
    return asked(made)


def pending(world: World) -> list[MergeTrial]:
    return [trial for trial in world.trials.values() if is_pending(trial)]


def origin(trial: MergeTrial) -> Origin:
    assert trial.spec.origin is not None
    return trial.spec.origin


@pytest.mark.parametrize("optimizer", [{"random": {}}, TPE])
def test_all_slots_are_filled_in_one_pass_while_there_are_start_points(optimizer: dict[str, Any]) -> None:
    world = searching(trials=20, parallelism=4, optimizer=optimizer)
    assert [(ask.slot, ask.request.number) for ask in act(world)] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [trial.spec.slot for trial in pending(world)] == [0, 1, 2, 3]
    assert [origin(trial).pending for trial in pending(world)] == [0, 1, 2, 3]
    assert len({str(trial.spec.weights) for trial in pending(world)}) == 4


def test_where_an_optimiser_has_to_answer_first_one_is_asked_for_at_a_time() -> None:
    world = searching(trials=8, parallelism=4, optimizer=TPE)
    while len(world.trials) < 4:
        act(world)
    for trial in pending(world):
        world.finish(trial.metadata.name)
    assert len(asked(world.plan())) == 1
    for _ in range(4):
        act(world)
    assert sorted(trial.spec.slot or 0 for trial in pending(world)) == [0, 1, 2, 3]


def test_no_more_are_asked_for_than_the_search_has_trials() -> None:
    world = searching(trials=3, parallelism=8)
    assert [ask.request.number for ask in act(world)] == [0, 1, 2]
    assert act(world) == []


def test_ahead_is_asked_while_every_slot_is_busy_and_used_in_the_slot_that_becomes_free() -> None:
    world = searching(trials=12, parallelism=2, optimizer=TPE)
    act(world)
    for _ in range(6):
        world.finish(pending(world)[0].metadata.name)
        act(world)
    assert len(pending(world)) == 2
    (ahead,) = act(world)
    assert ahead.slot is None
    number, done = ahead.request.number, len(ahead.request.finished)
    world.finish(pending(world)[1].metadata.name)
    (question,) = [ask for ask in act(world) if ask.slot is not None]
    assert question.is_answered_by(ahead)
    assert len(question.request.finished) == done + 1
    (trial,) = [trial for trial in pending(world) if trial.spec.number == number]
    assert trial.spec.slot == question.slot
    # It says from what it was made, which is not what was known when its slot became free.
    assert (origin(trial).finished, origin(trial).pending) == (done, 2)


def test_the_last_trials_ask_for_nothing_ahead() -> None:
    world = searching(trials=4, parallelism=2)
    for _ in range(10):
        for ask in act(world):
            assert ask.request.number < 4
        if pending(world):
            world.finish(pending(world)[0].metadata.name)
    assert len([trial for trial in world.trials.values() if trial.spec.split == "Search"]) == 4


def test_a_single_evaluator_gets_candidates_made_from_every_result_before_them() -> None:
    world = searching(trials=6, parallelism=1)
    act(world)
    assert asked(world.plan()) == []


@pytest.mark.parametrize("change", [{"space": {"max": "1.2"}}, {"seed": 5}, {"optimizer": {"random": {}, "optuna": None}}, {"items": 10}])
def test_an_answer_to_another_search_is_none_to_this_one(change: dict[str, Any]) -> None:
    world = searching(trials=12, parallelism=2, optimizer=TPE)
    act(world)
    (ahead,) = asked(world.plan())
    world.change(make_run(search={"trials": 12, "parallelism": 2, "optimizer": TPE, **change}).spec)
    (question, *_) = asked(world.plan())
    assert not question.is_answered_by(ahead)
