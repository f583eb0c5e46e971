"""Asks a lasting process for candidates and never waits longer than told to."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from autollm.resources.merge_trial import Origin
from autollm.search import Request, SpaceExhausted, Suggestion, suggest_at_once, suggest_fallback, takes_optimizer
from autollm.suggester.child import Child, ChildEndedError, ChildTimeoutError

log = logging.getLogger(__name__)

LOADING_SECONDS = 120.0
"""A child that has not loaded the optimisers after this time is taken for hung."""

_LONGEST_REASON = 512
_CLOSED = "the optimiser is closed"


class Suggester:
    """Candidates within a time budget, from one child process at a time; may be called from several threads.

    A child that overruns is killed and the next one started at once, so that it has loaded (3 s) when it is needed.
    """

    def __init__(self, spawn: Callable[[], Child] = Child.spawn) -> None:
        self._spawn = spawn
        self._child: Child | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start the child ahead of the first question; where it cannot be, that question tries again, and tells of it."""
        if self._child is not None or not self._lock.acquire(blocking=False):  # who holds it starts the child
            return
        try:
            if not self._closed:
                with contextlib.suppress(OSError):
                    self._child = self._child or self._spawn()
        finally:
            self._lock.release()

    def prepare(self, request: Request) -> None:
        """Start the child if such requests are going to take an optimiser, while others are still answered without one; never waits."""
        if takes_optimizer(request):
            self.start()

    def close(self) -> None:
        """End the child at once, for good; a question that it was answering gets a random candidate, as does every later one."""
        self._closed = True
        child = self._child
        if child is not None:
            child.end()  # before the lock, which a question holds until its child answers or ends
        with self._lock:
            self._end()

    def ask(self, request: Request, budget_seconds: float) -> Suggestion:
        """Return the next candidate, as `autollm.search.suggest` would, or a uniform one whose origin says why the optimiser gave none.

        Raises SpaceExhausted where no candidate is left.
        """
        deadline = time.monotonic() + budget_seconds
        known = suggest_at_once(request)
        if known is not None:
            return known
        if not self._lock.acquire(timeout=max(budget_seconds, 0.0)):
            return _fallback(request, f"another question kept the optimiser for all of the {budget_seconds:g} s allowed")
        try:
            return self._ask_child(request, deadline, budget_seconds)
        finally:
            self._lock.release()

    def _ask_child(self, request: Request, deadline: float, budget_seconds: float) -> Suggestion:
        if self._closed:
            return _fallback(request, _CLOSED)
        try:
            child = self._child = self._child or self._spawn()
        except OSError as error:
            return _fallback(request, f"the optimiser's process could not be started: {error}")
        if self._closed:  # and may not have seen the child that was just started
            self._end()
            return _fallback(request, _CLOSED)
        try:
            child.wait_until_ready(deadline)
            answer = child.exchange(request.document(), deadline)
        except ChildTimeoutError:
            if child.ready or time.monotonic() - child.started > LOADING_SECONDS:
                self._replace()
                return _fallback(request, f"the optimiser gave no candidate within {budget_seconds:g} s and was ended")
            return _fallback(request, f"the optimiser was still loading after the {budget_seconds:g} s allowed")
        except ChildEndedError as error:
            self._replace()
            return _fallback(request, f"the optimiser's process {error}")
        if "exhausted" in answer:
            raise SpaceExhausted(answer["exhausted"])
        if "error" in answer:
            return _fallback(request, f"the optimiser failed: {answer['error']}")
        return Suggestion(answer["weights"], Origin.parse(answer["origin"]), answer["name"])

    def _replace(self) -> None:
        self._end()
        if self._closed:
            return
        with contextlib.suppress(OSError):  # the next question tries again, and reports it
            self._child = self._spawn()

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


def _fallback(request: Request, reason: str) -> Suggestion:
    log.warning("Trial %d gets a random candidate: %s", request.number, reason)
    return suggest_fallback(request, reason[:_LONGEST_REASON])
