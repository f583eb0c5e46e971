"""A method's hyperparameters as the settings of TRL's trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.sft_config import SFTConfig

from autollm.resources.training import Dpo, Pretrain, Sft

_SCHEDULES = {"Cosine": "cosine", "Linear": "linear", "Constant": "constant_with_warmup"}


def trainer_settings(
    method: Sft | Dpo | Pretrain, *, steps: int, dtype: str, device: torch.device, recompute: bool, folder: Path
) -> SFTConfig | DPOConfig:
    """Return the settings of a training of so many steps; checkpoints go below `folder`, and are asked for by a callback alone."""
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "learning_rate": float(method.learning_rate),
        "max_steps": steps,
        "warmup_steps": round(float(method.warmup) * steps),
        "lr_scheduler_type": _SCHEDULES[method.schedule],
        "weight_decay": float(method.weight_decay),
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "seed": method.seed,
        "data_seed": method.seed,
        # A row is a whole step, in an order that is planned.
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "max_length": None,
        "bf16": dtype == "BFloat16",
        "fp16": False,
        "use_cpu": device.type == "cpu",
        "activation_checkpointing": recompute,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "save_total_limit": 1,
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",
    }
    settings: SFTConfig | DPOConfig
    if isinstance(method, Dpo):
        settings = DPOConfig(**common, beta=float(method.beta))
    else:
        settings = SFTConfig(**common, dataset_kwargs={"skip_prepare_dataset": True})
    # A training has one device, the model lies on it already; of several that are visible the trainer would take all.
    settings._n_gpu = min(settings.n_gpu, 1)
    return settings
