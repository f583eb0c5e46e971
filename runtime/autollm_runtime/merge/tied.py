"""Tied parameters: one tensor under two names, such as the embedding and the output head, is changed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from autollm.errors import InputError
from autollm_runtime.delta.values import Delta, LowRank


def tied_names(model: nn.Module) -> dict[str, str]:
    """Return for every name of a parameter the first name of the same parameter: tied ones share it."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(parameter), name) for name, parameter in model.named_parameters(remove_duplicate=False)}


def change_once(delta: Delta, owners: Mapping[str, str]) -> Delta:
    """Return a delta in which tied parameters, which `owners` maps to one name, are changed once.

    Raises InputError (reason NotTied) where an adapter changes one of them alone or each differently: the sum would change
    both, which is not what was trained. A full difference that names one of them was made of tied parameters.
    """
    groups: dict[str, list[str]] = {}
    for name, owner in owners.items():
        groups.setdefault(owner, []).append(name)
    low_rank, full = dict(delta.low_rank), dict(delta.full)
    for owner, names in groups.items():
        changed = [name for name in names if name in low_rank or name in full]
        if len(names) == 1 or not changed:
            continue
        if all(name in full for name in changed) and _all_equal([full[name] for name in changed]):
            full[owner] = full[changed[0]]
        elif len(changed) == len(names) and all(name in low_rank for name in changed) and _same_change([low_rank[n] for n in changed]):
            low_rank[owner] = low_rank[changed[0]]
        else:
            raise InputError(
                f"delta {delta.name!r} changes {', '.join(changed)}, but {' and '.join(names)} are one tied parameter in this model; "
                "train it with ensure_weight_tying=True, or leave these modules out",
                reason="NotTied",
            )
        for name in names:
            if name != owner:
                low_rank.pop(name, None)
                full.pop(name, None)
    return Delta(delta.name, delta.key, low_rank, full)


def _all_equal(tensors: Sequence[Tensor]) -> bool:
    return all(torch.equal(tensors[0], other) for other in tensors[1:])


def _same_change(changes: Sequence[LowRank]) -> bool:
    first = changes[0]
    return all(torch.equal(first.a, other.a) and torch.equal(first.b, other.b) and first.scale == other.scale for other in changes[1:])
