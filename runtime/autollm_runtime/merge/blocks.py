"""One block of rows of one tensor, from the base's file and the deltas into the merged file."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from autollm.errors import InputError
from autollm_runtime.delta.checkpoint import Entry, read_exactly
from autollm_runtime.delta.values import LowRank
from autollm_runtime.merge.shards import Planned

BLOCK = 1 << 18
"""Elements a thread sums at a time: two fp32 blocks and a raw one fit into the cache of one core."""


@dataclass(frozen=True)
class Terms:
    """The weighted changes of one tensor: low-rank, full differences, and whole tuned tensors (whose base is taken off)."""

    low_rank: tuple[tuple[LowRank, float], ...] = ()
    full: tuple[tuple[Tensor, float], ...] = ()
    tuned: tuple[tuple[Entry, float], ...] = ()

    def with_low_rank(self, change: LowRank, weight: float) -> Terms:
        """Return these terms and one more."""
        return replace(self, low_rank=(*self.low_rank, (change, weight)))

    def with_full(self, difference: Tensor, weight: float) -> Terms:
        """Return these terms and one more."""
        return replace(self, full=(*self.full, (difference, weight)))

    def with_tuned(self, entry: Entry, weight: float) -> Terms:
        """Return these terms and one more."""
        return replace(self, tuned=(*self.tuned, (entry, weight)))

    @property
    def empty(self) -> bool:
        """Whether the tensor stays as it is."""
        return not (self.low_rank or self.full or self.tuned)

    @property
    def base_weight(self) -> float:
        """What the base counts: W₀ + Σ w (W − W₀) = (1 − Σ w) W₀ + Σ w W."""
        return 1.0 - math.fsum(weight for _, weight in self.tuned)

    def factors(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Return b (stop − start, R) and a (R, columns), concatenated, with scale and weight each on one factor."""
        b = torch.cat([change.b[start:stop].float() * change.scale for change, _ in self.low_rank], dim=1)
        return b, torch.cat([change.a.float() * weight for change, weight in self.low_rank])


def block_ranges(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of the first dimension, in blocks of about BLOCK elements; nothing for an empty tensor."""
    length, width = (shape[0] if shape else 1), math.prod(shape[1:])
    rows = max(1, BLOCK // max(1, width))
    for start in range(0, length if width else 0, rows):
        yield start, min(start + rows, length)


class BlockWriter:
    """Sums and writes blocks from several threads at once; memory and open files are kept from block to block.

    A context manager: the files are closed at its end.
    """

    def __init__(self) -> None:
        self._memory = threading.local()
        self._descriptors: dict[tuple[Path, int], int] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    @torch.no_grad()
    def write(self, base: Entry, terms: Terms, target: Planned, path: Path, start: int, stop: int) -> None:
        """Write rows start to stop of a tensor; raises InputError (reason NonFinite) where the sum is not finite."""
        shape = (stop - start, *target.shape[1:])
        count = math.prod(shape)
        width = math.prod(target.shape[1:])
        if not base.dtype.is_floating_point or (base.dtype == target.dtype and terms.empty):
            raw = self._read(base, start * width, count)
            self._put(path, raw, target.offset + start * width * target.dtype.itemsize)
            return
        total, other = self._scratch("total", count), self._scratch("other", count)
        if terms.tuned:
            total.copy_(self._whole(base, terms, start * width, count))
        else:
            total.copy_(self._read(base, start * width, count))
        if terms.low_rank:
            b, a = terms.factors(start, stop)
            total.view(shape).addmm_(b, a)
        for difference, weight in terms.full:
            total.add_(other.copy_(difference.view(-1)[start * width : start * width + count]), alpha=weight)
        low, high = (float(end) for end in torch.aminmax(total))
        limit = torch.finfo(target.dtype).max
        if not (-limit <= low and high <= limit):
            raise InputError(
                f"the merged parameter {target.name} has values that are not finite in {target.dtype}; use smaller weights or Float32",
                reason="NonFinite",
            )
        rounded = total if target.dtype == torch.float32 else self._scratch("rounded", count, target.dtype).copy_(total)
        self._put(path, rounded, target.offset + start * width * target.dtype.itemsize)

    def _whole(self, base: Entry, terms: Terms, first: int, count: int) -> Tensor:
        """Return the weighted sum of whole tensors; in fp64, because they are large beside what they differ by."""
        total, other = self._scratch("sum", count, torch.float64), self._scratch("term", count, torch.float64)
        weight = terms.base_weight
        if weight == 0.0:
            total.zero_()
        else:
            total.copy_(self._read(base, first, count)).mul_(weight)
        for entry, weight in terms.tuned:
            total.add_(other.copy_(self._read(entry, first, count)), alpha=weight)
        return total

    def _read(self, entry: Entry, first: int, count: int) -> Tensor:
        raw = self._scratch("raw", count, entry.dtype)
        view = raw.view(torch.uint8).numpy().data
        read_exactly(self._descriptor(entry.path, os.O_RDONLY), view, entry.offset + first * entry.dtype.itemsize, entry.path)
        return raw

    def _put(self, path: Path, values: Tensor, offset: int) -> None:
        view = values.view(torch.uint8).numpy().data
        descriptor = self._descriptor(path, os.O_WRONLY)
        done = 0
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], offset + done)

    def _scratch(self, name: str, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return flat memory of this thread, grown where a row is longer than a block."""
        size = count * dtype.itemsize
        held: Tensor | None = getattr(self._memory, name, None)
        if held is None or len(held) < size:
            held = torch.empty(max(size, dtype.itemsize * BLOCK), dtype=torch.uint8)
            setattr(self._memory, name, held)
        return held[:size].view(dtype)

    def _descriptor(self, path: Path, flags: int) -> int:
        with self._lock:
            if (path, flags) not in self._descriptors:
                self._descriptors[path, flags] = os.open(path, flags)
            return self._descriptors[path, flags]
