"""What a run relies on in its artifacts and is there no more: looked for after a failure, so that it is made again."""

from __future__ import annotations

import logging

from autollm.contract.folder import ObjectFolder
from autollm.contract.layout import records
from autollm.errors import AutoLLMError
from autollm.plan.trainings import planned_keys, planned_trainings
from autollm.resources.delta_training import DeltaTraining
from autollm.resources.facts import Prepared
from autollm.resources.run import AutoLLMRun, RunSpec
from autollm.store import Store, open_store
from autollm.store.deltas import find_manifest

_log = logging.getLogger(__name__)


def forget_lost(objects: ObjectFolder, name: str) -> None:
    """Withdraw the reports of a failed run on chunks and deltas that somebody has removed since, as one does with damaged ones.

    Of a run that has not failed nothing is looked at. Where the artifacts do not answer, nothing is withdrawn: the tasks will say so.
    """
    document = objects.read("AutoLLMRun", name)
    if document is None:
        return
    run = AutoLLMRun.parse(document)
    if run.status is None or not _has_failed(run):
        return
    try:
        place = run.spec.artifacts
        store = open_store(place.uri, endpoint=place.endpoint, region=place.region)
        lost = [training for training in map(DeltaTraining.parse, objects.all("DeltaTraining")) if _is_lost(training, store)]
        stale = bool(lost) or (run.status.prepared is not None and _lacks(run.spec, run.status.prepared, store))
    except AutoLLMError as error:
        _log.info("the artifacts cannot be looked at", extra={"cause": str(error)})
        return
    for training in lost:
        objects.withdraw("DeltaTraining", training.metadata.name, "delta")
        objects.withdraw("DeltaTraining", training.metadata.name, "status")
    if stale:
        # The next preparation takes what is there and says which deltas are.
        objects.withdraw("AutoLLMRun", name, "prepared")


def _has_failed(run: AutoLLMRun) -> bool:
    conditions = (run.status.conditions if run.status else None) or []
    return any(condition.type == "Succeeded" and condition.status == "False" for condition in conditions)


def _is_lost(training: DeltaTraining, store: Store) -> bool:
    delta = training.status.delta if training.status else None
    return delta is not None and find_manifest(store, delta.key) is None


def _lacks(spec: RunSpec, prepared: Prepared, store: Store) -> bool:
    files = [*(chunk.digest for chunk in prepared.chunks), prepared.search.digest, prepared.test.digest]
    existing = prepared.existing.keys(planned_keys(planned_trainings(spec, prepared))) if prepared.existing is not None else ()
    deltas = [*(delta.key for delta in prepared.imported), *existing]
    return any(store.stat(records(digest)) is None for digest in files) or any(find_manifest(store, key) is None for key in deltas)
