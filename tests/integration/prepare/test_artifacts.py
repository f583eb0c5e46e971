"""What lies in the artifacts already: the last cut, deltas, ready-made deltas, the published revision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import DeltaManifest, RevisionManifest
from autollm.errors import IntegrityError
from autollm.plan.trainings import PlannedTraining, planned_keys, planned_trainings
from autollm.store import DiskFullError, open_store
from autollm_runtime.delta import publish_delta
from support.file_limit import file_limit
from support.preparing import Outcome, Preparer, write_rows


@pytest.fixture
def spec(preparer: Preparer, tmp_path: Path) -> dict[str, Any]:
    rows = ({"prompt": f"Question {number}?", "completion": f"Answer {number}."} for number in range(80))
    return preparer.spec([{"name": "math", "uri": str(write_rows(tmp_path / "math.jsonl", rows))}])


def manifest_path(outcome: Outcome) -> Path:
    return outcome.artifacts / layout.data_manifest(outcome.prepared.manifest)


def existing(outcome: Outcome, planned: Sequence[PlannedTraining]) -> frozenset[str]:
    assert outcome.prepared.existing is not None
    return outcome.prepared.existing.keys(planned_keys(planned))


def test_a_delta_that_another_run_made_is_found(preparer: Preparer, spec: dict[str, Any], tmp_path: Path) -> None:
    first = preparer.run(spec)
    planned = planned_trainings(preparer.task(spec).spec, first.prepared)
    assert existing(first, planned) == frozenset()
    training = planned[0]
    (tmp_path / "delta").mkdir()
    (tmp_path / "delta" / "delta.safetensors").write_bytes(b"weights")
    made = DeltaManifest(key=training.key, form="Full", base=first.prepared.model.digest, dtype="Float32", prefix="", files=[])
    publish_delta(open_store(spec["artifacts"]["uri"]), training.key, tmp_path / "delta", made)
    assert existing(preparer.run(spec, run="other"), planned) == {training.key}
    (weights,) = (first.artifacts / "deltas").rglob("delta.safetensors")
    weights.unlink()
    assert existing(preparer.run(spec, run="later"), planned) == frozenset()


def test_the_published_revision_is_reported(preparer: Preparer, spec: dict[str, Any]) -> None:
    first = preparer.run(spec)
    assert first.prepared.published is None
    revision = RevisionManifest(
        revision="r1",
        run="run",
        trial="trial",
        model=first.prepared.model,
        weights={},
        deltas={},
        lineage=[],
        data=first.prepared.manifest,
        results=[],
        files=[],
        dtype="Float32",
        versions={},
        created="2026-01-01T00:00:00Z",
        spec={},
    )
    store = open_store(spec["artifacts"]["uri"])
    data = json.dumps(revision.document()).encode()
    store.write(layout.revision_manifest("r1"), data)
    store.write(layout.LATEST, json.dumps({"revision": "r1", "digest": digest_bytes(data)}).encode())
    published = preparer.run(spec).prepared.published
    assert published is not None
    assert (published.revision, published.base, published.digest) == ("r1", first.prepared.model.digest, digest_bytes(data))
    assert published.uri == f"{store.uri}/revisions/r1"
    store.write(layout.revision_manifest("r1"), data + b" ")
    with pytest.raises(IntegrityError, match=r"r1/manifest.json is damaged"):
        preparer.run(spec)


def test_a_flipped_byte_in_the_last_manifest_is_noticed(preparer: Preparer, spec: dict[str, Any]) -> None:
    path = manifest_path(preparer.run(spec))
    path.write_bytes(path.read_bytes().replace(b"math", b"nath", 1))
    with pytest.raises(IntegrityError, match="is damaged"):
        preparer.run(spec)


def test_a_damaged_pointer_is_noticed_and_a_removed_one_starts_anew(preparer: Preparer, spec: dict[str, Any]) -> None:
    first = preparer.run(spec)
    pointer = first.artifacts / layout.data_pointer("run")
    pointer.write_text("{}")
    with pytest.raises(IntegrityError, match="remove it, and the chunks are cut anew"):
        preparer.run(spec)
    pointer.unlink()
    assert preparer.run(spec).prepared == first.prepared


def test_a_full_disk_is_temporary_and_what_was_prepared_stays(preparer: Preparer, spec: dict[str, Any]) -> None:
    first = preparer.run(spec)
    with file_limit(4096), pytest.raises(DiskFullError, match="no space is left"):
        preparer.run(spec | {"data": {"maxTokens": 100}})
    assert preparer.run(spec).prepared == first.prepared
