"""Where a worker writes what it found: status fields of the resource it works for."""

from __future__ import annotations

from typing import Protocol

from autollm.contract.folder import ObjectFolder
from autollm.resources.facts import Prepared, Progress, PublishedRevision, TrainedDelta, TrialResult
from autollm.resources.metadata import Failure


class Reports(Protocol):
    """The status fields that workers own, one verb each; the first argument is the name of the resource.

    A trial's outcome is final: the first of `scored` and `failed_trial` stays, later ones change nothing.
    """

    def prepared(self, run: str, fact: Prepared) -> None:
        """Report on a run what preparation made."""
        ...

    def published(self, run: str, fact: PublishedRevision) -> None:
        """Report on a run what `latest` points to now."""
        ...

    def progress(self, training: str, fact: Progress) -> None:
        """Report on a training how far it is."""
        ...

    def trained(self, training: str, fact: TrainedDelta) -> None:
        """Report on a training the delta it made or found."""
        ...

    def scored(self, trial: str, result: TrialResult) -> None:
        """Report the result of a trial."""
        ...

    def failed_trial(self, trial: str, failure: Failure) -> None:
        """Report why a trial has no result."""
        ...


class FolderReports:
    """Reports as files beside the objects of a folder."""

    def __init__(self, objects: ObjectFolder) -> None:
        self._objects = objects

    def prepared(self, run: str, fact: Prepared) -> None:
        """Write the run's `prepared`."""
        self._objects.report("AutoLLMRun", run, "prepared", {"prepared": fact.document()})

    def published(self, run: str, fact: PublishedRevision) -> None:
        """Write the run's `published`."""
        self._objects.report("AutoLLMRun", run, "published", {"published": fact.document()})

    def progress(self, training: str, fact: Progress) -> None:
        """Write the training's `progress`."""
        self._objects.report("DeltaTraining", training, "progress", {"progress": fact.document()})

    def trained(self, training: str, fact: TrainedDelta) -> None:
        """Write the training's `delta`."""
        self._objects.report("DeltaTraining", training, "delta", {"delta": fact.document()})

    def scored(self, trial: str, result: TrialResult) -> None:
        """Write the trial's result, unless it has an outcome already."""
        self._objects.report("MergeTrial", trial, "result", result.document(), final=True)

    def failed_trial(self, trial: str, failure: Failure) -> None:
        """Write the trial's failure, unless it has an outcome already."""
        self._objects.report("MergeTrial", trial, "result", {"failure": failure.document()}, final=True)
