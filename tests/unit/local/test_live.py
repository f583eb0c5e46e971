"""Live progress: what a terminal shows."""

from __future__ import annotations

import io

from rich.console import Console

from autollm.local.live import LiveProgress
from autollm.resources.delta_training import DeltaTrainingStatus
from autollm.resources.facts import Progress
from support.runs import make_run
from support.world import World


def drawn(world: World, told: str = "") -> str:
    """Return what the terminal shows of a run as it stands."""
    stream = io.StringIO()
    progress = LiveProgress(Console(file=stream, force_terminal=True, width=100, height=50, color_system=None))
    progress.show(world.snapshot(), world.plan())
    if told:
        progress.tell(told)
    progress.close()
    return stream.getvalue()


def advance(world: World, steps: int) -> None:
    for _ in range(steps):
        for action in world.plan().actions:
            world.act(action)
        for name in world.running():
            world.finish(name)


def test_preparing_has_no_end_in_sight() -> None:
    assert "Preparing" in drawn(World(make_run()))


def test_each_training_has_a_bar_of_its_steps() -> None:
    world = World(make_run())
    advance(world, 1)
    for action in world.plan().actions:
        world.act(action)
    name, training = next(iter(world.trainings.items()))
    status = (training.status or DeltaTrainingStatus()).model_copy(update={"progress": Progress(step=3, steps=12)})
    world.trainings[name] = training.model_copy(update={"status": status})
    text = drawn(world)
    assert training.spec.delta in text
    assert "3/12" in text


def test_the_search_counts_its_trials() -> None:
    world = World(make_run(search={"trials": 7}))
    advance(world, 4)
    assert "2/7" in drawn(world)


def test_a_finished_run_shows_its_stages_and_no_bar() -> None:
    world = World(make_run())
    world.settle()
    text = drawn(world)
    assert "succeeded" in text
    assert "0/" not in text


def test_what_is_told_stays() -> None:
    assert "a worker is started again" in drawn(World(make_run()), told="a worker is started again")
