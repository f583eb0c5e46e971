"""Base models and ready-made deltas with something wrong, each as it is met in the wild."""

from __future__ import annotations

import json
from pathlib import Path

from support.adapters import write_adapter
from support.tiny_model import make_tiny_model

QUERY = "model.layers.0.self_attn.q_proj"
_WEIGHTS = "model.safetensors"


def model_without_template(folder: Path) -> str:
    """A model for texts alone."""
    make_tiny_model(folder / "model", chat=False)
    return "model"


def model_without_a_shard(folder: Path) -> str:
    """Of two shards that the index names, the second is not there."""
    from safetensors.torch import load_file, save_file

    model = make_tiny_model(folder / "model")
    tensors = load_file(model / _WEIGHTS)
    first = sorted(tensors)[: len(tensors) // 2]
    save_file({name: tensors[name] for name in first}, model / "model-00001-of-00002.safetensors")
    shards = {name: f"model-0000{1 if name in first else 2}-of-00002.safetensors" for name in tensors}
    (model / f"{_WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    (model / _WEIGHTS).unlink()
    return "model"


def model_cut_short(folder: Path) -> str:
    """A download that broke off."""
    weights = make_tiny_model(folder / "model") / _WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1000])
    return "model"


def model_as_pickle(folder: Path) -> str:
    """Weights that only a pickle holds."""
    import torch
    from safetensors.torch import load_file

    model = make_tiny_model(folder / "model")
    torch.save(load_file(model / _WEIGHTS), model / "pytorch_model.bin")
    (model / _WEIGHTS).unlink()
    return "model"


def adapter_of_another_base(folder: Path) -> str:
    """An adapter of a model with more layers."""
    write_adapter(folder / "adapter", {QUERY.replace("layers.0", "layers.7"): (32, 32)})
    return "adapter"


def adapter_of_another_shape(folder: Path) -> str:
    """An adapter of a wider model."""
    write_adapter(folder / "adapter", {QUERY: (48, 48)})
    return "adapter"


def adapter_with_nan(folder: Path) -> str:
    """An adapter whose training diverged."""
    import torch

    name = f"base_model.model.{QUERY}.lora_A.weight"
    write_adapter(folder / "adapter", {QUERY: (32, 32)}, tensors={name: torch.full((2, 32), torch.nan)})
    return "adapter"


def tuned_from_another_base(folder: Path) -> str:
    """A tuned model that is wider than the base."""
    make_tiny_model(folder / "tuned", hidden=48)
    return "tuned"
