"""What `autollm merge` does once its arguments are read: apart from them, because this part imports PyTorch."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch

from autollm.errors import InputError
from autollm.store import open_store
from autollm_runtime.delta.checkpoint import Checkpoint, open_checkpoint
from autollm_runtime.delta.opening import open_delta
from autollm_runtime.merge.stream import Merged, stream_merge
from autollm_runtime.model.fetch import fetch_location

_NAMES = {torch.bfloat16: "BFloat16", torch.float16: "Float16", torch.float32: "Float32"}


def merge_named(model: str, weights: Mapping[str, float], out: Path, dtype: str | None, max_shard_bytes: int) -> Merged:
    """Merge deltas, given as URI → weight, into the model at a URI; without `dtype` in the format most of the base has.

    Raises InputError naming what is missing, does not fit or is not finite.
    """
    with tempfile.TemporaryDirectory(prefix="autollm-merge-") as scratch:
        path = fetch_location(model, None, open_store(scratch), Path(scratch), field="--model")
        if path.is_file():
            raise InputError(f"--model {model} is a file; give the folder that save_pretrained wrote, in safetensors")
        base = open_checkpoint(path)
        deltas = [open_delta(uri, base, Path(scratch)) for uri in weights]
        return stream_merge(path, deltas, weights, out, dtype or _stored_format(base), max_shard_bytes=max_shard_bytes)


def _stored_format(base: Checkpoint) -> str:
    counts: Counter[torch.dtype] = Counter()
    for entry in base.entries.values():
        if entry.dtype in _NAMES:
            counts[entry.dtype] += entry.size // entry.dtype.itemsize
    return _NAMES[counts.most_common(1)[0][0]] if counts else "Float32"
