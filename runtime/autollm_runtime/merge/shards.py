"""How a model's tensors are laid out in safetensors files, decided from names and shapes before any value is known."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from autollm_runtime.delta.checkpoint import DTYPES
from autollm_runtime.model.folder import WEIGHTS

DEFAULT_SHARD_BYTES: Final = 5_000_000_000

_NAMES: Final[Mapping[torch.dtype, str]] = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Planned:
    """A tensor that is to be written: its name, shape, number format and first byte in its file."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Shard:
    """One file: its header and the tensors after it, in the order in which they lie."""

    file: str
    header: bytes
    tensors: tuple[Planned, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header) + sum(tensor.size for tensor in self.tensors)


def plan_shards(tensors: Sequence[tuple[str, tuple[int, ...], torch.dtype]], max_bytes: int) -> list[Shard]:
    """Return the files of a model: one, or several of at most `max_bytes` of values where no tensor is larger."""
    groups: list[list[tuple[str, tuple[int, ...], torch.dtype]]] = [[]]
    filled = 0
    for name, shape, dtype in sorted(tensors, key=lambda tensor: tensor[0]):
        size = math.prod(shape) * dtype.itemsize
        if groups[-1] and filled + size > max_bytes:
            groups.append([])
            filled = 0
        groups[-1].append((name, shape, dtype))
        filled += size
    if len(groups) == 1:
        return [_lay_out(WEIGHTS, groups[0])]
    return [_lay_out(f"model-{number:05d}-of-{len(groups):05d}.safetensors", group) for number, group in enumerate(groups, 1)]


def index_document(shards: Sequence[Shard]) -> dict[str, Any]:
    """Return the index file that `from_pretrained` reads where a model has several shards."""
    total = sum(tensor.size for shard in shards for tensor in shard.tensors)
    return {"metadata": {"total_size": total}, "weight_map": {tensor.name: shard.file for shard in shards for tensor in shard.tensors}}


def _lay_out(file: str, group: Iterable[tuple[str, tuple[int, ...], torch.dtype]]) -> Shard:
    described: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    places = []
    offset = 0
    for name, shape, dtype in group:
        stop = offset + math.prod(shape) * dtype.itemsize
        described[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [offset, stop]}
        places.append((name, shape, dtype, offset))
        offset = stop
    encoded = json.dumps(described, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    header = struct.pack("<Q", len(encoded)) + encoded
    return Shard(file, header, tuple(Planned(name, shape, dtype, len(header) + start) for name, shape, dtype, start in places))
