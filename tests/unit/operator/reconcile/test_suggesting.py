"""Candidates without waiting: at most one open question per run, and answers kept until a slot is free."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from autollm.plan.actions import AskCandidate
from autollm.resources.search import Optimizer
from autollm.search import Request, SpaceExhausted, Start, Suggestion, build_space, suggest
from autollm_operator.cache.keys import Key
from autollm_operator.reconcile.suggesting import Suggesting
from support.runs import make_run

KEY = Key("AutoLLMRun", "team-a", "demo")
SECONDS = 20.0


class Slow:
    """An optimiser that answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.go = threading.Event()
        self.raises: Exception | None = None
        self.prepared: list[Request] = []

    def prepare(self, request: Request) -> None:
        self.prepared.append(request)

    def ask(self, request: Request, budget_seconds: float) -> Suggestion:
        assert budget_seconds == SECONDS
        self.asked.append(request)
        assert self.go.wait(30)
        if self.raises is not None:
            raise self.raises
        return suggest(replace(request, optimizer=Optimizer.parse({"random": {}})))


@pytest.fixture
def slow() -> Iterator[Slow]:
    optimizer = Slow()
    yield optimizer
    optimizer.go.set()


class Woken:
    """Who was woken, and a way to wait for it."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self._event = threading.Event()

    def __call__(self, key: Key) -> None:
        self.keys.append(key)
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(30)
        self._event.clear()


def question(slot: int | None = 0, number: int = 3, optimizer: str = "bayesian", **changes: Any) -> AskCandidate:
    run = make_run()
    space = build_space(run.spec.search.space, ["math/sft", "code/sft"])
    request = Request(space, (), (), (), Optimizer.parse({optimizer: {}}), seed=1, number=number)
    return AskCandidate("demo", changes.get("landscape", "sha256:a"), None, slot, request)


class TestAnOptimiserThatTakesItsTime:
    def test_is_loaded_while_start_points_are_scored(self, slow: Slow) -> None:
        suggesting = Suggesting(slow, SECONDS, Woken())
        first = replace(question().request, starts=(Start({"math/sft": 1.0, "code/sft": 0.0}, "math/sft"),))
        assert suggesting.ask("uid", KEY, replace(question(), request=first)) is not None
        assert (slow.prepared, slow.asked) == ([first], [])

    def test_is_asked_once_and_wakes_the_run(self, slow: Slow) -> None:
        woken = Woken()
        observed: list[bool] = []
        suggesting = Suggesting(slow, SECONDS, woken, lambda seconds, fallback: observed.append(fallback))
        assert suggesting.ask("uid", KEY, question()) is None
        assert suggesting.ask("uid", KEY, question()) is None
        slow.go.set()
        woken.wait()
        assert suggesting.ask("uid", KEY, question()) is not None
        assert (len(slow.asked), woken.keys, observed) == (1, [KEY], [False])

    def test_answers_ahead_and_the_answer_waits_for_a_slot(self, slow: Slow) -> None:
        slow.go.set()
        woken = Woken()
        suggesting = Suggesting(slow, SECONDS, woken)
        assert suggesting.ask("uid", KEY, question(slot=None)) is None
        woken.wait()
        assert suggesting.ask("uid", KEY, question(slot=None)) is None
        assert suggesting.ask("uid", KEY, question(slot=2)) is not None
        assert len(slow.asked) == 1

    @pytest.mark.parametrize("other", [{"number": 4}, {"landscape": "sha256:b"}])
    def test_an_answer_to_another_question_is_not_taken(self, slow: Slow, other: dict[str, Any]) -> None:
        slow.go.set()
        woken = Woken()
        suggesting = Suggesting(slow, SECONDS, woken)
        suggesting.ask("uid", KEY, question())
        woken.wait()
        assert suggesting.ask("uid", KEY, question(**other)) is None
        woken.wait()
        assert suggesting.ask("uid", KEY, question(**other)) is not None
        assert len(slow.asked) == 2

    def test_keeps_no_other_run_waiting(self, slow: Slow) -> None:
        suggesting = Suggesting(slow, SECONDS, Woken())
        assert suggesting.ask("one", KEY, question()) is None
        assert suggesting.ask("two", KEY, question(optimizer="random")) is not None

    def test_an_exhausted_space_is_remembered_until_the_run_is_gone(self, slow: Slow) -> None:
        slow.raises = SpaceExhausted("every candidate was tried")
        slow.go.set()
        woken = Woken()
        suggesting = Suggesting(slow, SECONDS, woken)
        suggesting.ask("uid", KEY, question(slot=None))
        woken.wait()
        with pytest.raises(SpaceExhausted):
            suggesting.ask("uid", KEY, question(slot=None))
        assert suggesting.exhausted("uid") == {"sha256:a": 0}
        assert suggesting.exhausted("other") == {}
        suggesting.forget("uid")
        assert suggesting.exhausted("uid") == {}

    def test_one_that_breaks_is_asked_again(self, slow: Slow) -> None:
        slow.raises = RuntimeError("broken")
        slow.go.set()
        woken = Woken()
        suggesting = Suggesting(slow, SECONDS, woken)
        suggesting.ask("uid", KEY, question())
        woken.wait()
        with pytest.raises(RuntimeError):
            suggesting.ask("uid", KEY, question())
        slow.raises = None
        assert suggesting.ask("uid", KEY, question()) is None
        woken.wait()
        assert suggesting.ask("uid", KEY, question()) is not None


class TestWithoutAnOptimiser:
    def test_the_answer_is_there_at_once(self, slow: Slow) -> None:
        suggesting = Suggesting(slow, SECONDS, Woken())
        assert suggesting.ask("uid", KEY, question(optimizer="random")) is not None
        assert suggesting.ask("uid", KEY, question(slot=None, optimizer="random")) is None
        assert slow.asked == []
