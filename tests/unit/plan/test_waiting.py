"""A stage says what its tasks wait for: once however many do, in few words, and no more once they run."""

from __future__ import annotations

import dataclasses

import pytest

from autollm.plan.conditions import MESSAGE_LENGTH
from autollm.plan.waiting import Wait, with_waits
from support.runs import make_run
from support.world import World

NO_ROOM = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu (Unschedulable)"


def hold_up(world: World, reason: str) -> None:
    """Let every running task wait for this."""
    for name, (task, state) in world.tasks.items():
        if state.phase == "Running":
            world.tasks[name] = (task, dataclasses.replace(state, waiting=reason.replace("TASK", name)))


def messages(world: World) -> dict[str, str]:
    status = world.run.status
    return {condition.type: condition.message for condition in (status.conditions if status else None) or []}


def advance(world: World, stage: str) -> None:
    """Go on until a stage is being worked on."""
    for _ in range(50):
        for action in world.plan().actions:
            world.act(action)
        if world.conditions()["Reconciling"] == ("True", stage):
            return
        for name in world.running():
            world.finish(name)
    raise AssertionError(f"{stage} was never reached")


@pytest.mark.parametrize(
    ("stage", "condition", "beginning"),
    [
        ("Preparing", "DataReady", "The sources are read, split and cut into chunks. Waiting: "),
        ("Training", "DeltasReady", "0 of 2 deltas are ready, 0 of them reused. Waiting (2 tasks): "),
        ("Searching", "SearchComplete", "0 of 4 trials are done. Waiting: "),
        ("Ranking", "SearchComplete", "The best 2 are scored on all 40 search items. Waiting: "),
        ("Testing", "Published", "0 of 5 candidates are scored on the test split. Waiting: "),
        ("Publishing", "Published", "Better: "),
    ],
)
def test_what_a_stage_waits_for_stands_in_its_condition_and_in_reconciling(stage: str, condition: str, beginning: str) -> None:
    world = World(make_run(search={"items": 5, "finalists": 2}, baselines={"average": False}))
    advance(world, stage)
    hold_up(world, NO_ROOM)
    world.plan()
    told = messages(world)
    assert told[condition].startswith(beginning)
    assert told[condition].endswith(f": {NO_ROOM}.")
    assert told["Reconciling"] == told[condition]
    hold_up(world, "")
    world.plan()
    assert "Waiting" not in str(messages(world))


def test_each_training_says_what_it_waits_for() -> None:
    world = World(make_run())
    advance(world, "Training")
    hold_up(world, NO_ROOM)
    for action in world.plan().actions:
        world.act(action)
    told = [condition for training in world.trainings.values() if training.status for condition in training.status.conditions or []]
    assert {(condition.reason, condition.message) for condition in told} == {("Waiting", NO_ROOM)}


def test_sentences_that_differ_in_the_name_of_their_task_are_told_once() -> None:
    world = World(make_run())
    advance(world, "Training")
    hold_up(world, "It is queued: the Job TASK is suspended until its turn comes.")
    world.plan()
    assert messages(world)["Reconciling"].count("It is queued") == 1
    assert "Waiting (2 tasks): It is queued: the Job demo-train-" in messages(world)["Reconciling"]


def test_many_reasons_are_a_few_and_a_number() -> None:
    waits = [Wait(f"task-{number}", f"reason {number} " + "x" * 2000 + "\x1b[31m") for number in range(1500)]
    told = with_waits("0 of 1500 deltas are ready.", waits)
    assert told.startswith("0 of 1500 deltas are ready. Waiting: reason 0 xxx")
    assert told.endswith(" 1497 more tasks wait for other reasons.")
    assert len(told) < MESSAGE_LENGTH
    assert "\x1b" not in told


def test_no_reason_adds_nothing() -> None:
    assert with_waits("2 of 4 deltas are ready.", [Wait("a", ""), Wait("b", "")]) == "2 of 4 deltas are ready."
