"""The merge from disk to disk: block by block from the base's files into new ones, in memory bounded by a few blocks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autollm.errors import InputError
from autollm.store.disk import disk_errors
from autollm_runtime.delta.checkpoint import Checkpoint, open_checkpoint
from autollm_runtime.delta.tuned import TunedModel
from autollm_runtime.delta.values import Delta
from autollm_runtime.merge.arithmetic import check_weights
from autollm_runtime.merge.blocks import BlockWriter, Terms, block_ranges
from autollm_runtime.merge.placing import place_terms
from autollm_runtime.merge.shards import DEFAULT_SHARD_BYTES, Planned, Shard, index_document, plan_shards
from autollm_runtime.merge.threads import side_by_side
from autollm_runtime.model.dtypes import torch_dtype
from autollm_runtime.model.folder import INDEX, is_model_file

_PAPERS = ("LICENSE", "NOTICE", "USE_POLICY")


@dataclass(frozen=True)
class Merged:
    """What was written: the files of weights and the number of parameters in them."""

    files: tuple[str, ...]
    parameters: int


def stream_merge(
    base: Path,
    deltas: Sequence[Delta | TunedModel],
    weights: Mapping[str, float],
    out: Path,
    dtype: str,
    *,
    max_shard_bytes: int = DEFAULT_SHARD_BYTES,
    threads: int | None = None,
) -> Merged:
    """Write round(W_base + Σ weight · Δ) to a new folder that loads with `from_pretrained`; fp32 sums, rounded once.

    The base's tokenizer, chat template, generation and model configuration go with it; integer tensors stay as they are.
    The folder appears whole or not at all. `dtype` is BFloat16, Float16 or Float32.

    Raises:
        InputError: `out` is not empty, a delta does not fit the base, or a sum is not finite in `dtype` (reason NonFinite).
        DiskFullError: There is no space for the result.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out} exists and is not an empty folder; give a new one, so that nothing old is mixed into the model", reason="NotEmpty"
        )
    check_weights(weights, [delta.name for delta in deltas])
    checkpoint = open_checkpoint(base)
    terms = place_terms(checkpoint, [delta for delta in deltas if weights.get(delta.name, 0.0) != 0.0], weights)
    target = torch_dtype(dtype)
    shards = plan_shards(_tensors(checkpoint, target), max_shard_bytes)
    partial = out.absolute().parent / f".{out.absolute().name}.partial"
    with disk_errors(str(out)):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _write_weights(checkpoint, terms, shards, partial, threads or len(os.sched_getaffinity(0)))
            _write_rest(checkpoint, shards, partial, target)
            partial.replace(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return Merged(tuple(shard.file for shard in shards), sum(torch.Size(t.shape).numel() for shard in shards for t in shard.tensors))


def _tensors(checkpoint: Checkpoint, target: torch.dtype) -> list[tuple[str, tuple[int, ...], torch.dtype]]:
    dropped = checkpoint.head if checkpoint.tied_head else None
    return [
        (name, entry.shape, target if entry.dtype.is_floating_point else entry.dtype)
        for name, entry in checkpoint.entries.items()
        if name != dropped
    ]


def _write_weights(checkpoint: Checkpoint, terms: Mapping[str, Terms], shards: Sequence[Shard], folder: Path, threads: int) -> None:
    with BlockWriter() as writer, side_by_side(threads) as pool:
        for shard in shards:
            path = folder / shard.file
            with path.open("xb") as file:
                file.write(shard.header)
                file.truncate(shard.size)
            jobs = [(tensor, block) for tensor in shard.tensors for block in block_ranges(tensor.shape)]

            def write(job: tuple[Planned, tuple[int, int]], path: Path = path) -> None:
                tensor, (start, stop) = job
                writer.write(checkpoint.entries[tensor.name], terms.get(tensor.name, Terms()), tensor, path, start, stop)

            for _ in pool.map(write, jobs):
                pass


def _write_rest(checkpoint: Checkpoint, shards: Sequence[Shard], folder: Path, dtype: torch.dtype) -> None:
    if len(shards) > 1:
        _write_json(folder / INDEX, index_document(shards))
    for path in sorted(checkpoint.folder.iterdir()):
        if path.is_file() and (_is_text(path.name) or path.name.upper().startswith(_PAPERS)):
            shutil.copyfile(path, folder / path.name)
    config = {key: value for key, value in checkpoint.config.items() if key not in {"torch_dtype", "quantization_config"}}
    _write_json(folder / "config.json", config | {"dtype": str(dtype).removeprefix("torch.")})


def _is_text(name: str) -> bool:
    return is_model_file(name) and name not in {INDEX, "config.json"} and not name.endswith(".safetensors")


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
