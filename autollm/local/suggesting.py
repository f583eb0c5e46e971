"""Suggestions without waiting: the suggester is asked in a thread, its answer is looked for when the loop comes by."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from autollm import suggester
from autollm.plan.actions import AskCandidate
from autollm.search import Request, Suggestion, choose_optimizer

BUDGET_SECONDS = 60.0
"""For one candidate; a random one is taken where the optimiser needs longer."""


class Suggester(Protocol):
    """Answers requests within its own time budget."""

    def ask(self, request: Request) -> Suggestion:
        """Return a candidate; raises SpaceExhausted where every one was tried."""
        ...


class PatientSuggester:
    """The optimiser's process, given as long as a candidate may take; loaded while start points are being scored."""

    def __init__(self, suggester: suggester.Suggester, seconds: float = BUDGET_SECONDS) -> None:
        self._suggester = suggester
        self._seconds = seconds

    def ask(self, request: Request) -> Suggestion:
        """Return a candidate; raises SpaceExhausted where every one was tried."""
        if request.space.parameters and choose_optimizer(request.optimizer, len(request.space.parameters)) != "Random":
            self._suggester.start()
        return self._suggester.ask(request, self._seconds)


class Asking:
    """At most one question at a time; what is asked meanwhile is asked again by the next plan."""

    def __init__(self, suggester: Suggester, wake: Callable[[], None]) -> None:
        self._suggester = suggester
        self._wake = wake
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="suggester")
        self._open: tuple[AskCandidate, Future[Suggestion]] | None = None

    def ask(self, question: AskCandidate) -> None:
        """Ask, unless an answer is being waited for."""
        if self._open is None:
            future = self._pool.submit(self._suggester.ask, question.request)
            self._open = (question, future)
            future.add_done_callback(lambda done: self._wake())

    def answered(self) -> tuple[AskCandidate, Future[Suggestion]] | None:
        """Return the question and its answer, once there is one."""
        if self._open is None or not self._open[1].done():
            return None
        answered, self._open = self._open, None
        return answered

    def close(self) -> None:
        """Wait for no answer any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
