"""The local engine: a thin shell that plans, carries the actions out, and waits for something to happen."""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType

from autollm.errors import Interrupted
from autollm.local.objects import RunObjects
from autollm.local.progress import Progress
from autollm.local.server import WorkerServer
from autollm.local.suggesting import Asking, Suggester
from autollm.local.tasks import Tasks
from autollm.plan.actions import (
    Action,
    AskCandidate,
    DeleteTraining,
    DeleteTrial,
    EnsureEvaluators,
    EnsureTask,
    EnsureTraining,
    EnsureTrial,
    FailTrial,
    RestartEvaluator,
    SetTrainingStatus,
    SetTrainingWorkers,
    StopTask,
    candidate_trial,
    describe,
)
from autollm.plan.plan import Plan, plan
from autollm.plan.step import Working
from autollm.search import SpaceExhausted

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.02
"""How often results are looked for while trials are being scored: a result is a file, and nobody announces it."""

SHOW_SECONDS = 1.0


class Engine:
    """Brings one run to its end, or saves what is under way when it is asked to stop."""

    def __init__(
        self,
        objects: RunObjects,
        tasks: Tasks,
        server: WorkerServer,
        suggester: Suggester,
        progress: Progress,
        *,
        inputs_seen: str = "",
        on_stage: Callable[[], None] = lambda: None,
    ) -> None:
        self._objects = objects
        self._tasks = tasks
        self._server = server
        self._progress = progress
        self._inputs_seen = inputs_seen
        self._on_stage = on_stage
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._asking = Asking(suggester, self._wake)
        self._exhausted: dict[str, int] = {}
        self._stop_signal: int | None = None
        self._stage = _last_stage(objects)

    def run(self) -> Plan:
        """Plan and act until nothing is left to do, and return the last plan.

        Raises Interrupted after SIGTERM, KeyboardInterrupt after SIGINT: at once where it comes a second time, and otherwise when every
        worker has saved and ended.
        """
        before = {number: signal.signal(number, self._asked_to_stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            return self._loop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._asking.close()
            self._server.close()
            self._woken.close()
            self._waker.close()

    def _loop(self) -> Plan:
        while True:
            made, changed = self._reconcile()
            if changed:
                continue
            wait = self._tasks.start_due()
            if not isinstance(made.state, Working) and not self._tasks.busy:
                return made
            if made.requeue_after is not None:
                wait = min(made.requeue_after.total_seconds(), wait if wait is not None else made.requeue_after.total_seconds())
            self._wait(made, wait)
            if self._stop_signal is not None:
                self._stop(self._stop_signal)

    def _reconcile(self) -> tuple[Plan, bool]:
        """Plan once and carry it out; say whether that changed anything, so that planning again may ask for more."""
        snapshot = self._objects.snapshot(self._tasks.states(), self._inputs_seen, self._exhausted)
        made = plan(snapshot, datetime.now(UTC))
        changed = self._objects.write_status(made.status)
        for action in made.actions:
            changed |= self._act(action)
        self._progress.show(snapshot, made)
        if made.state.reason != self._stage:
            self._stage = made.state.reason
            self._on_stage()
        return made, changed

    def _act(self, action: Action) -> bool:
        """Carry out one action; say whether the next plan can differ by it."""
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("acting", extra={"action": describe(action)})
        match action:
            case EnsureTraining(training):
                self._objects.create_training(training)
            case SetTrainingStatus(name, status):
                self._objects.set_training_status(name, status)
            case SetTrainingWorkers(name, workers):
                self._objects.set_training_workers(name, workers)
            case EnsureTask(task):
                self._tasks.ensure(task)
            case EnsureEvaluators(template, size):
                self._tasks.ensure_evaluators(template, size)
            case StopTask(name):
                self._tasks.stop(name)
                return False
            case RestartEvaluator(name, slot):
                self._tasks.replace(name, slot)
                return False
            case AskCandidate():
                return self._suggested(action)
            case EnsureTrial(trial):
                self._objects.create_trial(trial)
            case FailTrial(name, failure):
                self._objects.fail_trial(name, failure)
            case DeleteTraining(name):
                self._objects.delete_training(name)
            case DeleteTrial(name):
                self._objects.delete_trial(name)
        return True

    def _suggested(self, question: AskCandidate) -> bool:
        """Create the trial of a suggested candidate once the suggester has answered; say whether it has."""
        try:
            suggestion = self._asking.ask(question)
        except SpaceExhausted:
            self._exhausted[question.landscape] = question.request.trials
            return True
        if suggestion is None:
            return False
        self._objects.create_trial(candidate_trial(question, suggestion))
        return True

    def _wait(self, made: Plan, seconds: float | None) -> None:
        """Wait until a worker ends, a result is there, the suggester answers, a signal comes, or the time is up."""
        until = time.monotonic() + min(SHOW_SECONDS, seconds if seconds is not None else SHOW_SECONDS)
        while True:
            looking = bool(self._objects.pending_trials)
            left = max(0.0, until - time.monotonic())
            if self._listen(min(left, LOOK_SECONDS) if looking else left):
                return
            if (looking and self._objects.refresh_trials()) or time.monotonic() >= until:
                return

    def _listen(self, seconds: float) -> bool:
        """Wait so long for an event at most; say whether there was one."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            answers = self._server.answers
            if answers is not None:
                selector.register(answers, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select(seconds)}
        if self._woken.fileno() in ready:
            self._woken.recv(4096)
        if answers in ready:
            for event in self._server.read():
                self._tasks.ended(event)
        return bool(ready)

    def _stop(self, number: int) -> None:
        """Let every worker save and end, then leave."""
        self._progress.tell("stopping: work in progress is saved; once more to stop at once")
        self._tasks.stop_all()
        while self._tasks.busy:
            self._listen(SHOW_SECONDS)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Interrupted("stopped, with everything saved; run again to go on")

    def _asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._stop_signal is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt if number == signal.SIGINT else Interrupted("stopped at once; what was saved before is kept")
        self._stop_signal = number
        self._wake()

    def _wake(self) -> None:
        try:
            self._waker.send(b".")
        except (BlockingIOError, OSError):
            # The other end is full of calls already, or gone because the engine has ended.
            return


def _last_stage(objects: RunObjects) -> str | None:
    """Return the stage that the engine before this one had reached."""
    conditions = (objects.run.status.conditions if objects.run.status else None) or []
    return next((condition.reason for condition in conditions if condition.type == "Succeeded"), None)
