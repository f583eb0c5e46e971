"""Leaks: records of different splits that ask the same or share a long run of words; the later record goes.

A leak is the same prompt, or the same 13 words in a row (Brown et al. 2020, appendix C). As there, a run that occurs in more than ten
records is a template or a quotation and proves nothing. System messages do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autollm_runtime.prepare.duplicates import Mask, Ranks
from autollm_runtime.prepare.ngrams import Hashes, read_grams
from autollm_runtime.prepare.spill import Keys

GRAM = 13
COMMON = 10
_MOST_SLOTS = 2**27
_LOAD = 2  # slots for each gram
_COUNT = np.uint8(0x1F)

Splits = NDArray[np.uint8]


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


def gram_leaks(words: Path, splits: Splits, alive: Mask, ranks: Ranks, check_stop: Callable[[], None], *, slots: int = _MOST_SLOTS) -> Mask:
    """Tell which living records share 13 words in a row with a living record of another split and a lower rank.

    Memory: a byte for each of at most `slots` slots of a table that says which splits a gram is in and how often; where there
    are more grams, they are looked at in several rounds. Only grams of several splits are kept, with the record each is in.
    """
    leaks = np.zeros(len(splits), np.bool_)
    if len(np.unique(splits[alive])) < 2:
        return leaks
    most = words.stat().st_size // 2  # a word has a byte and a space
    size = 2**10
    while size < min(_LOAD * most, slots):
        size *= 2
    rounds = max(1, -(-_LOAD * most // (4 * size)))
    shared = [_shared_grams(words, splits, alive, size, part, rounds, check_stop) for part in range(rounds)]
    hashes = np.concatenate([found for found, _ in shared])
    rows = np.concatenate([found for _, found in shared])
    for row in _later(hashes, rows, splits, ranks):
        leaks[row] = True
    return leaks


def _shared_grams(
    words: Path, splits: Splits, alive: Mask, size: int, part: int, rounds: int, check_stop: Callable[[], None]
) -> tuple[Hashes, NDArray[np.int64]]:
    """The grams of one round that are in several splits and not common, each with a row that has it."""
    table = np.zeros(size, np.uint8)
    bits = np.array([0x20, 0x40, 0x80], np.uint8)
    for hashes, rows in _living(words, alive, part, rounds, check_stop):
        slots, counts = np.unique(hashes & np.uint64(size - 1), return_counts=True)
        seen = np.minimum((table[slots] & _COUNT) + np.minimum(counts, 31).astype(np.uint8), 31).astype(np.uint8)
        table[slots] = (table[slots] & ~_COUNT) | seen
        for split, bit in enumerate(bits):
            table[hashes[splits[rows] == split] & np.uint64(size - 1)] |= bit
    several = np.array([(value >> 5).bit_count() > 1 for value in range(256)])
    rare = (np.arange(256) & int(_COUNT)) <= COMMON
    wanted = (several & rare)[table]
    found_hashes, found_rows = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for hashes, rows in _living(words, alive, part, rounds, check_stop):
        hit = wanted[hashes & np.uint64(size - 1)]
        found_hashes.append(hashes[hit])
        found_rows.append(rows[hit])
    return np.concatenate(found_hashes), np.concatenate(found_rows)


def _living(words: Path, alive: Mask, part: int, rounds: int, check_stop: Callable[[], None]) -> Iterator[tuple[Hashes, NDArray[np.int64]]]:
    for grams in read_grams(words, GRAM, whole=False):
        check_stop()
        chosen = alive[grams.rows]
        if rounds > 1:
            chosen &= (grams.hashes >> np.uint64(40)) % np.uint64(rounds) == part
        yield grams.hashes[chosen], grams.rows[chosen]


def _later(hashes: Hashes, rows: NDArray[np.int64], splits: Splits, ranks: Ranks) -> list[int]:
    """Go through the records that share a gram by rank; one that meets a kept record of another split leaks."""
    order = np.lexsort((ranks[rows], hashes))
    hashes, rows = hashes[order], rows[order]
    fresh = np.concatenate([[True], hashes[1:] != hashes[:-1]]) if len(hashes) else np.zeros(0, np.bool_)
    groups = np.cumsum(fresh) - 1
    by_rank = np.argsort(ranks[rows], kind="stable")
    kept: dict[int, int] = {}
    leaking: list[int] = []
    ordered_rows, ordered_groups = rows[by_rank].tolist(), groups[by_rank].tolist()
    start = 0
    while start < len(ordered_rows):
        row, end = ordered_rows[start], start
        while end < len(ordered_rows) and ordered_rows[end] == row:
            end += 1
        mine = 1 << int(splits[row])
        shared = ordered_groups[start:end]
        if any(kept.get(group, mine) != mine for group in shared):
            leaking.append(row)
        else:
            kept.update(dict.fromkeys(shared, mine))
        start = end
    return leaking
