"""The memory of the last cut: its manifest, and which record was in which chunk."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import DataManifest
from autollm.errors import IntegrityError
from autollm.resources.sources import Chunking
from autollm.store import NotFoundError, Store
from autollm.store.objects import read_verified
from autollm_runtime.prepare.cut import OldChunk, chunk_number
from autollm_runtime.prepare.spill import Keys, record_key

POOL = "pool"
"""The name of the one pool of `by: Size`."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Previous:
    """The last cut of a run: the digest of its manifest, and the manifest."""

    digest: str
    manifest: DataManifest


def read_previous(store: Store, run: str) -> Previous | None:
    """Return the last cut of a run, or None where there is none; raises IntegrityError where its manifest is damaged."""
    try:
        digest = str(json.loads(store.read(layout.data_pointer(run)))["manifest"])
        data = read_verified(store, layout.data_manifest(digest), digest)
    except NotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{store.uri}/{layout.data_pointer(run)} is damaged; remove it, and the chunks are cut anew", reason="DigestMismatch"
        ) from error
    return Previous(digest, DataManifest.parse(json.loads(data)))


def write_previous(store: Store, manifest: DataManifest) -> str:
    """Write a manifest and, last, the pointer to it; return its digest."""
    data = (json.dumps(manifest.document(), indent=1, ensure_ascii=False) + "\n").encode()
    digest = digest_bytes(data)
    key = layout.data_manifest(digest)
    if store.stat(key) is None:
        store.write(key, data)
    store.write(layout.data_pointer(manifest.run), (json.dumps({"manifest": digest}) + "\n").encode())
    return digest


def old_chunks(store: Store, previous: Previous | None, chunking: Chunking) -> dict[str, list[OldChunk]]:
    """Return the chunks of the last cut by pool, empty where the document now asks for another cut.

    A chunk whose file is gone is forgotten, with a warning: its records are then cut anew.
    """
    found: dict[str, list[OldChunk]] = {}
    if previous is None or not same_cut(previous.manifest.chunking, chunking):
        return found
    for chunk in previous.manifest.chunks:
        pool = POOL if chunking.by == "Size" else chunk.source
        keys = _read_keys(store, chunk.digest)
        if keys is None:
            _log.warning("a chunk of the last cut is gone and will be cut anew", extra={"chunk": chunk.name, "digest": chunk.digest})
        else:
            found.setdefault(pool, []).append(OldChunk(chunk_number(pool, chunk.name), keys))
    return found


def known_keys(store: Store, previous: Previous | None, chunks: dict[str, list[OldChunk]]) -> Keys:
    """Return the sorted keys of all records of the last cut, items of the held-out splits included."""
    parts = [chunk.keys for pool in chunks.values() for chunk in pool]
    if previous is not None:
        held_out = (_read_keys(store, items.digest) for items in (previous.manifest.search, previous.manifest.test))
        parts += [keys for keys in held_out if keys is not None]
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))


def same_cut(last: Chunking | None, now: Chunking) -> bool:
    """Whether chunks cut for one document may stay for another; `minRecords` is about appended records alone."""
    return last is not None and (last.by, last.max_records) == (now.by, now.max_records)


def _read_keys(store: Store, digest: str) -> Keys | None:
    try:
        return np.fromiter(_keys(store, digest), np.uint64)
    except NotFoundError:
        return None


def _keys(store: Store, digest: str) -> Iterator[int]:
    key = layout.records(digest)
    with store.open(key) as file:
        for line in file:
            try:
                yield record_key(line)
            except ValueError as error:
                raise IntegrityError(f"{store.uri}/{key} is damaged; remove it, and its records are cut anew") from error
