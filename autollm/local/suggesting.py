"""Suggestions without waiting: the suggester is asked in a thread, its answer is kept until a plan asks for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from autollm import suggester
from autollm.plan.actions import AskCandidate
from autollm.search import Request, Suggestion, suggest_at_once

BUDGET_SECONDS = 60.0
"""For one candidate; a random one is taken where the optimiser needs longer."""


class Suggester(Protocol):
    """Answers requests within its own time budget."""

    def prepare(self, request: Request) -> None:
        """Load what such requests will take, while others can still be answered without it."""
        ...

    def ask(self, request: Request) -> Suggestion:
        """Return a candidate; raises SpaceExhausted where every one was tried."""
        ...


class PatientSuggester:
    """The optimiser's process, given as long as a candidate may take; loaded while start points are being scored."""

    def __init__(self, suggester: suggester.Suggester) -> None:
        self._suggester = suggester

    def prepare(self, request: Request) -> None:
        """Start the process, if an optimiser is going to be needed."""
        self._suggester.prepare(request)

    def ask(self, request: Request) -> Suggestion:
        """Return a candidate; raises SpaceExhausted where every one was tried."""
        return self._suggester.ask(request, BUDGET_SECONDS)


class Asking:
    """At most one question at a time; what is asked meanwhile is asked again by the next plan."""

    def __init__(self, suggester: Suggester, wake: Callable[[], None]) -> None:
        self._suggester = suggester
        self._wake = wake
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="suggester")
        self._asked: tuple[AskCandidate, Future[Suggestion]] | None = None

    def ask(self, question: AskCandidate) -> Suggestion | None:
        """Return the candidate, or None while the suggester looks for it; one for no slot yet is looked for and kept.

        Raises SpaceExhausted where every candidate was tried.
        """
        if self._asked is not None and not self._asked[1].done():
            return None
        if self._asked is not None and question.is_answered_by(self._asked[0]):
            return self._taken(question, self._asked[1])
        self._suggester.prepare(question.request)
        known = suggest_at_once(question.request)
        if known is None:
            future = self._pool.submit(self._suggester.ask, question.request)
            self._asked = (question, future)
            future.add_done_callback(lambda done: self._wake())
        return known if question.slot is not None else None

    def close(self) -> None:
        """Wait for no answer any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _taken(self, question: AskCandidate, answer: Future[Suggestion]) -> Suggestion | None:
        if question.slot is None and answer.exception() is None:
            return None
        self._asked = None
        return answer.result()
