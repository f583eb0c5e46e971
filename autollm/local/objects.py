"""The objects of a run for planning: read once, and again only where something can have changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from autollm.contract.folder import ObjectFolder
from autollm.errors import InputError
from autollm.plan.conditions import stamp
from autollm.plan.landscape import failure_of, is_pending
from autollm.plan.snapshot import Snapshot, TaskState
from autollm.resources.delta_training import DeltaTraining, DeltaTrainingStatus
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import Failure
from autollm.resources.run import AutoLLMRun
from autollm.resources.run_status import RunStatus
from autollm.resources.workers import Workers


class RunObjects:
    """One run and its children in a folder, of which this engine is the only one that creates and changes any."""

    def __init__(self, folder: ObjectFolder, run: AutoLLMRun) -> None:
        self._folder = folder
        self.run = _applied(folder, run)
        self._read: dict[str, Any] = {}
        self._trainings = {document["metadata"]["name"]: DeltaTraining.parse(document) for document in folder.all("DeltaTraining")}
        self._trials = {document["metadata"]["name"]: MergeTrial.parse(document) for document in folder.all("MergeTrial")}
        self._failed_before = frozenset(name for name, trial in self._trials.items() if failure_of(trial) is not None)

    @property
    def pending_trials(self) -> list[str]:
        """The trials whose outcome is not known yet."""
        return [name for name, trial in self._trials.items() if is_pending(trial)]

    def refresh_trials(self) -> bool:
        """Read what evaluators have reported; say whether there was anything."""
        names = self.pending_trials
        for name in names:
            document = self._folder.read("MergeTrial", name)
            if document is not None and "status" in document:
                self._trials[name] = MergeTrial.parse(document)
        return len(self.pending_trials) < len(names)

    def snapshot(self, tasks: tuple[TaskState, ...], inputs_seen: str, exhausted: Mapping[str, int]) -> Snapshot:
        """Return the run as it stands. The states of tasks are older than what is read here: an ended task's report is seen."""
        self.refresh_trials()
        for name, training in self._trainings.items():
            if training.status is None or training.status.delta is None:
                self._trainings[name] = self._read_training(name)
        document = self._folder.read("AutoLLMRun", self.run.metadata.name)
        if document is not None and document != self._read:
            self._read, self.run = document, AutoLLMRun.parse(document)
        children = tuple(self._trainings.values()), tuple(self._trials.values())
        return Snapshot(self.run, *children, tasks, inputs_seen, exhausted, self._failed_before)

    def write_status(self, status: RunStatus) -> bool:
        """Write the status fields that the planner owns; say whether they differ from what was there."""
        before = self.run.status or RunStatus()
        fields = status.model_copy(update={"prepared": None, "published": None})
        if before.model_copy(update={"prepared": None, "published": None}) == fields:
            return False
        self._folder.report("AutoLLMRun", self.run.metadata.name, "status", fields.document())
        merged = fields.model_copy(update={"prepared": before.prepared, "published": before.published})
        self.run = self.run.model_copy(update={"status": merged})
        return True

    def create_training(self, training: DeltaTraining) -> None:
        """Create a DeltaTraining that is not there yet."""
        name = training.metadata.name
        self._folder.create("DeltaTraining", name, _created(training.document()))
        self._trainings[name] = self._read_training(name)

    def set_training_status(self, name: str, status: DeltaTrainingStatus) -> None:
        """Write the status fields of a DeltaTraining that the planner owns."""
        self._folder.report("DeltaTraining", name, "status", status.document())
        self._trainings[name] = self._read_training(name)

    def set_training_workers(self, name: str, workers: Workers) -> None:
        """Write what the pods of a DeltaTraining may use, as the run says it now; on this machine nobody reads it."""
        training = self._trainings[name]
        spec = training.spec.model_copy(update={"workers": workers})
        self._folder.apply("DeltaTraining", name, training.model_copy(update={"spec": spec, "status": None}).document())
        self._trainings[name] = self._read_training(name)

    def create_trial(self, trial: MergeTrial) -> None:
        """Create a MergeTrial that is not there yet."""
        name = trial.metadata.name
        self._folder.create("MergeTrial", name, _created(trial.document()))
        self._trials[name] = MergeTrial.parse(self._folder.read("MergeTrial", name) or {})

    def fail_trial(self, name: str, failure: Failure) -> None:
        """Write a failure in place of a result; a result that is there already stands."""
        self._folder.report("MergeTrial", name, "result", {"failure": failure.document()}, final=True)
        self.refresh_trials()

    def delete_training(self, name: str) -> None:
        """Delete a DeltaTraining, which may be gone already."""
        self._folder.delete("DeltaTraining", name)
        self._trainings.pop(name, None)

    def delete_trial(self, name: str) -> None:
        """Delete a MergeTrial, which may be gone already."""
        self._folder.delete("MergeTrial", name)
        self._trials.pop(name, None)

    def _read_training(self, name: str) -> DeltaTraining:
        return DeltaTraining.parse(self._folder.read("DeltaTraining", name) or {})


def _applied(folder: ObjectFolder, run: AutoLLMRun) -> AutoLLMRun:
    """Write the run as `kubectl apply` would: a changed spec raises the generation, status stays. Returns it with its status."""
    name = run.metadata.name
    if others := [other for other in folder.names("AutoLLMRun") if other != name]:
        raise InputError(
            f"metadata.name: {folder.root.parent} is the folder of the run {others[0]}, not of {name}; choose another by --folder"
        )
    known = folder.read("AutoLLMRun", name)
    before = AutoLLMRun.parse(known) if known is not None else None
    if before is not None and before.spec.artifacts.uri != run.spec.artifacts.uri:
        raise InputError(
            f"spec.artifacts.uri: the run in {folder.root.parent} has its deltas and results in {before.spec.artifacts.uri}, not in "
            f"{run.spec.artifacts.uri}; keep that place, or give the run with the new one a folder of its own by --folder"
        )
    generation = 1 if before is None else before.metadata.generation + (before.spec != run.spec)
    created = stamp(datetime.now(UTC)) if before is None else before.metadata.creation_timestamp
    metadata = run.metadata.model_copy(update={"generation": generation, "creation_timestamp": created})
    if before is None or before.metadata != metadata or before.spec != run.spec:
        folder.apply("AutoLLMRun", name, AutoLLMRun(metadata=metadata, spec=run.spec).document())
    return AutoLLMRun(metadata=metadata, spec=run.spec, status=before.status if before else None)


def _created(document: dict[str, Any]) -> dict[str, Any]:
    document["metadata"]["creationTimestamp"] = stamp(datetime.now(UTC))
    document.pop("status", None)
    return document
