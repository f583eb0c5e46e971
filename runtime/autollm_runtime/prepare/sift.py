"""Which records stay: duplicates, near duplicates and leaks go, always the later record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autollm_runtime.prepare.duplicates import Mask, later_duplicates, precedence
from autollm_runtime.prepare.leaks import gram_leaks, prompt_leaks
from autollm_runtime.prepare.spill import Keys, Table

REASONS = ("", "Duplicate", "NearDuplicate", "Leaked")
"""Why a record went, by its verdict; 0 is a record that stays."""

Verdicts = NDArray[np.uint8]


def sift(table: Table, words: Path, known: Keys, near: float | None, check_stop: Callable[[], None]) -> Verdicts:
    """Return a verdict for each record, an index of REASONS.

    `words` has the words of each record on a line; `known` are the sorted keys of the last cut, whose records count as
    earlier than all others; `near` is the least similarity of near duplicates, None to keep them.
    """
    ranks = precedence(_among(table.keys, known))
    verdicts = np.zeros(len(table), np.uint8)
    _drop(verdicts, later_duplicates(table.contents, ranks), "Duplicate")
    if near is not None:
        from autollm_runtime.prepare.near_duplicates import later_near_duplicates

        _drop(verdicts, later_near_duplicates(words, verdicts == 0, ranks, near, check_stop), "NearDuplicate")
    _drop(verdicts, prompt_leaks(table.prompts, table.splits, verdicts == 0, ranks), "Leaked")
    _drop(verdicts, gram_leaks(words, table.splits, verdicts == 0, ranks, check_stop), "Leaked")
    return verdicts


def counted(verdicts: Verdicts, rows: Mask) -> Mapping[str, int]:
    """Return how many of the given records went for which reason."""
    counts = np.bincount(verdicts[rows], minlength=len(REASONS)).tolist()
    return {reason: count for reason, count in zip(REASONS[1:], counts[1:], strict=True) if count}


def _drop(verdicts: Verdicts, rows: Mask, reason: str) -> None:
    verdicts[rows] = REASONS.index(reason)


def _among(keys: Keys, known: Keys) -> Mask:
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: Mask = known[place] == keys
    return found
