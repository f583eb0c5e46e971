"""The reconciling threads: each outcome of a pass leads to the next one at its time, and no error ends a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from autollm_operator.api.port import ConflictError, InvalidError, NotFoundError, UnavailableError
from autollm_operator.cache.keys import Key
from autollm_operator.workers import FAILURES_TO_TELL, Workers
from autollm_operator.workqueue import WorkQueue

A, B = (Key("AutoLLMRun", "team-a", name) for name in "ab")


class Passes:
    """A reconcile that does what the test says, and lets it wait for passes."""

    def __init__(self, outcome: Callable[[Key, int], float | None]) -> None:
        self.outcome = outcome
        self.keys: list[Key] = []
        self._changed = threading.Condition()

    def __call__(self, key: Key) -> float | None:
        with self._changed:
            self.keys.append(key)
            count = self.keys.count(key)
            self._changed.notify_all()
        return self.outcome(key, count)

    def wait(self, key: Key, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.keys.count(key) >= count, 20)


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    queue = WorkQueue(jitter=lambda: 0.0)
    yield queue
    queue.close()


def test_what_was_due_before_they_began_is_late_from_then_on() -> None:
    now = 0.0
    queue = WorkQueue(clock=lambda: now)
    queue.add(A)
    now = 3600.0
    Workers(queue, Passes(lambda key, count: None), 0).start()
    now = 3605.0
    assert queue.oldest_age() == 5


def started(queue: WorkQueue, passes: Passes, **options: Callable[[], bool]) -> Workers:
    workers = Workers(queue, passes, 2, **options)
    workers.start()
    return workers


def test_a_pass_that_wants_another_look_gets_it(queue: WorkQueue) -> None:
    passes = Passes(lambda key, count: 0.01 if count < 3 else None)
    workers = started(queue, passes)
    queue.add(A)
    passes.wait(A, 3)
    assert workers.stop(10)
    assert passes.keys == [A, A, A]


@pytest.mark.parametrize("error", [UnavailableError("away", status=503), ConflictError("changed"), InvalidError("no"), ZeroDivisionError()])
def test_after_any_error_the_key_comes_again_and_the_thread_lives(queue: WorkQueue, error: Exception) -> None:
    def outcome(key: Key, count: int) -> None:
        if key == A and count < 3:
            raise error

    passes = Passes(outcome)
    workers = started(queue, passes)
    queue.add(A)
    passes.wait(A, 3)
    queue.add(B)
    passes.wait(B, 1)
    assert workers.stop(10)


def told(caplog: pytest.LogCaptureFixture, error: Exception, failures: int) -> list[logging.LogRecord]:
    queue = WorkQueue(jitter=lambda: 1.0)

    def outcome(key: Key, count: int) -> None:
        if count <= failures:
            raise error

    passes = Passes(outcome)
    workers = started(queue, passes)
    queue.add(A)
    passes.wait(A, failures + 1)
    assert workers.stop(10)
    return [record for record in caplog.records if record.name == "autollm_operator.workers"]


@pytest.mark.parametrize("error", [UnavailableError("away"), ConflictError("changed"), NotFoundError("gone")])
def test_what_passes_by_itself_is_not_logged(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    assert told(caplog, error, FAILURES_TO_TELL - 1) == []


def test_what_does_not_pass_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = told(caplog, UnavailableError("the API server did not answer"), FAILURES_TO_TELL + 1)
    assert record.getMessage() == "the API server did not answer"
    assert vars(record)["object"] == "AutoLLMRun team-a/a"
    assert vars(record)["reason"] == "ApiUnavailable"


def test_a_bug_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = told(caplog, ZeroDivisionError("x"), 1)
    assert record.levelname == "ERROR"
    assert record.exc_info is not None


def test_who_may_not_work_any_more_begins_no_pass(queue: WorkQueue) -> None:
    passes = Passes(lambda key, count: None)
    workers = Workers(queue, passes, 1, may_work=lambda: False)
    queue.add(A)
    workers.start()
    assert workers.stop(10)
    assert passes.keys == []


def test_stopping_tells_of_a_pass_that_does_not_end(queue: WorkQueue) -> None:
    over = threading.Event()

    def outcome(key: Key, count: int) -> None:
        over.wait(20)

    passes = Passes(outcome)
    workers = started(queue, passes)
    queue.add(A)
    passes.wait(A, 1)
    assert not workers.stop(0.05)
    over.set()
    assert workers.stop(10)
