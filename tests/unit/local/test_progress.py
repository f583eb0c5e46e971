"""Plain progress: a line for every event, each once."""

from __future__ import annotations

import io

from autollm.local.progress import PlainProgress
from support.runs import make_run
from support.world import World


def shown(world: World, progress: PlainProgress) -> None:
    for _ in range(100):
        made = world.plan()
        progress.show(world.snapshot(), made)
        for action in made.actions:
            world.act(action)
        for name in world.running():
            world.finish(name)
        if not made.actions and not world.running():
            return


def test_a_run_from_its_beginning() -> None:
    stream = io.StringIO()
    world = World(make_run(search={"trials": 2}))
    shown(world, PlainProgress(stream))
    told = [line.partition(":")[0] for line in stream.getvalue().splitlines()]
    assert told[:6] == ["Preparing", "Training", "delta math/sft", "delta code/sft", "Searching", "search trial 0 (base)"]
    assert [line for line in told if line.startswith("test trial")] == [
        f"test trial {trial.spec.number} ({trial.spec.name})" for trial in world.trials.values() if trial.spec.split == "Test"
    ]
    assert told[-1] == world.conditions()["Succeeded"][1]
    assert len(set(told)) == len(told)


def test_what_was_done_before_is_not_told_again() -> None:
    world = World(make_run(search={"trials": 2}))
    world.settle()
    stream = io.StringIO()
    shown(world, PlainProgress(stream))
    assert len(stream.getvalue().splitlines()) == 1
