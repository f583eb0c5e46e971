"""Tasks as processes: what a Job controller is in a cluster. Starts them in turn, tries them again, and knows how each is doing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from autollm.contract.exit_codes import ExitCode
from autollm.contract.folder import write_atomically
from autollm.contract.tasks import AnyTask, EvaluateTask, in_slot
from autollm.local.failures import Failures
from autollm.local.paths import RunFolder
from autollm.local.server import WorkerEnded
from autollm.local.termination import read_termination, trial_in_hand
from autollm.plan.retries import is_counted, is_death, retry_wait
from autollm.plan.snapshot import Phase, TaskState
from autollm.resources.metadata import Failure

COMMANDS = {"Prepare": "prepare", "Train": "train", "Evaluate": "evaluate", "Publish": "publish", "Pin": "publish"}
GOOD_START = 60.0
"""An evaluator that fails after so many seconds of work had come up well: its failures are counted anew."""


@dataclass
class _Worker:
    """One process, or its place in the queue."""

    task: AnyTask
    failures: Failures
    phase: Phase = "Running"
    not_before: float = 0.0
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    failure: Failure | None = None
    stopping: bool = False
    replacing: bool = False

    @property
    def at_work(self) -> bool:
        return self.phase == "Running" and self.started is not None


@dataclass
class _Evaluators:
    """The evaluators of one template, one a slot."""

    size: int
    started: datetime
    slots: dict[int, str] = field(default_factory=dict)


class Workers(Protocol):
    """What starts and signals processes: the fork server."""

    def start(self, name: str, argv: Sequence[str], *, log: Path, threads: int) -> None:
        """Have a worker started."""
        ...

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send it a signal."""
        ...


class Tasks:
    """Carries tasks out as worker processes, at most `jobs` at a time beside evaluators, which are all at work at once."""

    def __init__(
        self,
        folder: RunFolder,
        server: Workers,
        tell: Callable[[str], None],
        *,
        jobs: int = 1,
        cores: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._server = server
        self._jobs = jobs
        self._cores = cores or len(os.sched_getaffinity(0))
        self._tell = tell
        self._clock = clock
        self._workers: dict[str, _Worker] = {}
        self._evaluators: dict[str, _Evaluators] = {}

    def ensure(self, task: AnyTask) -> None:
        """Have a task carried out, unless it is in hand or has come to its end."""
        if task.id not in self._workers:
            self._workers[task.id] = _Worker(task, Failures.read(self._failures_file(task.id)))

    def ensure_evaluators(self, template: EvaluateTask, size: int) -> None:
        """Have an evaluator in each of the first `size` slots, and let those in others save and end."""
        group = self._evaluators.setdefault(template.id, _Evaluators(size, datetime.now(UTC)))
        group.size = size
        for slot in range(size):
            task = in_slot(template, slot)
            group.slots[slot] = task.id
            self.ensure(task)
            if self._workers[task.id].stopping:
                # It was above a smaller size a moment ago: once it has ended, it is started again.
                self._workers[task.id].stopping, self._workers[task.id].replacing = False, True
        for slot in [slot for slot in group.slots if slot >= size]:
            self._stop(group.slots[slot])

    def stop(self, name: str) -> None:
        """Ask a task, or all evaluators of a template, to save and end."""
        group = self._evaluators.get(name)
        for worker_name in list(group.slots.values()) if group else [name]:
            self._stop(worker_name)
        self._forget_empty_groups()

    def stop_all(self) -> None:
        """Ask everything to save and end."""
        for name in list(self._workers):
            self._stop(name)
        self._forget_empty_groups()

    def replace(self, name: str, slot: int) -> None:
        """Kill the evaluator of a slot and start another."""
        worker_name = self._evaluators[name].slots[slot]
        worker = self._workers[worker_name]
        if worker.at_work and not worker.replacing:
            worker.replacing = True
            self._server.signal(worker_name, signal.SIGKILL)

    def states(self) -> tuple[TaskState, ...]:
        """Return how every task is doing, evaluators together."""
        grouped = {name for group in self._evaluators.values() for name in group.slots.values()}
        alone = [
            TaskState(name, worker.task.kind, worker.phase, worker.failure, worker.exit_code, worker.started, worker.finished)
            for name, worker in self._workers.items()
            if name not in grouped
        ]
        return (*alone, *(self._group_state(name, group) for name, group in self._evaluators.items()))

    @property
    def busy(self) -> bool:
        """Whether any worker is at work or waits for its turn."""
        return any(worker.phase == "Running" for worker in self._workers.values())

    def start_due(self) -> float | None:
        """Start what may start now; return in how many seconds the next one may, None where none waits for a time."""
        now = self._clock()
        errands = sum(worker.at_work for worker in self._workers.values() if worker.task.kind != "Evaluate")
        for name, worker in list(self._workers.items()):
            waits = worker.phase == "Running" and worker.started is None and worker.not_before <= now
            if waits and worker.task.kind == "Evaluate":
                self._start(name, worker, self._cores // max(1, self._size_of(name)))
            elif waits and errands < self._jobs:
                errands += 1
                self._start(name, worker, self._cores // self._jobs)
        due = [worker.not_before - now for worker in self._workers.values() if worker.phase == "Running" and not worker.started]
        return min((seconds for seconds in due if seconds > 0), default=None)

    def ended(self, event: WorkerEnded) -> None:
        """Take note that a worker's process is gone, and decide whether it is started again."""
        worker = self._workers.get(event.id)
        if worker is None or worker.started is None:
            return
        worked = (datetime.now(UTC) - worker.started).total_seconds()
        worker.exit_code, worker.started = event.exit_code, None
        if worker.stopping:
            self._remove(event.id, worker)
        elif worker.replacing or event.lost:
            worker.replacing = False
        elif event.exit_code == ExitCode.DONE and worker.task.kind != "Evaluate":
            worker.phase, worker.finished = "Succeeded", datetime.now(UTC)
            self._forget_failures(event.id)
            shutil.rmtree(self._path(event.id) / "scratch", ignore_errors=True)
        else:
            self._failed(event, worker, worked)

    def _failed(self, event: WorkerEnded, worker: _Worker, worked: float) -> None:
        failure = read_termination(self._path(event.id), event.exit_code, event.error)
        trial = trial_in_hand(self._path(event.id)) if is_death(event.exit_code) else ""
        failures = worker.failures.counted
        if trial:
            failures = worker.failures.count_on(trial, failure)
        elif is_counted(event.exit_code):
            if worker.task.kind == "Evaluate" and worked >= GOOD_START:
                worker.failures.counted = 0
            failures = worker.failures.count()
        worker.failures.write(self._failures_file(event.id))
        wait = retry_wait(event.exit_code, failures)
        if wait is None:
            worker.phase, worker.failure, worker.finished = "Failed", failure, datetime.now(UTC)
            # Whoever runs this again wants it tried again.
            self._forget_failures(event.id)
            self._stop_peers(event.id)
        else:
            worker.not_before = self._clock() + wait.total_seconds()
            told = f"{event.id} ended with exit code {event.exit_code} ({failure.reason}: {failure.message})"
            self._tell(f"{told}; it is started again in {wait.total_seconds():g} s")

    def _start(self, name: str, worker: _Worker, threads: int) -> None:
        folder = self._path(name)
        folder.mkdir(parents=True, exist_ok=True)
        document, termination = folder / "task.json", folder / "termination.json"
        write_atomically(document, json.dumps(worker.task.document(), indent=1).encode())
        termination.unlink(missing_ok=True)
        argv = [COMMANDS[worker.task.kind], "--task", str(document), "--objects", str(self._folder.objects.root)]
        worker.started = datetime.now(UTC)
        self._server.start(name, [*argv, "--termination", str(termination)], log=folder / "log.txt", threads=max(1, threads))

    def _stop(self, name: str) -> None:
        worker = self._workers.get(name)
        if worker is None or worker.phase != "Running":
            return
        if not worker.at_work:
            self._remove(name, worker)
        elif not worker.stopping:
            worker.stopping = True
            self._server.signal(name, signal.SIGTERM)

    def _remove(self, name: str, worker: _Worker) -> None:
        self._workers.pop(name, None)
        if worker.task.kind == "Evaluate":
            shutil.rmtree(self._path(name) / "scratch", ignore_errors=True)
        self._forget_empty_groups()

    def _forget_empty_groups(self) -> None:
        for name, group in list(self._evaluators.items()):
            if not any(worker in self._workers for worker in group.slots.values()):
                del self._evaluators[name]

    def _stop_peers(self, name: str) -> None:
        for group in self._evaluators.values():
            if name in group.slots.values():
                for peer in group.slots.values():
                    self._stop(peer)

    def _group_state(self, name: str, group: _Evaluators) -> TaskState:
        workers = {slot: self._workers[worker] for slot, worker in group.slots.items() if worker in self._workers}
        failed = next((worker for worker in workers.values() if worker.phase == "Failed"), None)
        at_work = {slot: worker.started for slot, worker in workers.items() if worker.started is not None}
        phase: Phase = "Failed" if failed else "Running"
        failure = failed.failure if failed else None
        code = failed.exit_code if failed else None
        deaths = {trial: died for worker in workers.values() for trial, died in worker.failures.by_trial.items()}
        return TaskState(name, "Evaluate", phase, failure, code, started=group.started, slots=at_work, size=group.size, deaths=deaths)

    def _size_of(self, name: str) -> int:
        return next((group.size for group in self._evaluators.values() if name in group.slots.values()), 1)

    def _forget_failures(self, name: str) -> None:
        self._failures_file(name).unlink(missing_ok=True)

    def _failures_file(self, name: str) -> Path:
        return self._path(name) / "state.json"

    def _path(self, name: str) -> Path:
        return self._folder.tasks / name
