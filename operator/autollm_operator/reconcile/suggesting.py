"""Suggestions without waiting: the optimiser is asked in a thread, and its answer is kept until a plan asks for it with a free slot."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from autollm.plan.actions import AskCandidate
from autollm.search import Request, SpaceExhausted, Suggestion, suggest_at_once
from autollm_operator.cache.keys import Key

THREADS = 4
"""Questions that wait for the one optimiser at a time: few enough that none spends its budget on waiting for the others."""


class Suggester(Protocol):
    """Answers within a budget, with a random candidate where the optimiser needs longer, as `autollm.suggester.Suggester` does."""

    def prepare(self, request: Request) -> None:
        """Load what such requests will take, while others can still be answered without it; never waits."""
        ...

    def ask(self, request: Request, budget_seconds: float) -> Suggestion:
        """Return a candidate; raises SpaceExhausted where every one was tried."""
        ...


@dataclass
class _Run:
    """What is known for one run."""

    asked: tuple[AskCandidate, Future[Suggestion]] | None = None
    exhausted: dict[str, int] = field(default_factory=dict)


class Suggesting:
    """At most one open question per run, by its uid. Different runs may ask in different threads.

    `wake` is called with the run's key when its answer is there, `observe` with the seconds that it took and whether it is the fallback.
    """

    def __init__(
        self,
        suggester: Suggester,
        budget_seconds: float,
        wake: Callable[[Key], None],
        observe: Callable[[float, bool], None] = lambda seconds, fallback: None,
    ) -> None:
        self._suggester = suggester
        self._budget = budget_seconds
        self._wake = wake
        self._observe = observe
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="suggesting")
        self._runs: dict[str, _Run] = {}

    def ask(self, uid: str, key: Key, question: AskCandidate) -> Suggestion | None:
        """Return the candidate, or None while the optimiser looks for it; one for no slot yet is looked for and kept.

        Raises SpaceExhausted where every candidate was tried, and remembers that.
        """
        run = self._runs.setdefault(uid, _Run())
        if run.asked is not None:
            earlier, answer = run.asked
            if not answer.done():
                return None
            if question.is_answered_by(earlier):
                return _answered(run, earlier, question, answer)
            run.asked = None
        self._suggester.prepare(question.request)
        try:
            known = suggest_at_once(question.request)
        except SpaceExhausted:
            _exhaust(run, question)
            raise
        if known is None:
            run.asked = (question, self._pool.submit(self._ask, question.request))
            run.asked[1].add_done_callback(lambda done: self._wake(key))
        return known if question.slot is not None else None

    def exhausted(self, uid: str) -> Mapping[str, int]:
        """Return the landscapes of a run in which every candidate was tried, and how many trials there were then."""
        run = self._runs.get(uid)
        return dict(run.exhausted) if run else {}

    def forget(self, uid: str) -> None:
        """Drop what is known for a run that is gone."""
        self._runs.pop(uid, None)

    def close(self) -> None:
        """Wait for no answer any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, request: Request) -> Suggestion:
        begun = time.monotonic()
        suggestion = self._suggester.ask(request, self._budget)
        self._observe(time.monotonic() - begun, suggestion.origin.optimizer == "Fallback")
        return suggestion


def _answered(run: _Run, earlier: AskCandidate, question: AskCandidate, answer: Future[Suggestion]) -> Suggestion | None:
    error = answer.exception()
    if error is None and question.slot is None:
        return None
    run.asked = None
    if isinstance(error, SpaceExhausted):
        _exhaust(run, earlier)
    return answer.result()


def _exhaust(run: _Run, question: AskCandidate) -> None:
    run.exhausted[question.landscape] = question.request.trials
