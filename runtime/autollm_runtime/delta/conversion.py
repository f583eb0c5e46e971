"""What of an adapter is not linear in its factors, made into plain differences to the base it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autollm.errors import InputError
from autollm_runtime.delta.adapter import Adapter
from autollm_runtime.delta.checkpoint import Checkpoint
from autollm_runtime.delta.values import LowRank


@dataclass(frozen=True)
class Converted:
    """An adapter as a sum: what stays low-rank, and the shapes of what becomes a full difference."""

    low_rank: Mapping[str, LowRank]
    full: Mapping[str, tuple[int, ...]]


def convert(adapter: Adapter, base: Checkpoint) -> Converted:
    """Check an adapter against its base and say what of it becomes a full difference; parameters that did not change are left out.

    Raises InputError where the adapter does not fit the base (reason OtherBase), or changes one of two tied parameters (NotTied).
    """
    linear = linear_part(adapter)
    for parameter, change in linear.items():
        stored = base.locate(parameter)
        if stored is None:
            raise InputError(
                f"{adapter.path} changes {parameter}, which the base does not have; give an adapter that was made from this base",
                reason="OtherBase",
            )
        check_shape(adapter, parameter, change, torch.empty(base.entries[stored].shape, device="meta"))
    changed = {parameter: tuple(difference.shape) for parameter, difference in differences(adapter, base) if bool(difference.any())}
    tied = {str(base.embedding), base.head or "lm_head.weight"} if base.tied_head else set()
    touched = tied & (changed.keys() | linear.keys())
    if touched and touched != tied and not (adapter.config.ties_weights and touched <= changed.keys()):
        one, other = min(touched), min(tied - touched)
        raise InputError(
            f"{adapter.path} changes {one} but not {other}, which are one tied parameter of the base: a merge would change both; "
            "train it with ensure_weight_tying=True, or leave this module out",
            reason="NotTied",
        )
    return Converted(linear, changed)


def linear_part(adapter: Adapter) -> dict[str, LowRank]:
    """Return the low-rank changes that stay as they are."""
    return {name: change for name, change in adapter.low_rank.items() if name not in adapter.magnitudes and name not in adapter.whole}


def differences(adapter: Adapter, base: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Yield (parameter, fp32 difference) for all the rest, in the order of names, one at a time in memory.

    DoRA's W' = m · (W + sBA) / ‖W + sBA‖, row by row (Liu et al. 2024, arXiv:2402.09353), biases on the second factor, and
    modules that were trained whole. A parameter that was saved without having changed is yielded as well. Raises InputError
    where one is missing in the base or has another shape there, as after a resized vocabulary.
    """
    for name in sorted(adapter.magnitudes.keys() | adapter.biases.keys() | adapter.whole.keys()):
        stored = base.locate(name)
        if stored is None:
            raise InputError(
                f"{adapter.path} changes {name}, which {base.folder} does not have; give an adapter that was made from this base",
                reason="OtherBase",
            )
        before = base.entries[stored].read().float()
        total = torch.zeros_like(before)
        if name in adapter.whole:
            after = adapter.whole[name].float()
            if after.shape != before.shape:
                hint = (
                    "; its vocabulary was resized, which makes another base"
                    if name in (base.embedding, base.head, "lm_head.weight")
                    else ""
                )
                raise InputError(
                    f"{adapter.path} has {name} as {list(after.shape)}, but the base has {list(before.shape)}{hint}; "
                    "give an adapter that was made from this base",
                    reason="OtherBase",
                )
            total += after - before
        if name in adapter.low_rank:
            change = adapter.low_rank[name]
            check_shape(adapter, name, change, before)
            moved = change.scale * (change.b.float() @ change.a.float())
            total += moved if name not in adapter.magnitudes else _dora(before, moved, adapter.magnitudes[name].float(), adapter) - before
        if name in adapter.biases:
            total += adapter.biases[name]
        yield name, total


def check_shape(adapter: Adapter, name: str, change: LowRank, before: Tensor) -> None:
    """Raise InputError where a low-rank change does not fit the base's parameter."""
    if change.shape != tuple(before.shape):
        raise InputError(
            f"{adapter.path} changes {name} as {list(change.shape)}, but the base has {list(before.shape)}; "
            "give an adapter that was made from this base",
            reason="OtherBase",
        )


def _dora(before: Tensor, moved: Tensor, magnitude: Tensor, adapter: Adapter) -> Tensor:
    directed = before + moved
    inputs = 0 if adapter.config.fan_in_fan_out else 1
    return directed.mul_((magnitude / torch.linalg.vector_norm(directed, dim=inputs)).unsqueeze(inputs))
