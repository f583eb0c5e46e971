"""Adapters written as PEFT writes them, without PEFT: what tests of reading need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file


def write_adapter(
    folder: Path,
    shapes: Mapping[str, tuple[int, int]],
    *,
    rank: int = 2,
    seed: int = 0,
    tensors: Mapping[str, Any] | None = None,
    **config: Any,
) -> Path:
    """Write a LoRA of random factors on the modules of these (rows, columns); `tensors` adds to its file, `config` to its settings."""
    generator = torch.Generator().manual_seed(seed)
    stored = {}
    for module, (rows, columns) in shapes.items():
        stored[f"base_model.model.{module}.lora_A.weight"] = torch.randn(rank, columns, generator=generator) * 0.1
        stored[f"base_model.model.{module}.lora_B.weight"] = torch.randn(rows, rank, generator=generator) * 0.1
    folder.mkdir(parents=True, exist_ok=True)
    save_file(stored | dict(tensors or {}), folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 4, "init_lora_weights": True, "target_modules": sorted(shapes)} | config
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder
