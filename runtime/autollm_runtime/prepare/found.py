"""What the artifacts hold already: deltas that the run needs, ready-made ones taken in, the published revision."""

from __future__ import annotations

from pathlib import Path

from autollm.contract import layout
from autollm.contract.manifests import RevisionManifest
from autollm.plan.trainings import planned_trainings
from autollm.resources.facts import DeltaFact, ImportedDelta, ModelFact, Prepared, PublishedRevision
from autollm.resources.run import RunSpec
from autollm.store import Store
from autollm.store.objects import read_verified
from autollm.store.revisions import published_fact, read_pointer
from autollm_runtime.delta import find_delta, import_delta


def existing_deltas(spec: RunSpec, prepared: Prepared, store: Store) -> list[DeltaFact]:
    """Return the deltas of the run's trainings that are in the artifacts, whichever run made them."""
    keys = dict.fromkeys(training.key for training in planned_trainings(spec, prepared))
    found = (find_delta(store, key) for key in keys)
    return [fact for fact in found if fact is not None]


def imported_deltas(spec: RunSpec, model: ModelFact, base: Path, store: Store, scratch: Path) -> list[ImportedDelta]:
    """Take the run's ready-made deltas into the artifacts; raises InputError where one does not fit the base."""
    return [import_delta(ready, model, base, store, scratch) for ready in spec.deltas or ()]


def published_revision(store: Store) -> PublishedRevision | None:
    """Return what `latest` points to; raises IntegrityError where its manifest is damaged."""
    pointed = read_pointer(store)
    if pointed is None:
        return None
    pointer, _ = pointed
    data = read_verified(store, layout.revision_manifest(pointer.revision), pointer.digest)
    manifest = RevisionManifest.model_validate_json(data)
    return published_fact(store, manifest, pointer.digest)
