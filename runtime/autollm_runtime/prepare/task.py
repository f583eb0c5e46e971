"""The prepare task: data, base model and a look at what the artifacts hold, as one report."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from autollm.contract import layout
from autollm.contract.manifests import DataManifest
from autollm.contract.tasks import PrepareTask
from autollm.resources.facts import ModelFact, Prepared
from autollm.store import Store, open_store
from autollm.store.disk import disk_errors
from autollm.store.probe import probe_store
from autollm_runtime.model.base import resolve_base
from autollm_runtime.model.fetch import fetch_location
from autollm_runtime.model.loading import load_tokenizer
from autollm_runtime.prepare.data import data_key, prepare_data
from autollm_runtime.prepare.found import existing_deltas, imported_deltas, published_revision
from autollm_runtime.prepare.length import EncodedLengths, Gauge
from autollm_runtime.prepare.locate import locate
from autollm_runtime.prepare.previous import read_previous, write_previous
from autollm_runtime.prepare.shapes import check_uses, shapes_by_source
from autollm_runtime.text.encoding import Encoder
from autollm_runtime.worker.context import Context

_log = logging.getLogger(__name__)


def run_prepare(task: PrepareTask, context: Context) -> None:
    """Read the sources, cut the chunks, resolve the base model, look which deltas exist, and report `Prepared`.

    Raises InputError with source, file, position and remedy for data or a model that cannot be used; TemporaryError where a store
    does not answer or the disk is full.
    """
    artifacts = task.spec.artifacts
    store = open_store(artifacts.uri, endpoint=artifacts.endpoint, region=artifacts.region)
    probe_store(store)  # artifacts that cannot be kept are told before an hour is spent on the data
    on_gpus = context.in_pod and task.spec.workers.compute_on_gpus
    model = resolve_base(task.spec.model, store, context.scratch, last=task.last, on_gpus=on_gpus)
    base = fetch_location(model.uri, model.revision, store, context.scratch)
    context.check_stop()
    manifest, digest = _data(task, context, store, model, base)
    context.check_stop()
    fact = _report(task, manifest, digest, model, base, store, context.scratch)
    context.check_stop()  # a task that another has taken the place of says nothing: what the other reports would be overwritten
    context.reports.prepared(task.run, fact)
    _log.info(
        "data prepared", extra={"records": fact.records, "chunks": len(fact.chunks), "dropped": fact.dropped, "waiting": fact.waiting}
    )


def _data(task: PrepareTask, context: Context, store: Store, model: ModelFact, base: Path) -> tuple[DataManifest, str]:
    """The manifest and its digest: the last one where no input has changed since, else a new one."""
    spec = task.spec
    files = [list(locate(source, spec.artifacts, context.scratch)) for source in spec.sources]
    key = data_key(spec, model.digest, files)
    previous = read_previous(store, task.run)
    if previous is not None and previous.manifest.key == key and _is_whole(store, previous.manifest):
        _log.info("the data is as it was prepared last", extra={"manifest": previous.digest})
        check_uses(spec.training.methods, shapes_by_source(previous.manifest.chunks))
        return previous.manifest, previous.digest
    gauge = Gauge(EncodedLengths(Encoder(load_tokenizer(base), spec.data.max_tokens)), spec.data.max_tokens)
    with disk_errors(str(context.scratch)):
        manifest = prepare_data(spec, files, gauge, previous, store, context.scratch, context.check_stop, run=task.run, key=key)
    check_uses(spec.training.methods, shapes_by_source(manifest.chunks))
    return manifest, write_previous(store, manifest)


def _is_whole(store: Store, manifest: DataManifest) -> bool:
    digests = {chunk.digest for chunk in manifest.chunks} | {manifest.search.digest, manifest.test.digest}
    return all(store.stat(layout.records(digest)) is not None for digest in digests)


def _report(task: PrepareTask, manifest: DataManifest, digest: str, model: ModelFact, base: Path, store: Store, scratch: Path) -> Prepared:
    dropped: Counter[str] = Counter()
    for source in manifest.sources:
        dropped.update(source.dropped)
    fact = Prepared(
        key=task.key,
        model=model,
        manifest=digest,
        records=sum(chunk.records for chunk in manifest.chunks),
        dropped=dict(sorted(dropped.items())),
        waiting=sum(source.waiting for source in manifest.sources),
        chunks=manifest.chunks,
        search=manifest.search,
        test=manifest.test,
        imported=imported_deltas(task.spec, model, base, store, scratch),
        published=published_revision(store, task.known),
        task=task.id,
    )
    return fact.model_copy(update={"existing": existing_deltas(task.spec, fact, store)})
