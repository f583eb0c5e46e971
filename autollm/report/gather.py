"""Gathering: what a report shows, read from a run's objects and its artifacts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autollm.contract import layout
from autollm.contract.manifests import DataManifest, DeltaManifest
from autollm.report.samples import Sample, samples
from autollm.report.state import RunState, read_state
from autollm.store import NotFoundError, Store, open_store
from autollm.store.objects import read_verified


@dataclass(frozen=True)
class Gathered:
    """All that a report shows."""

    state: RunState
    deltas: Mapping[str, DeltaManifest]
    data: DataManifest | None
    samples: tuple[Sample, ...]


def gather(folder: Path) -> Gathered:
    """Read a run's objects, and from its artifacts the lineage, the data's counts and sample answers, as far as they are there."""
    state = read_state(folder)
    prepared = state.status.prepared
    if prepared is None:
        return Gathered(state, {}, None, ())
    artifacts = state.run.spec.artifacts
    store = open_store(artifacts.uri, endpoint=artifacts.endpoint, region=artifacts.region)
    return Gathered(state, dict(_deltas(state, store)), _data(prepared.manifest, store), tuple(samples(state, prepared.test.digest, store)))


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
