"""Gathering: what a report shows, read from a run's objects and its artifacts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from autollm.contract import layout
from autollm.contract.manifests import DataManifest, DeltaManifest, RevisionManifest
from autollm.errors import InputError, TemporaryError
from autollm.report.samples import Sample, samples
from autollm.report.state import RunState
from autollm.resources.facts import Prepared, PublishedRevision
from autollm.store import AccessDeniedError, NotFoundError, Store, open_store
from autollm.store.objects import read_verified
from autollm.store.revisions import published_fact, read_pointer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathered:
    """All that a report shows."""

    state: RunState
    deltas: Mapping[str, DeltaManifest]
    data: DataManifest | None
    samples: tuple[Sample, ...]


def gather(state: RunState) -> Gathered:
    """Read from a run's artifacts the revision in use, the lineage, the data's counts and sample answers.

    What is not there is left out, and everything from the artifacts where they do not answer.
    """
    prepared = state.status.prepared
    if prepared is None:
        return Gathered(state, {}, None, ())
    try:
        return _with_artifacts(state, prepared)
    except (TemporaryError, AccessDeniedError) as error:
        _log.warning("the report goes without lineage, data and sample answers, and latest as the run last saw it: %s", error)
        return Gathered(state, {}, None, ())


def _with_artifacts(state: RunState, prepared: Prepared) -> Gathered:
    artifacts = state.run.spec.artifacts
    store = open_store(artifacts.uri, endpoint=artifacts.endpoint, region=artifacts.region)
    state = replace(state, latest=_latest(store))
    return Gathered(state, dict(_deltas(state, store)), _data(prepared.manifest, store), tuple(samples(state, prepared.test.digest, store)))


def _latest(store: Store) -> PublishedRevision | None:
    """Return what `latest` points to, None where nothing was published or that cannot be read."""
    try:
        found = read_pointer(store)
        if found is None:
            return None
        pointer, _ = found
        manifest = RevisionManifest.parse(json.loads(read_verified(store, layout.revision_manifest(pointer.revision), pointer.digest)))
        return published_fact(store, manifest, pointer.digest)
    except AccessDeniedError:
        raise
    except (InputError, ValueError) as error:  # ValueError: a manifest that another version wrote
        _log.warning("the report shows latest as the run last saw it: %s", error)
        return None


def _data(manifest: str, store: Store) -> DataManifest | None:
    try:
        return DataManifest.parse(json.loads(read_verified(store, layout.data_manifest(manifest), manifest)))
    except NotFoundError:
        return None


def _deltas(state: RunState, store: Store) -> Iterator[tuple[str, DeltaManifest]]:
    prepared = state.status.prepared
    imported = {one.name: one.key for one in prepared.imported} if prepared else {}
    trained = {training.spec.delta: training.spec.key for training in state.current_trainings if training.status and training.status.delta}
    for name, key in (imported | trained).items():
        try:
            yield name, DeltaManifest.parse(json.loads(store.read(layout.delta_manifest(key))))
        except NotFoundError:
            # A delta of an earlier document may have been cleared away; the report goes without it.
            continue
