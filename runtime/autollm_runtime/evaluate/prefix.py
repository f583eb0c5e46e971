"""What many sequences begin with, such as a template's system prompt: computed once for all of them."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from autollm_runtime.text.encoding import Encoded

SHORTEST = 8
"""Tokens from which on sharing pays for the mask that attention to a cache needs."""

FEWEST = 4
"""Sequences from which on a prefix of their own is worth a pass."""


@dataclass(frozen=True)
class Group:
    """Sequences, by their indices, and how many tokens all of them begin with; none of these is scored, nor the one behind them."""

    indices: list[int]
    length: int


def group_by_prefix(sequences: Sequence[Encoded]) -> list[Group]:
    """Return the sequences in groups that share a prefix, and last those that share none."""
    alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, sequence in enumerate(sequences):
        alike[tuple(sequence.ids[:SHORTEST])].append(index)
    groups, rest = [], []
    for indices in alike.values():
        length = _shared([sequences[index] for index in indices])
        if len(indices) >= FEWEST and length >= SHORTEST:
            groups.append(Group(indices, length))
        else:
            rest += indices
    return [*groups, *([Group(sorted(rest), 0)] if rest else [])]


def _shared(sequences: Sequence[Encoded]) -> int:
    first = sequences[0].ids
    # The first scored token is predicted from the one before it, which therefore stays out of the prefix.
    limit = max(0, min(sequence.mask.index(True) if sequence.learned else len(sequence.ids) for sequence in sequences) - 1)
    differs = (place for place in range(limit) if any(sequence.ids[place] != first[place] for sequence in sequences))
    return next(differs, limit)


class Prefix:
    """Keys and values of a prefix at the weights of the moment; it must not outlive them."""

    def __init__(self, cache: DynamicCache, length: int) -> None:
        self._cache = cache
        self.length = length

    def repeated(self, rows: int) -> DynamicCache:
        """Return a cache for a batch, which a forward pass may extend."""
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(rows)
        return cache


def compute_prefix(model: PreTrainedModel, ids: Sequence[int]) -> Prefix | None:
    """Run a prefix through a model; None where the model keeps more of the past than keys and values, which need not repeat."""
    cache = model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=True, logits_to_keep=1).past_key_values
    if not isinstance(cache, DynamicCache) or not all(type(layer) is DynamicLayer for layer in cache.layers):
        return None
    return Prefix(cache, len(ids))
