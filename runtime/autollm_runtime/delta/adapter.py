"""A LoRA adapter as PEFT writes it: its tensors by the parameters they change, every one accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from autollm.errors import InputError
from autollm_runtime.delta.adapter_config import AdapterConfig, read_adapter_config
from autollm_runtime.delta.checkpoint import read_header
from autollm_runtime.delta.values import LowRank

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"

_PREFIX = "base_model.model."
_FACTORS = {".lora_A.weight": "a", ".lora_B.weight": "b", ".lora_embedding_A": "embedding_a", ".lora_embedding_B": "embedding_b"}
_MAGNITUDE = ".lora_magnitude_vector"
_FACTOR_BIAS = ".lora_B.bias"


@dataclass(frozen=True)
class Adapter:
    """The content of an adapter.

    `low_rank` holds the factors by parameter, `magnitudes` DoRA's row norms, `biases` what lora_bias adds (scaled), and
    `whole` the tensors that replace those of the base: modules_to_save and trained biases.
    """

    path: Path
    config: AdapterConfig
    low_rank: Mapping[str, LowRank]
    magnitudes: Mapping[str, Tensor]
    biases: Mapping[str, Tensor]
    whole: Mapping[str, Tensor]

    @property
    def linear(self) -> bool:
        """Whether the adapter is low-rank changes and nothing else."""
        return not (self.magnitudes or self.biases or self.whole)


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's folder; raises InputError for pickles, tensors that are not understood, and factors without a partner."""
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        only = (
            "only as pickle, which can run code when it is read; save it"
            if (folder / "adapter_model.bin").is_file()
            else "not at all; save it"
        )
        raise InputError(f"{folder} has {ADAPTER_WEIGHTS} {only} with save_pretrained", reason="NoWeights")
    config = read_adapter_config(folder / ADAPTER_CONFIG)
    factors: dict[str, dict[str, Tensor]] = {}
    magnitudes: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    whole: dict[str, Tensor] = {}
    for key, entry in read_header(path).items():
        name = key.removeprefix(_PREFIX)
        suffix = next((suffix for suffix in _FACTORS if name.endswith(suffix)), None)
        if not key.startswith(_PREFIX):
            raise _unknown(path, key)
        if suffix is not None:
            factors.setdefault(name.removesuffix(suffix), {})[_FACTORS[suffix]] = entry.read()
        elif name.endswith(_MAGNITUDE):
            magnitudes[f"{name.removesuffix(_MAGNITUDE)}.weight"] = entry.read()
        elif name.endswith(_FACTOR_BIAS):
            biases[name.removesuffix(_FACTOR_BIAS)] = entry.read()
        elif "lora_" in name or "token_adapter" in name or not name.endswith((".weight", ".bias")):
            raise _unknown(path, key)
        else:
            whole[name.replace(".base_layer.", ".")] = entry.read()
    low_rank = {f"{module}.weight": _low_rank(module, found, config, path) for module, found in sorted(factors.items())}
    lone = sorted(magnitudes.keys() - low_rank.keys()) + sorted(module for module in biases if f"{module}.weight" not in low_rank)
    if lone:
        raise InputError(f"{path}: {lone[0]} has no lora_A and lora_B; the file is incomplete, save the adapter again", reason="Incomplete")
    scaled = {f"{module}.bias": bias.float() * low_rank[f"{module}.weight"].scale for module, bias in biases.items()}
    return Adapter(path, config, low_rank, magnitudes, scaled, whole)


def _low_rank(module: str, found: Mapping[str, Tensor], config: AdapterConfig, path: Path) -> LowRank:
    if found.keys() == {"embedding_a", "embedding_b"}:
        # An embedding looks rows of A up instead of multiplying by it: ΔW = (B·A)ᵀ.
        a, b = found["embedding_b"].t(), found["embedding_a"].t()
    elif found.keys() == {"a", "b"}:
        a, b = found["a"], found["b"]
        if a.dim() == b.dim() == 2 and config.fan_in_fan_out:
            a, b = b.t(), a.t()
    else:
        raise InputError(
            f"{path}: {module} has one of its two factors only; the file is incomplete, save the adapter again", reason="Incomplete"
        )
    if a.dim() != 2 or b.dim() != 2:
        raise InputError(f"{path}: {module} is a convolution; only linear layers and embeddings can be merged", reason="NotLinear")
    if a.shape[0] != b.shape[1]:
        raise InputError(f"{path}: the factors of {module} have ranks {a.shape[0]} and {b.shape[1]}; they do not belong together")
    return LowRank(a.contiguous(), b.contiguous(), config.scale(module, a.shape[0], str(path)))


def _unknown(path: Path, key: str) -> InputError:
    return InputError(
        f"{path}: the tensor {key} is not part of a plain LoRA and would be lost; merge the adapter into its model with PEFT "
        "and give that as a full model",
        reason="NotLinear",
    )
