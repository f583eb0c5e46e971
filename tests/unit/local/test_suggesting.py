"""A candidate is there at once, is looked for in a thread, or was asked for ahead and kept."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest

from autollm.local.suggesting import Asking
from autollm.plan.actions import AskCandidate
from autollm.resources.merge_trial import Origin
from autollm.resources.search import Space
from autollm.search import Finished, Request, SpaceExhausted, Start, Suggestion, build_space

SPACE = build_space(Space(), ["math/sft", "code/sft"])
WEIGHTS = {"code/sft": 0.25, "math/sft": 0.5}
REQUEST = Request(SPACE, number=7)


class SlowSuggester:
    """Answers when the test lets it."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.questions: list[Request] = []
        self.error: Exception | None = None

    def prepare(self, request: Request) -> None:
        pass

    def ask(self, request: Request) -> Suggestion:
        self.questions.append(request)
        assert self.may_answer.wait(30)
        if self.error is not None:
            raise self.error
        return Suggestion(WEIGHTS, Origin(optimizer="Bayesian", finished=len(request.finished)))


class Setting:
    """Questions, and a wait for the answer."""

    def __init__(self) -> None:
        self.suggester = SlowSuggester()
        self.woken = threading.Event()
        self.asking = Asking(self.suggester, self.woken.set)

    def ask(self, slot: int | None, request: Request = REQUEST) -> Suggestion | None:
        return self.asking.ask(AskCandidate("demo", "sha256:0", None, slot, request))

    def answer(self) -> None:
        self.suggester.may_answer.set()
        assert self.woken.wait(30)


@pytest.fixture
def setting() -> Iterator[Setting]:
    made = Setting()
    yield made
    made.suggester.may_answer.set()
    made.asking.close()


def test_a_start_point_is_there_at_once(setting: Setting) -> None:
    found = setting.ask(0, dataclasses.replace(REQUEST, starts=(Start({"math/sft": 1.0}, "math/sft"),)))
    assert found is not None
    assert (found.name, setting.suggester.questions) == ("math/sft", [])


def test_what_an_optimiser_finds_is_there_when_it_is_asked_for_again(setting: Setting) -> None:
    assert setting.ask(0) is None
    assert setting.ask(0) is None
    setting.answer()
    found = setting.ask(0)
    assert found is not None
    assert found.weights == WEIGHTS
    assert len(setting.suggester.questions) == 1


def test_what_was_asked_ahead_is_kept_for_a_slot_though_more_is_known_by_then(setting: Setting) -> None:
    assert setting.ask(None) is None
    setting.answer()
    assert setting.ask(None) is None
    found = setting.ask(1, dataclasses.replace(REQUEST, finished=(Finished(6, {"math/sft": 1.0}, 0.5),)))
    assert found is not None
    assert found.origin.finished == 0
    assert len(setting.suggester.questions) == 1


def test_it_is_given_once(setting: Setting) -> None:
    setting.ask(None)
    setting.answer()
    setting.woken.clear()
    assert setting.ask(1) is not None
    assert setting.ask(2) is None
    setting.answer()
    assert len(setting.suggester.questions) == 2


def test_an_answer_for_another_number_is_dropped(setting: Setting) -> None:
    setting.ask(None)
    setting.answer()
    setting.woken.clear()
    later = dataclasses.replace(REQUEST, number=8)
    assert setting.ask(0, later) is None
    setting.answer()
    assert setting.ask(0, later) is not None
    assert [request.number for request in setting.suggester.questions] == [7, 8]


@pytest.mark.parametrize("slot", [0, None])
def test_an_exhausted_space_is_told_even_if_asked_ahead(setting: Setting, slot: int | None) -> None:
    setting.suggester.error = SpaceExhausted("every candidate was tried")
    setting.ask(slot)
    setting.answer()
    with pytest.raises(SpaceExhausted):
        setting.ask(slot)
