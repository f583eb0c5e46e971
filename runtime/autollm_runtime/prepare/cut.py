"""The cut of training records into chunks: pure, and as close to the last cut as the records allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class OldChunk:
    """A chunk of the last cut: its number within its pool and the keys of its records, in order."""

    number: int
    keys: Keys


@dataclass(frozen=True)
class Piece:
    """A chunk of the new cut: its number within its pool, and the positions of its records in the pool."""

    number: int
    rows: Rows


@dataclass(frozen=True)
class Cut:
    """The chunks of one pool in the order of their numbers, and the positions of the records that wait for company."""

    pieces: Sequence[Piece]
    waiting: Rows


def cut(keys: Keys, groups: NDArray[np.integer], old: Sequence[OldChunk], *, most: int, least: int) -> Cut:
    """Cut the records of one pool, given by unique keys in order; `groups` says which source each is from (runs of equal values).

    A record stays in the chunk that has it. A new one between two old ones of its source joins the chunk of the one before it (at the
    start, of the one after it), so that one chunk alone changes. New ones behind the last old one of their source are appended: they
    make chunks of their own of `least` to `most` records, and fewer wait. A pool without old chunks is cut as it is, however few there
    are. No chunk is larger than `most`: one that has grown beyond it is divided, and its first part keeps the number.
    """
    home = _homes(keys, old)
    had_chunks = bool((home >= 0).any())
    for start, end in _runs(groups):
        home[start:end] = _fill_gaps(home[start:end])
    numbers = [chunk.number for chunk in old]
    following = max(numbers, default=0) + 1
    pieces: list[Piece] = []
    for index, number in enumerate(numbers):
        rows = np.flatnonzero(home == index)
        for position, part in enumerate(_parts(rows, most)):
            pieces.append(Piece(following if position else number, part))
            following += position > 0
    appended = np.flatnonzero(home < 0)
    if had_chunks and len(appended) < least:
        return Cut(_in_order(pieces), appended)
    for part in _parts(appended, most):
        pieces.append(Piece(following, part))
        following += 1
    return Cut(_in_order(pieces), appended[:0])


def chunk_name(pool: str, number: int, count: int) -> str:
    """Return a chunk's name: the pool's alone where its first chunk is its only one, else with the number."""
    return pool if count == 1 and number == 1 else f"{pool}-{number:04d}"


def chunk_number(pool: str, name: str) -> int:
    """Return the number in a chunk's name."""
    return 1 if name == pool else int(name.removeprefix(f"{pool}-"))


def _homes(keys: Keys, old: Sequence[OldChunk]) -> NDArray[np.int64]:
    """For each record the index of the old chunk that has it, or -1."""
    home = np.full(len(keys), -1, np.int64)
    if not old:
        return home
    known = np.concatenate([chunk.keys for chunk in old])
    owner = np.repeat(np.arange(len(old)), [len(chunk.keys) for chunk in old])
    order = np.argsort(known, kind="stable")
    known, owner = known[order], owner[order]
    if len(known):
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        found = known[place] == keys
        home[found] = owner[place[found]]
    return home


def _fill_gaps(home: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give new records before the last old one the chunk of the old one before them, or else of the first old one."""
    old = np.flatnonzero(home >= 0)
    if not len(old):
        return home
    filled = home.copy()
    before = np.maximum.accumulate(np.where(home >= 0, np.arange(len(home)), -1))
    inside = np.arange(len(home)) < old[-1]
    source = np.where(before >= 0, before, old[0])
    filled[inside] = home[source[inside]]
    return filled


def _runs(groups: NDArray[np.integer]) -> list[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), len(groups)]
    return [(start, end) for start, end in pairwise(edges) if end > start]


def _parts(rows: Rows, most: int) -> list[Rows]:
    """Divide rows into as few parts as `most` allows, of equal size: a rest of a few records would make a delta of noise."""
    return np.array_split(rows, -(-len(rows) // most)) if len(rows) else []


def _in_order(pieces: Sequence[Piece]) -> list[Piece]:
    return sorted(pieces, key=lambda piece: piece.number)
