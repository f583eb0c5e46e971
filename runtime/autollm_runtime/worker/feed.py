"""Where an evaluator finds its next trial: those written for its slot that have no outcome yet."""

from __future__ import annotations

import threading
from typing import Protocol

from autollm.contract.folder import ObjectFolder
from autollm.resources.merge_trial import MergeTrial

POLL_SECONDS = 0.05


class TrialFeed(Protocol):
    """The trials that wait for one slot of a run."""

    def next(self, slot: int, run: str) -> MergeTrial | None:
        """Return the waiting trial with the lowest number, or None at once where none waits."""
        ...

    def named(self, name: str) -> MergeTrial | None:
        """Return the trial of this name, or None where it has its outcome or is not there any more."""
        ...

    def wait(self, stop: threading.Event) -> None:
        """Return when it is worth asking again, soon after `stop` is set at the latest."""
        ...


class FolderFeed:
    """The trials of a folder of objects.

    Specs never change and outcomes are final, so a trial that is another's or is finished is read once only: a poll costs
    a listing and the reading of what waits.
    """

    def __init__(self, objects: ObjectFolder) -> None:
        self._objects = objects
        self._passed: set[tuple[int, str, str]] = set()

    def next(self, slot: int, run: str) -> MergeTrial | None:
        """Return the waiting trial with the lowest number, or None at once where none waits."""
        waiting = []
        for name in self._objects.names("MergeTrial"):
            if (slot, run, name) in self._passed:
                continue
            document = self._objects.read("MergeTrial", name)
            if document is None:
                continue
            trial = MergeTrial.parse(document)
            status = trial.status
            if trial.spec.slot != slot or trial.spec.run != run or (status and (status.score is not None or status.failure)):
                self._passed.add((slot, run, name))
            else:
                waiting.append(trial)
        return min(waiting, key=lambda trial: (trial.spec.number or 0, trial.metadata.name), default=None)

    def named(self, name: str) -> MergeTrial | None:
        """Return the trial of this name, or None where it has its outcome or is not there any more."""
        document = self._objects.read("MergeTrial", name)
        if document is None:
            return None
        trial = MergeTrial.parse(document)
        return None if trial.status and (trial.status.score is not None or trial.status.failure) else trial

    def wait(self, stop: threading.Event) -> None:
        """Return after a moment, or when asked to stop."""
        stop.wait(POLL_SECONDS)
