"""PEFT's adapter_config.json, as far as it decides the arithmetic of a LoRA; what is not understood is refused by name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from autollm.errors import InputError
from autollm_runtime.delta.checkpoint import read_json

T = TypeVar("T")

_LINEAR_INITS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
"""How factors may be initialised without changing the base: PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA subtract from it."""

_UNDERSTOOD = frozenset({"r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "use_dora", "lora_bias"})
_UNDERSTOOD |= {"ensure_weight_tying", "init_lora_weights", "peft_type", "bias", "modules_to_save"}

_WITHOUT_EFFECT = frozenset(
    {
        "task_type", "inference_mode", "base_model_name_or_path", "revision", "auto_mapping", "peft_version", "lora_dropout",
        "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "loftq_config", "eva_config", "corda_config",
        "lora_ga_config", "velora_config", "runtime_config", "megatron_config", "megatron_core", "qalora_group_size",
    }
)  # fmt: skip
"""They chose what was trained and how; the tensors in the file show the outcome."""


@dataclass(frozen=True)
class AdapterConfig:
    """How the factors of an adapter become changes of weights."""

    rank: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    rank_stabilized: bool
    fan_in_fan_out: bool
    dora: bool
    ties_weights: bool

    def scale(self, module: str, rank: int, where: str) -> float:
        """Return alpha/rank of a module, or alpha/√rank where rank-stabilised (Kalajdzievski 2023, arXiv:2312.03732).

        Raises InputError where the rank of the stored factors is not the one that the configuration gives the module.
        """
        expected = _by_pattern(self.rank_pattern, module, self.rank)
        if rank != expected:
            raise InputError(
                f"{where}: {module} has rank {rank}, but adapter_config.json says {expected}; the two files do not belong together"
            )
        alpha = float(_by_pattern(self.alpha_pattern, module, self.alpha))
        return alpha / (math.sqrt(rank) if self.rank_stabilized else rank)


def read_adapter_config(path: Path) -> AdapterConfig:
    """Read adapter_config.json; raises InputError for another kind of adapter or a setting that is not understood."""
    document = read_json(path)
    kind = document.get("peft_type")
    if kind != "LORA":
        raise InputError(
            f"{path}: peft_type is {kind!r}; only LORA adapters can be merged exactly: train one, or give a full model", reason="NotLinear"
        )
    _refuse_unknown(document, path)
    try:
        return AdapterConfig(
            rank=int(document["r"]),
            alpha=float(document["lora_alpha"]),
            rank_pattern={str(key): int(value) for key, value in (document.get("rank_pattern") or {}).items()},
            alpha_pattern={str(key): float(value) for key, value in (document.get("alpha_pattern") or {}).items()},
            rank_stabilized=bool(document.get("use_rslora")),
            fan_in_fan_out=bool(document.get("fan_in_fan_out")),
            dora=bool(document.get("use_dora")),
            ties_weights=bool(document.get("ensure_weight_tying")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: {error!s} is missing or no number; save the adapter again with PEFT", reason="UnreadableConfig"
        ) from error


def _refuse_unknown(document: Mapping[str, Any], path: Path) -> None:
    init = document.get("init_lora_weights")
    if init not in _LINEAR_INITS:
        raise InputError(
            f"{path}: init_lora_weights is {init!r}, which changes the base model itself, so this adapter does not fit the plain base; "
            "save it with save_pretrained(path_initial_model_for_weight_conversion=…), which makes a plain LoRA of it",
            reason="NotLinear",
        )
    strange = sorted(key for key, value in document.items() if value and key not in _UNDERSTOOD and key not in _WITHOUT_EFFECT)
    if strange:
        raise InputError(
            f"{path}: {strange[0]} is {document[strange[0]]!r}, which is not a plain LoRA and cannot be merged exactly; "
            "merge it into its model with PEFT and give that as a full model",
            reason="NotLinear",
        )


def _by_pattern(pattern: Mapping[str, T], module: str, default: T) -> T:
    """PEFT's rule: the first key that matches the end of the module's name."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", module)), default)
