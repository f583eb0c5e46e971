"""Chunk and item files: the records that stayed, pool by pool, under the digests of their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autollm.contract import layout
from autollm.errors import InputError
from autollm.resources.facts import ChunkFact, ItemsFact
from autollm.resources.sources import Chunking, Source
from autollm.store import Store
from autollm_runtime.prepare.cut import OldChunk, chunk_name, cut
from autollm_runtime.prepare.previous import POOL
from autollm_runtime.prepare.spill import SHAPES, Table, read_lines
from autollm_runtime.prepare.split import TRAIN

MOST_CHUNKS = 2000
"""As many chunks as a run's status has room for."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Shelf:
    """Writes records of the spill into the artifacts, each file once."""

    store: Store
    records: Path
    starts: NDArray[np.int64]
    scratch: Path

    def put(self, rows: Rows) -> str:
        """Write the records of these rows as one file and return its digest."""
        path = self.scratch / "part.jsonl"
        found = hashlib.sha256()
        with path.open("wb") as file:
            for line in read_lines(self.records, self.starts, rows.tolist()):
                found.update(line)
                file.write(line)
        digest = f"sha256:{found.hexdigest()}"
        key = layout.records(digest)
        if self.store.stat(key) is None:
            self.store.upload(path, key)
        path.unlink()
        return digest

    def put_items(self, rows: Rows) -> ItemsFact:
        """Write the items of a held-out split."""
        return ItemsFact(digest=self.put(rows), count=len(rows))


@dataclass(frozen=True)
class Shelved:
    """The chunks of a cut, and how many records of each source wait for company."""

    chunks: Sequence[ChunkFact]
    waiting: Mapping[str, int]


def shelve(
    table: Table,
    stays: NDArray[np.bool_],
    sources: Sequence[Source],
    chunking: Chunking,
    old: Mapping[str, Sequence[OldChunk]],
    shelf: Shelf,
) -> Shelved:
    """Cut the training records that stay and write the chunks; raises InputError (TooManyChunks) before anything is written."""
    train = np.flatnonzero(stays & (table.splits == TRAIN))
    pools = {POOL: train}
    if chunking.by == "Source":
        pools = {source.name: train[table.sources[train] == index] for index, source in enumerate(sources)}
    cuts = {
        pool: cut(table.keys[rows], table.sources[rows], old.get(pool, ()), most=chunking.max_records, least=chunking.min_records)
        for pool, rows in pools.items()
    }
    count = sum(len(made.pieces) for made in cuts.values())
    if count > MOST_CHUNKS:
        raise InputError(
            f"data.chunk.maxRecords {chunking.max_records} makes {count} chunks of {len(train)} records, and {MOST_CHUNKS} is the most; "
            f"raise it to {-(-len(train) // (MOST_CHUNKS // 2))} or more",
            reason="TooManyChunks",
        )
    chunks: list[ChunkFact] = []
    waiting: dict[str, int] = {}
    for pool, made in cuts.items():
        for piece in made.pieces:
            rows = pools[pool][piece.rows]
            shapes = np.bincount(table.shapes[rows], minlength=len(SHAPES)).tolist()
            chunks.append(
                ChunkFact(
                    name=chunk_name(pool, piece.number, len(made.pieces)),
                    source=pool,
                    digest=shelf.put(rows),
                    records=len(rows),
                    shapes={shape: number for shape, number in zip(SHAPES, shapes, strict=True) if number},
                )
            )
        for index in table.sources[pools[pool][made.waiting]].tolist():
            name = sources[index].name
            waiting[name] = waiting.get(name, 0) + 1
    return Shelved(chunks, waiting)
