"""The publish task: merge, write, verify by loading, upload, and move `latest` last."""

from __future__ import annotations

import json
import logging
import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from autollm.contract import layout
from autollm.contract.digests import digest_bytes, digest_document, digest_file
from autollm.contract.manifests import DataManifest, RevisionManifest, StoredFile
from autollm.contract.tasks import PublishTask
from autollm.errors import IntegrityError
from autollm.report.model_card import model_card
from autollm.resources.facts import ModelFact
from autollm.store import PreconditionError, Store, open_store
from autollm.store.disk import disk_errors
from autollm.store.objects import digest_object, read_verified
from autollm.store.revisions import published_fact
from autollm_runtime.delta.artifacts import read_delta, read_manifest
from autollm_runtime.merge.stream import stream_merge
from autollm_runtime.model.fetch import fetch_model
from autollm_runtime.publish.revision import Claim, claim_revision, point_latest, prune_revisions, read_revision
from autollm_runtime.publish.stopping import write_stops
from autollm_runtime.publish.verify import verify_merge
from autollm_runtime.worker.context import Context

CARD = "README.md"
_PROGRAMS = ("autollm", "safetensors", "tokenizers", "torch", "transformers")
_log = logging.getLogger(__name__)


def run_publish(task: PublishTask, context: Context) -> None:
    """Publish the winner as the next revision, or finish the revision that an earlier attempt began, and report it.

    Killed at any instant it leaves either nothing that anybody believes in, or the finished revision; the same task again gives
    the same revision. Raises InputError where a delta does not fit or the result is not what was scored, IntegrityError where stored
    bytes are not those of their digests, DiskFullError where there is no space.
    """
    store = open_store(task.artifacts.uri, endpoint=task.artifacts.endpoint, region=task.artifacts.region)
    claim = claim_revision(store, _identity(task))
    found = read_revision(store, claim.revision)
    if found is None:
        folder = context.scratch / "publish" / claim.revision
        shutil.rmtree(folder, ignore_errors=True)
        manifest = _make(task, context, store, claim, folder)
        found = _upload(store, folder, manifest)
        shutil.rmtree(folder)
    manifest, digest = found
    point_latest(store, manifest.revision, digest, context.check_stop)
    keep = task.keep or task.artifacts.keep
    if keep is not None and keep.revisions is not None:
        pinned = task.spec.publish.pin
        prune_revisions(store, keep.revisions, {manifest.revision, *([pinned] if pinned else [])}, datetime.now(UTC))
    _log.info("published", extra={"revision": manifest.revision, "digest": digest})
    context.check_stop()  # once another task has taken the place of this one, `latest` is that one's to report
    fact = published_fact(store, manifest, digest, as_of=task.as_of, task=task.id)
    context.reports.published(task.run, fact.fit_for_status())


def _identity(task: PublishTask) -> str:
    """The digest of everything that makes the published bytes and their meaning.

    The revision that it replaces is part of it: a winner that comes back after another one was in use is published anew,
    as the newest, and not found as the old revision to which `latest` would not go back.
    """
    weights = {delta.key: float(delta.weight) for delta in task.deltas}
    parts = {
        "run": task.run,
        "trial": task.trial,
        "base": task.model.digest,
        "dtype": task.model.dtype,
        "data": task.data,
        "weights": weights,
        "replaces": task.replaces,
    }
    return digest_document(parts)


def _make(task: PublishTask, context: Context, store: Store, claim: Claim, folder: Path) -> RevisionManifest:
    """Write and verify the whole folder of a revision; its manifest names every file."""
    base = fetch_model(task.model, store, context.scratch)
    weights = {delta.name: float(delta.weight) for delta in task.deltas}
    deltas = [read_delta(store, delta.name, delta.key, base=task.model.digest, scratch=context.scratch) for delta in task.deltas]
    context.check_stop()
    merged = stream_merge(base, deltas, weights, folder, task.model.dtype, threads=context.threads)
    write_stops(folder)
    context.check_stop()
    verify_merge(folder, base, deltas, weights, task.model.dtype)
    context.check_stop()
    model = task.model
    manifest = RevisionManifest(
        revision=claim.revision,
        run=task.run,
        trial=task.trial,
        model=ModelFact(uri=model.uri, digest=model.digest, dtype=model.dtype, revision=model.revision, parameters=merged.parameters),
        weights={delta.name: delta.weight for delta in task.deltas},
        deltas={delta.name: delta.key for delta in task.deltas},
        lineage=[read_manifest(store, delta.key) for delta in task.deltas],
        data=task.data,
        results=task.results,
        files=[],
        dtype=task.model.dtype,
        versions={name: version(name) for name in _PROGRAMS},
        created=claim.created,
        spec=task.spec.document(),
    )
    data = DataManifest.model_validate_json(read_verified(store, layout.data_manifest(task.data), task.data))
    uri = f"{store.uri}/{layout.revision_prefix(claim.revision).removesuffix('/')}"
    with disk_errors(str(folder)):
        (folder / CARD).write_text(model_card(manifest, data, uri), encoding="utf-8")
    files = [StoredFile(name=path.name, digest=digest_file(path), size=path.stat().st_size) for path in sorted(folder.iterdir())]
    return manifest.model_copy(update={"files": files})


def _upload(store: Store, folder: Path, manifest: RevisionManifest) -> tuple[RevisionManifest, str]:
    """Upload a revision, read back what the store has, and make it real by its manifest; return the one that stands."""
    prefix = layout.revision_prefix(manifest.revision)
    for file in manifest.files:
        store.upload(folder / file.name, prefix + file.name)
    for file in manifest.files:
        if digest_object(store, prefix + file.name) != file.digest:
            raise IntegrityError(
                f"{store.uri}/{prefix}{file.name} is not what was uploaded; the store is faulty or somebody else wrote there"
            )
    data = (json.dumps(manifest.document(), indent=1, sort_keys=True) + "\n").encode()
    try:
        store.write(layout.revision_manifest(manifest.revision), data, if_absent=True)
    except PreconditionError:  # the same publication ran twice at once; the files are the same
        standing = read_revision(store, manifest.revision)
        if standing is None:
            raise
        return standing
    return manifest, digest_bytes(data)
