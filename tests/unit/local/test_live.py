"""Live progress: what a terminal shows."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from autollm.local.live import LiveProgress
from autollm.resources.delta_training import DeltaTrainingStatus
from autollm.resources.facts import Progress
from support.runs import make_run
from support.world import World


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A terminal on which a run is shown; `text` is all that was ever drawn."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._stream = io.StringIO()
        console = Console(file=self._stream, force_terminal=True, width=120, height=50, color_system=None)
        self.progress = LiveProgress(console, self.clock)

    def show(self, world: World, after: float = 0.0) -> None:
        self.clock.now += after
        self.progress.show(world.snapshot(), world.plan())

    @property
    def text(self) -> str:
        self.progress.close()
        return self._stream.getvalue()


def drawn(world: World) -> str:
    screen = Screen()
    screen.show(world)
    return screen.text


def advance(world: World, steps: int) -> None:
    for _ in range(steps):
        for action in world.plan().actions:
            world.act(action)
        for name in world.running():
            world.finish(name)


def at_training(world: World) -> World:
    advance(world, 1)
    for action in world.plan().actions:
        world.act(action)
    return world


def at_step(world: World, step: int, **known: object) -> str:
    """Let the first training be at a step of 12, and return its delta's name."""
    name, training = next(iter(world.trainings.items()))
    progress = Progress.parse({"step": step, "steps": 12, **known})
    status = (training.status or DeltaTrainingStatus()).model_copy(update={"progress": progress})
    world.trainings[name] = training.model_copy(update={"status": status})
    return training.spec.delta


def test_preparing_has_no_end_in_sight() -> None:
    text = drawn(World(make_run()))
    assert "Preparing" in text
    assert "left" not in text


def test_each_training_has_a_bar_of_its_steps() -> None:
    world = at_training(World(make_run()))
    delta = at_step(world, 3, loss="1.25", tokensPerSecond=812)
    text = drawn(world)
    assert delta in text
    assert "3/12" in text
    assert "loss 1.250  812 tokens/s" in text
    assert "left" not in text, "nobody can tell the rate from one look"


def test_a_training_of_an_earlier_document_has_no_bar() -> None:
    world = at_training(World(make_run()))
    at_step(world, 3)
    world.change(make_run(training={"methods": [{"name": "sft", "sft": {"epochs": 2}}]}).spec)
    at_training(world)
    assert world.plan().state.reason == "Training"
    assert "3/12" not in drawn(world)


@pytest.mark.parametrize(("seconds", "rate", "left"), [(1.0, "3.0 steps/s", "0:02 left"), (600.0, "0.3 steps/min", "20:00 left")])
def test_rate_and_time_left_follow_from_what_was_seen(seconds: float, rate: str, left: str) -> None:
    world, screen = at_training(World(make_run())), Screen()
    for step in (0, 3, 6):
        at_step(world, step)
        screen.show(world, seconds)
    text = screen.text
    assert rate in text
    assert left in text


def test_a_resumed_training_is_not_taken_for_a_fast_one() -> None:
    world, screen = at_training(World(make_run())), Screen()
    for step in (9, 10, 11):
        at_step(world, step)
        screen.show(world, 2.0)
    text = screen.text
    assert "30.0 steps/min" in text
    assert "0:02 left" in text


def test_the_search_counts_its_trials() -> None:
    world = World(make_run(search={"trials": 7}))
    advance(world, 4)
    text = drawn(world)
    assert "2/7" in text
    assert "Best 0." in text


def test_the_tests_are_counted() -> None:
    world = World(make_run(search={"trials": 2}))
    while not any(trial.spec.split == "Test" for trial in world.trials.values()):
        advance(world, 1)
    rows = len((world.plan().status.results) or [])
    assert rows > 3
    assert f"/{rows}" in drawn(world)


def test_a_finished_run_shows_its_stages_and_no_bar() -> None:
    world = World(make_run())
    world.settle()
    text = drawn(world)
    assert "succeeded" in text
    assert "0/" not in text


def test_what_is_told_stays_as_it_is_written() -> None:
    screen = Screen()
    screen.progress.tell("a worker is started again [/bold]")
    screen.show(World(make_run()))
    assert "a worker is started again [/bold]" in screen.text


def test_the_cursor_comes_back() -> None:
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    text = drawn(World(make_run()))
    assert 0 <= text.index(hidden) < text.rindex(shown)
