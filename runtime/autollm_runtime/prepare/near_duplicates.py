"""Near duplicates: MinHash signatures of word 5-grams, bands of them as candidates, the exact Jaccard similarity as the verdict."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from autollm_runtime.prepare.duplicates import Mask, Ranks
from autollm_runtime.prepare.ngrams import Hashes, mix, read_grams

GRAM = 5
PERMUTATIONS = 128
_SEED = 1
_RECALL = 0.98
_MARGIN = 0.12  # nearly three standard errors of a similarity estimated from 128 permutations
_MOST_KEPT = 32  # members of a bucket that later ones are compared with: templates put thousands of unlike records into one
_CACHED = 4096

Signatures = NDArray[np.uint16]


def later_near_duplicates(words: Path, alive: Mask, ranks: Ranks, threshold: float, check_stop: Callable[[], None]) -> Mask:
    """Tell, for each record that is alive, whether a kept one of lower rank shares at least `threshold` of their 5-grams.

    `words` has a line for each record. Memory: 256 bytes a record for the signatures (16 bits each), and 8 for each band.
    (Broder 1997, On the resemblance and containment of documents; Indyk and Motwani 1998 for the bands.)
    """
    bands, width = banding(threshold)
    signatures, keys, starts = _sketch(words, len(alive), bands, width, check_stop)
    buckets = _buckets(keys, alive)
    del keys
    dropped = np.zeros(len(alive), np.bool_)
    shared = np.flatnonzero((buckets >= 0).any(axis=1))
    shared = shared[np.argsort(ranks[shared])]
    members: dict[int, list[int]] = {}
    shingles = _Shingles(words, starts)
    for count, row in enumerate(shared.tolist()):
        if count % 4096 == 0:
            check_stop()
        mine = [bucket for bucket in buckets[row].tolist() if bucket >= 0]
        candidates = sorted({other for bucket in mine for other in members.get(bucket, ())})
        if candidates and _similar(row, candidates, signatures, shingles, threshold):
            dropped[row] = True
            continue
        for bucket in mine:
            kept = members.setdefault(bucket, [])
            if len(kept) < _MOST_KEPT:
                kept.append(row)
    return dropped


def banding(threshold: float) -> tuple[int, int]:
    """Return how many bands of how many values find a pair at the threshold with a probability of at least 0.98, the widest that do.

    A pair of similarity s shares one of b bands of r values with probability 1 - (1 - sʳ)ᵇ.
    """
    for width in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // width
        if 1 - (1 - threshold**width) ** bands >= _RECALL:
            return bands, width
    return PERMUTATIONS, 1


def _sketch(
    words: Path, count: int, bands: int, width: int, check_stop: Callable[[], None]
) -> tuple[Signatures, Hashes, NDArray[np.int64]]:
    signatures = np.empty((count, PERMUTATIONS), np.uint16)
    keys = np.empty((count, bands), np.uint64)
    factors = mix(np.arange(1, width + 1, dtype=np.uint64)) | np.uint64(1)
    for grams in read_grams(words, GRAM, whole=True):
        check_stop()
        sizes = np.bincount(grams.rows - grams.first, minlength=grams.end - grams.first)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(grams.hashes, offsets, PERMUTATIONS, _SEED)
        values = np.array(matrix.to_rows(), np.uint32).reshape(-1, PERMUTATIONS)
        banded = values[:, : bands * width].reshape(len(values), bands, width).astype(np.uint64)
        signatures[grams.first : grams.end] = (values & 0xFFFF).astype(np.uint16)
        keys[grams.first : grams.end] = mix((banded * factors).sum(axis=2, dtype=np.uint64))
        # A record without words is like no other, but every such record has the same signature.
        empty = np.flatnonzero(sizes == 0)
        keys[grams.first + empty] = mix((grams.first + empty).astype(np.uint64))[:, None]
    starts = np.concatenate([[0], _line_ends(words)])
    return signatures, keys, starts


def _line_ends(path: Path) -> NDArray[np.int64]:
    text = np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
    step = 2**24
    found = [np.flatnonzero(text[start : start + step] == 10) + start + 1 for start in range(0, len(text), step)]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _buckets(keys: Hashes, alive: Mask) -> NDArray[np.int32]:
    """Number the band values that more than one living record has; -1 where a record is alone with its value."""
    buckets = np.full(keys.shape, -1, np.int32)
    rows = np.flatnonzero(alive)
    used = 0
    for band in range(keys.shape[1]):
        values = keys[rows, band]
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        fresh = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, np.bool_)
        group = np.cumsum(fresh) - 1
        several = np.bincount(group, minlength=1)[group] > 1
        numbers = np.where(several, group + used, -1)
        buckets[rows[order], band] = numbers
        used += len(rows)
        if used > 2**31 - 1 - len(rows):
            used = 0
    return buckets


def _similar(row: int, candidates: list[int], signatures: Signatures, shingles: _Shingles, threshold: float) -> bool:
    estimates = (signatures[candidates] == signatures[row]).mean(axis=1)
    hopeful = [(estimate, other) for estimate, other in zip(estimates.tolist(), candidates, strict=True) if estimate >= threshold - _MARGIN]
    if not hopeful:
        return False
    mine = shingles.of(row)
    for _, other in sorted(hopeful, reverse=True):
        theirs = shingles.of(other)
        common = len(mine & theirs)
        if common >= threshold * (len(mine) + len(theirs) - common):
            return True
    return False


class _Shingles:
    """The 5-grams of single records, read again where a verdict needs them."""

    def __init__(self, words: Path, starts: NDArray[np.int64]) -> None:
        self._file = words.open("rb")  # closed when the object goes, after the last verdict
        self._starts = starts
        self._cache: OrderedDict[int, frozenset[tuple[bytes, ...]]] = OrderedDict()

    def of(self, row: int) -> frozenset[tuple[bytes, ...]]:
        found = self._cache.get(row)
        if found is None:
            self._file.seek(int(self._starts[row]))
            parts = self._file.readline().split()
            found = frozenset(tuple(parts[start : start + GRAM]) for start in range(max(1, len(parts) - GRAM + 1)))
            self._cache[row] = found
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return found
