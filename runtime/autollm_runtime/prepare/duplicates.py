"""Exact duplicates: of records with the same normalised content, all but the one that came first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autollm_runtime.prepare.spill import Keys

Mask = NDArray[np.bool_]
Ranks = NDArray[np.int64]


def precedence(known: Mask) -> Ranks:
    """Return each record's rank: those of the last cut first, the rest behind them, both in the order they were read.

    "The later record goes" is meant in time: a record appended to the first source must not push one out of an old chunk of the
    second, whose delta would then be trained again.
    """
    ranks = np.empty(len(known), np.int64)
    ranks[np.argsort(~known, kind="stable")] = np.arange(len(known))
    return ranks


def later_duplicates(keys: Keys, ranks: Ranks) -> Mask:
    """Tell, for each record, whether one of the same key and a lower rank exists."""
    order = np.lexsort((ranks, keys))
    later = np.zeros(len(keys), np.bool_)
    later[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return later
