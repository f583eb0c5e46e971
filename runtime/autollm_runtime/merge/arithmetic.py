"""Exact sums: W = round(W₀ + Σ weight · Δ), accumulated in fp32 from the pristine base and rounded once.

Low-rank changes are concatenated, [s₁w₁B₁ | s₂w₂B₂] · [A₁; A₂], with each weight on one factor only: adding the factors
themselves would bring in cross terms, (Σ wᵢBᵢ)(Σ wᵢAᵢ) ≠ Σ wᵢBᵢAᵢ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autollm.errors import InputError
from autollm_runtime.delta.values import Delta, LowRank

CPU_BLOCK = 1 << 20
"""Elements summed at a time on a processor: the fp32 sum then stays in its cache."""

ACCELERATOR_BLOCK = 1 << 26


@dataclass(frozen=True)
class Sum:
    """All changes of one parameter, prepared once so that a new set of weights costs one matrix product.

    `a` (R, columns) and `b` (R, rows) hold the factors of all low-rank changes in fp32, scales folded into b; `slices` says
    which of the R rows belong to which delta, and `full` the difference that each further delta adds.
    `bounds` limits the absolute value of any element that a delta can add at weight 1.
    """

    a: Tensor
    b: Tensor
    slices: Mapping[str, slice]
    full: Mapping[str, Tensor]
    bounds: Mapping[str, float]

    def active(self, weights: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        """Return the deltas that change this parameter at these weights, in the order of names."""
        return tuple((name, weights[name]) for name in self.bounds if weights.get(name, 0.0) != 0.0)

    def factors(self, weights: Mapping[str, float]) -> tuple[Tensor, Tensor]:
        """Return (a, b) of the low-rank deltas with a weight other than zero, the weights multiplied into a."""
        active = [name for name in self.slices if weights.get(name, 0.0) != 0.0]
        a, b = self.a, self.b
        if len(active) < len(self.slices):
            rows = [row for name in active for row in range(self.slices[name].start, self.slices[name].stop)]
            chosen = torch.tensor(rows, dtype=torch.long, device=a.device)
            a, b = a.index_select(0, chosen), b.index_select(0, chosen)
        scale = [weights[name] for name in active for _ in range(self.slices[name].start, self.slices[name].stop)]
        return a * torch.tensor(scale, dtype=torch.float32, device=a.device).unsqueeze(1), b


def collect(parameter: str, deltas: Sequence[Delta], device: torch.device) -> Sum:
    """Prepare the sum of everything that some deltas change in one parameter."""
    low_rank = {delta.name: delta.low_rank[parameter] for delta in deltas if parameter in delta.low_rank}
    full = {delta.name: delta.full[parameter] for delta in deltas if parameter in delta.full}
    slices: dict[str, slice] = {}
    start = 0
    for name, change in sorted(low_rank.items()):
        slices[name] = slice(start, start + change.a.shape[0])
        start = slices[name].stop
    ordered = [low_rank[name] for name in slices]
    none = torch.empty(0, 0, device=device)
    a = torch.cat([_fp32(change.a, device) for change in ordered]) if ordered else none
    b = torch.cat([_fp32(change.b, device).t() * change.scale for change in ordered]) if ordered else none
    bounds = {name: _low_rank_bound(change) for name, change in low_rank.items()} | {
        name: _largest(change) for name, change in full.items()
    }
    return Sum(a.contiguous(), b.contiguous(), slices, {name: full[name].to(device) for name in sorted(full)}, dict(sorted(bounds.items())))


def write_sum(pristine: Tensor, changes: Sum, weights: Mapping[str, float], target: Tensor, scratch: Tensor) -> None:
    """Write round(pristine + Σ weight · Δ) into `target`, one block of rows after the other; `target` may have another dtype.

    `scratch` is flat fp32 memory on the device of `target` for one block (`scratch_for`), so that no trial allocates any.
    `target` must not share memory with `pristine`.
    """
    active = dict(changes.active(weights))
    if not active:
        target.copy_(pristine)
        return
    pristine, target = pristine.reshape(pristine.shape or (1,)), target.view(target.shape or (1,))
    full = [(changes.full[name].view(target.shape), weight) for name, weight in active.items() if name in changes.full]
    a, b = changes.factors(active)
    width = math.prod(target.shape[1:])
    for start, stop in row_blocks(tuple(target.shape), target.device):
        block = scratch[: (stop - start) * width].view(stop - start, *target.shape[1:])
        block.copy_(pristine[start:stop])
        if len(a):
            block.addmm_(b[:, start:stop].t(), a)
        for change, weight in full:
            block.add_(change[start:stop].to(block), alpha=weight)
        target[start:stop].copy_(block)


def scratch_for(shapes: Iterable[tuple[int, ...]], device: torch.device) -> Tensor:
    """Return fp32 memory for the largest block of parameters of these shapes."""
    size = max((math.prod((next(row_blocks(shape, device))[1], *shape[1:])) for shape in shapes if math.prod(shape)), default=0)
    return torch.empty(size, dtype=torch.float32, device=device)


def row_blocks(shape: tuple[int, ...], device: torch.device) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the first dimension so that one block of fp32 values stays small."""
    limit = CPU_BLOCK if device.type == "cpu" else ACCELERATOR_BLOCK
    rows = max(1, limit // max(1, math.prod(shape[1:])))
    length = shape[0] if shape else 1
    for start in range(0, length, rows):
        yield start, min(start + rows, length)


def check_weights(weights: Mapping[str, float], names: Sequence[str]) -> None:
    """Raise InputError for a weight that is not finite, or that names a delta which is not there."""
    for name, weight in sorted(weights.items()):
        if name not in names:
            raise InputError(f"weights name the delta {name!r}, which is not loaded; loaded are: {', '.join(sorted(names)) or 'none'}")
        if not math.isfinite(weight):
            raise InputError(f"the weight of the delta {name!r} is {weight}; it must be a finite number", reason="NonFinite")


def _fp32(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.detach().to(device=device, dtype=torch.float32)


def _largest(tensor: Tensor) -> float:
    """Return the largest absolute value; NaN and Inf come through as themselves."""
    return max(abs(float(tensor.max())), abs(float(tensor.min()))) if tensor.numel() else 0.0


def _low_rank_bound(change: LowRank) -> float:
    return abs(change.scale) * change.a.shape[0] * _largest(change.a) * _largest(change.b)
