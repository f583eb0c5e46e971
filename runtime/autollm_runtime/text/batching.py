"""Grouping encoded records by length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Sequence


def batches_by_length(lengths: Sequence[int], max_tokens: int, max_items: int | None = None) -> list[list[int]]:
    """Return the indices of records in batches of similar length, the longest first.

    A batch padded to its longest record holds at most `max_tokens` tokens, or a single record that is longer alone. The order
    depends on the lengths alone, equal ones in their own order; the largest batch comes first, so that what does not fit
    the memory fails at once.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    longest = 0
    for index in order:
        full = not batches or (len(batches[-1]) + 1) * longest > max_tokens or len(batches[-1]) == max_items
        if full:
            batches.append([index])
            longest = max(1, lengths[index])
        else:
            batches[-1].append(index)
    return batches
