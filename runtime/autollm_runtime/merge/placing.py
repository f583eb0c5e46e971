"""Which changes each stored tensor of a base gets, whatever the loaded model calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autollm.errors import InputError
from autollm_runtime.delta.checkpoint import Checkpoint
from autollm_runtime.delta.tuned import TunedModel
from autollm_runtime.delta.values import Delta
from autollm_runtime.merge.blocks import Terms
from autollm_runtime.merge.tied import change_once

_HEAD = "lm_head.weight"


def place_terms(base: Checkpoint, deltas: Sequence[Delta | TunedModel], weights: Mapping[str, float]) -> dict[str, Terms]:
    """Return the weighted changes by the stored name of the tensor they are added to, deltas in the order of names.

    Raises InputError where a delta changes a parameter that the base lacks or that has another shape there.
    """
    terms: dict[str, Terms] = {}
    for delta in sorted(deltas, key=lambda delta: delta.name):
        weight = weights[delta.name]
        if isinstance(delta, TunedModel):
            for name, entry in base.entries.items():
                place = delta.checkpoint.locate(name)
                if place is not None and entry.dtype.is_floating_point:
                    terms[name] = terms.get(name, Terms()).with_tuned(delta.checkpoint.entries[place], weight)
            continue
        once = change_once(delta, _owners(base, delta))
        for name, shape in once.shapes.items():
            entry = base.entries[name]
            if entry.shape != shape:
                raise InputError(
                    f"delta {delta.name!r} changes {name} as {list(shape)}, but the base has {list(entry.shape)}: it is another base's",
                    reason="OtherBase",
                )
        for name, change in once.low_rank.items():
            terms[name] = terms.get(name, Terms()).with_low_rank(change, weight)
        for name, difference in once.full.items():
            terms[name] = terms.get(name, Terms()).with_full(difference, weight)
    return terms


def _owners(base: Checkpoint, delta: Delta) -> dict[str, str]:
    """Return the stored name of every parameter that a delta changes, and of those tied to them."""
    owners = {}
    for name in delta.shapes:
        stored = base.locate(name)
        if stored is None:
            raise InputError(
                f"delta {delta.name!r} changes {name}, which {base.folder} does not have; it was made from another base", reason="OtherBase"
            )
        owners[name] = stored
    if base.tied_head and base.embedding is not None and base.embedding in owners.values():
        owners |= {base.embedding: base.embedding}
        if len([name for name, stored in owners.items() if stored == base.embedding]) == 1:
            owners[_HEAD] = base.embedding
    return owners
