"""From the files of all sources to chunks, items and a manifest with a counted reason for every record that was dropped."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from autollm.contract.digests import digest_document
from autollm.contract.keys import PREPARE_VERSION
from autollm.contract.manifests import DataManifest, SourceCounts
from autollm.resources.run import RunSpec
from autollm.store import Store
from autollm_runtime.prepare.chunks import Shelf, shelve
from autollm_runtime.prepare.ingest import Intake, ingest
from autollm_runtime.prepare.length import Gauge
from autollm_runtime.prepare.locate import SourceFile
from autollm_runtime.prepare.previous import Previous, known_keys, old_chunks
from autollm_runtime.prepare.remains import check_remains
from autollm_runtime.prepare.sift import Verdicts, counted, sift
from autollm_runtime.prepare.spill import Spill, Table
from autollm_runtime.prepare.split import SEARCH, SPLITS, TEST, Splitter

_log = logging.getLogger(__name__)


def data_key(spec: RunSpec, base: str, files: Sequence[Sequence[SourceFile]]) -> str:
    """Return the digest of everything that determines records and splits, and, with the last cut, the chunks."""
    return digest_document(
        {
            "version": PREPARE_VERSION,
            "sources": [source.document() for source in spec.sources],
            "data": spec.data.document(),
            "base": base,
            "files": [[_identity(file) for file in found] for found in files],
        }
    )


def _identity(file: SourceFile) -> list[object]:
    told = file.described
    return [file.place.uri, file.digest, None if told is None else [told.format, dict(told.columns)]]


def prepare_data(
    spec: RunSpec,
    files: Sequence[Sequence[SourceFile]],
    gauge: Gauge,
    previous: Previous | None,
    store: Store,
    scratch: Path,
    check_stop: Callable[[], None],
    *,
    run: str,
    key: str,
) -> DataManifest:
    """Read the files of each source, sort the records out, and write chunks and items; the manifest itself is not written yet.

    The records pass through a file in `scratch`; in memory there are some forty bytes of each. Raises InputError for data that
    cannot be used, naming the place and the remedy.
    """
    folder = scratch / "prepare"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    intakes = []
    with Spill(folder, Splitter.of(spec.data.split)) as spill:
        for index, (source, found) in enumerate(zip(spec.sources, files, strict=True)):
            intakes.append(ingest(source, index, found, spill, gauge, check_stop))
            _log.info("source read", extra={"source": source.name, "files": len(found), "records": intakes[-1].read})
        table = spill.table()
    old = old_chunks(store, previous, spec.data.chunk)
    near = spec.data.deduplicate.near
    verdicts = sift(table, spill.words, known_keys(store, previous, old), None if near is None else float(near), check_stop)
    counts = _counts(spec, intakes, table, verdicts)
    check_remains(spec, counts)
    shelf = Shelf(store, spill.records, table.starts, folder)
    stays = verdicts == 0
    shelved = shelve(table, stays, spec.sources, spec.data.chunk, old, shelf)
    manifest = DataManifest(
        run=run,
        key=key,
        sources=[source.model_copy(update={"waiting": shelved.waiting.get(source.name, 0)}) for source in counts],
        chunks=list(shelved.chunks),
        search=shelf.put_items(np.flatnonzero(stays & (table.splits == SEARCH))),
        test=shelf.put_items(np.flatnonzero(stays & (table.splits == TEST))),
        inputs={file.place.uri: file.digest for found in files for file in found},
        chunking=spec.data.chunk,
    )
    shutil.rmtree(folder)
    return manifest


def _counts(spec: RunSpec, intakes: Sequence[Intake], table: Table, verdicts: Verdicts) -> list[SourceCounts]:
    counts = []
    for index, (source, intake) in enumerate(zip(spec.sources, intakes, strict=True)):
        mine = table.sources == index
        kept = np.bincount(table.splits[mine & (verdicts == 0)], minlength=len(SPLITS)).tolist()
        counts.append(
            SourceCounts(
                name=source.name,
                read=intake.read,
                kept={name: count for name, count in zip(SPLITS, kept, strict=True) if count},
                dropped=dict(sorted((intake.dropped + Counter(counted(verdicts, mine))).items())),
            )
        )
    return counts
