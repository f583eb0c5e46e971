"""What the artifacts hold already: deltas that the run needs, ready-made ones taken in, the published revision."""

from __future__ import annotations

from pathlib import Path

from autollm.contract import layout
from autollm.contract.manifests import RevisionManifest
from autollm.plan.trainings import planned_keys, planned_trainings
from autollm.resources.facts import Existing, ImportedDelta, ModelFact, Prepared, PublishedRevision
from autollm.resources.run import RunSpec
from autollm.store import Store
from autollm.store.objects import read_verified
from autollm.store.revisions import published_fact, read_pointer
from autollm_runtime.delta import find_delta, import_delta


def existing_deltas(spec: RunSpec, prepared: Prepared, store: Store) -> Existing:
    """Return which deltas of the run's trainings are in the artifacts, whichever run made them."""
    keys = planned_keys(planned_trainings(spec, prepared))
    return Existing.among(keys, [key for key in keys if find_delta(store, key) is not None])


def imported_deltas(spec: RunSpec, model: ModelFact, base: Path, store: Store, scratch: Path) -> list[ImportedDelta]:
    """Take the run's ready-made deltas into the artifacts; raises InputError where one does not fit the base."""
    return [import_delta(ready, model, base, store, scratch) for ready in spec.deltas or ()]


def published_revision(store: Store, known: str | None) -> PublishedRevision | None:
    """Return what `latest` points to; raises IntegrityError where its manifest is damaged.

    Of the revision whose digest is `known`, and which has too many deltas to be told of twice, nothing is said of what is merged in it.
    """
    pointed = read_pointer(store)
    if pointed is None:
        return None
    pointer, _ = pointed
    data = read_verified(store, layout.revision_manifest(pointer.revision), pointer.digest)
    manifest = RevisionManifest.model_validate_json(data)
    fact = published_fact(store, manifest, pointer.digest).fit_for_status()
    return fact.model_copy(update={"packed": ""}) if fact.packed is not None and fact.digest == known else fact
