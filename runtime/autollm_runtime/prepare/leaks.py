"""Leaks: records of different splits that ask the same or share a long run of words; the later record goes.

A leak is the same prompt, or the same 13 words in a row (Brown et al. 2020, appendix C). As there, a run that occurs in more than ten
records is a template or a quotation and proves nothing. System messages do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autollm_runtime.prepare.duplicates import Mask, Ranks
from autollm_runtime.prepare.ngrams import Hashes, read_grams
from autollm_runtime.prepare.spill import Keys

GRAM = 13
COMMON = 10
MOST_SLOTS = 2**27
"""Bytes of the table that says which splits a gram is in and how often."""

MOST_SHARED = 2**22
"""Shared grams that are sorted at once; each takes about 50 bytes while it is."""

_LOAD = 2  # slots for each gram
_COUNT = np.uint8(0x1F)
_SPLIT_BITS = (0x20, 0x40, 0x80)

Splits = NDArray[np.uint8]
Rows = NDArray[np.int32]


def prompt_leaks(prompts: Keys, splits: Splits, alive: Mask, ranks: Ranks) -> Mask:
    """Tell which living records ask what a living record of another split and a lower rank asks."""
    rows = np.flatnonzero(alive)
    order = rows[np.lexsort((ranks[rows], prompts[rows]))]
    leaks = np.zeros(len(prompts), np.bool_)
    if len(order):
        fresh = np.concatenate([[True], prompts[order[1:]] != prompts[order[:-1]]])
        first = order[np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))]
        leaks[order] = splits[order] != splits[first]
    return leaks


def gram_leaks(words: Path, splits: Splits, alive: Mask, ranks: Ranks, check_stop: Callable[[], None]) -> Mask:
    """Tell which living records share 13 words in a row with a living record of another split and a lower rank.

    Three looks at the words: a table by hash says which grams may be in several splits and are rare; those alone are then
    collected with the records they are in, in bounded portions; the records are gone through by rank. Where there are more
    grams than the table has room for, this is done for one share of the hashes after the other. Memory: the table, a
    portion, and 20 bytes for each place of a shared gram.
    """
    leaks = np.zeros(len(splits), np.bool_)
    if len(np.unique(splits[alive])) < 2:
        return leaks
    grams = words.stat().st_size // 2  # a word has a byte and a space at least
    size = 2**10
    while size < min(_LOAD * grams, MOST_SLOTS):
        size *= 2
    shares = max(1, -(-grams // (2 * size)))
    living = partial(_living, words, alive, check_stop)
    groups, rows, known = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)], 0
    for share in range(shares):
        wanted, places = _rare_and_shared(partial(living, shares, share), splits, size)
        portions = max(1, -(-places // MOST_SHARED))
        for portion in range(portions):
            hashes, found = _collected(partial(living, shares * portions, share + shares * portion), wanted)
            grouped, kept = _grouped(hashes, splits[found])
            groups.append(grouped + np.int32(known))
            rows.append(found[kept])
            known += int(grouped.max(initial=-1)) + 1
    leaks[_later(np.concatenate(groups), np.concatenate(rows), known, splits, ranks)] = True
    return leaks


Living = Callable[[], Iterator[tuple[Hashes, Rows]]]


def _living(words: Path, alive: Mask, check_stop: Callable[[], None], shares: int, share: int) -> Iterator[tuple[Hashes, Rows]]:
    """The grams of living records whose hashes belong to one of several equal shares, with their rows."""
    for grams in read_grams(words, GRAM, whole=False):
        check_stop()
        chosen = alive[grams.rows]
        if shares > 1:
            chosen &= (grams.hashes >> np.uint64(32)) % np.uint64(shares) == np.uint64(share)
        yield grams.hashes[chosen], grams.rows[chosen].astype(np.int32)


def _rare_and_shared(living: Living, splits: Splits, size: int) -> tuple[Mask, int]:
    """Which slots of a table of that size hold grams of several splits in few records, and at how many places these are at most."""
    table = np.zeros(size, np.uint8)
    for hashes, rows in living():
        places = hashes & np.uint64(size - 1)
        slots, counts = np.unique(places, return_counts=True)
        seen = np.minimum((table[slots] & _COUNT) + np.minimum(counts, 31), 31).astype(np.uint8)
        table[slots] = (table[slots] & ~_COUNT) | seen
        for split, bit in enumerate(_SPLIT_BITS):
            table[places[splits[rows] == split]] |= np.uint8(bit)
    several = np.array([(value >> 5).bit_count() > 1 for value in range(256)])
    wanted: Mask = (several & (np.arange(256) & int(_COUNT) <= COMMON))[table]
    return wanted, int((table[wanted] & _COUNT).sum(dtype=np.int64))


def _collected(living: Living, wanted: Mask) -> tuple[Hashes, Rows]:
    hashes, rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int32)]
    for some, places in living():
        hit = wanted[some & np.uint64(len(wanted) - 1)]
        hashes.append(some[hit])
        rows.append(places[hit])
    return np.concatenate(hashes), np.concatenate(rows)


def _grouped(hashes: Hashes, splits: Splits) -> tuple[Rows, NDArray[np.int64]]:
    """Number the hashes that really are in several splits from 0; return these numbers, and which of the places they stand at."""
    order = np.argsort(hashes, kind="stable")
    ordered, split = hashes[order], splits[order]
    fresh = np.ones(len(ordered), np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(fresh)
    if not len(starts):
        return np.zeros(0, np.int32), order
    several = np.minimum.reduceat(split, starts) != np.maximum.reduceat(split, starts)
    group = np.cumsum(fresh) - 1
    stays = several[group]
    numbers = (np.cumsum(several) - 1)[group[stays]].astype(np.int32)
    return numbers, order[stays]


def _later(groups: Rows, rows: Rows, count: int, splits: Splits, ranks: Ranks) -> list[int]:
    """Go through the records that share grams by rank: one that meets a kept record of another split leaks."""
    order = np.argsort(ranks[rows].astype(np.int32), kind="stable")
    groups, rows = groups[order], rows[order]
    del order
    edges = np.flatnonzero(rows[1:] != rows[:-1]) + 1
    kept = np.zeros(count, np.uint8)
    leaking: list[int] = []
    for start, end in pairwise([0, *edges.tolist(), len(rows)] if len(rows) else []):
        mine, shared = 1 << int(splits[rows[start]]), groups[start:end]
        if (kept[shared] & ~np.uint8(mine)).any():
            leaking.append(int(rows[start]))
        else:
            kept[shared] |= np.uint8(mine)
    return leaking
