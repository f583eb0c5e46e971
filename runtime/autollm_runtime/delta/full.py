"""Full differences: delta.safetensors, what must be added to each parameter of the base."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from autollm_runtime.delta.checkpoint import read_header

FULL_WEIGHTS = "delta.safetensors"


def write_full(path: Path, differences: Iterable[tuple[str, Tensor]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Write fp32 differences one after the other, so that only one is in memory; `shapes` names all of them in that order."""
    header: dict[str, object] = {}
    offset = 0
    for name, shape in shapes.items():
        stop = offset + 4 * torch.Size(shape).numel()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, stop]}
        offset = stop
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        written = []
        for name, difference in differences:
            if tuple(difference.shape) != shapes[name]:
                raise ValueError(f"{name} has shape {tuple(difference.shape)}, not {shapes[name]}")
            file.write(difference.to(torch.float32).contiguous().numpy().data)
            written.append(name)
    if written != list(shapes):
        raise ValueError("the differences are not those that were announced")


def read_full(path: Path) -> dict[str, Tensor]:
    """Return the differences by parameter, mapped from the file: only what is looked at takes memory, and it can be dropped."""
    entries = read_header(path)
    if not entries:
        return {}
    flat = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    differences = {}
    for name, entry in entries.items():
        part = flat[entry.offset : entry.offset + entry.size]
        aligned = part if part.data_ptr() % entry.dtype.itemsize == 0 else part.clone()
        differences[name] = aligned.view(entry.dtype).view(entry.shape)
    return differences
