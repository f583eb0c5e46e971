"""What is trained: the base with an adapter, or the base itself, from scratch or from the delta that a method continues."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel

from autollm.contract.manifests import DeltaManifest
from autollm.errors import InputError
from autollm.resources.delta_training import DeltaTrainingSpec
from autollm.resources.training import Lora
from autollm.store import Store
from autollm_runtime.delta.artifacts import fetch_file, read_delta, read_manifest
from autollm_runtime.model.loading import load_model

_ATTENTION = ("attn", "attention")

_SHORT = 512
"""Up to so many tokens the plain attention is faster to differentiate on a CPU than PyTorch's fused one, 3 times at 64 in bf16."""


@dataclass(frozen=True)
class Learner:
    """What a trainer is given: a model, the adapter it is to add, and DPO's reference where that is not the model without adapter."""

    model: PreTrainedModel | PeftModel
    adapter: LoraConfig | None = None
    reference: PreTrainedModel | None = None


def make_learner(spec: DeltaTrainingSpec, base: Path, store: Store, device: torch.device, scratch: Path, *, longest: int) -> Learner:
    """Load what a training of records of at most `longest` tokens starts from.

    With a LoRA the base has the number format it is scored in and the factors are fp32; a full training keeps fp32 weights, so
    that small updates are not rounded away. A delta that is continued is trained further as it is, so that what comes out is the
    total change from the base. Raises InputError where that delta has another form or belongs to another base.
    """
    lora = spec.adapter.lora
    attention = "eager" if device.type == "cpu" and longest <= _SHORT else None
    if lora is not None:
        model = _frozen_base(spec.model.dtype, base, device, attention)
        if spec.start is None:
            return Learner(model, adapter=_adapter(lora, model))
        return Learner(_continued(model, spec, store, scratch))
    model = load_model(base, "Float32", device, attention=attention)
    if spec.start is not None:
        _add(model, spec, store, scratch)
    return Learner(model, reference=copy.deepcopy(model) if spec.method.kind == "dpo" else None)


def _frozen_base(dtype: str, base: Path, device: torch.device, attention: str | None) -> PreTrainedModel:
    model: Any = load_model(base, dtype, device, attention=attention)
    # fp16 holds the weights that are scored, but has too little range for gradients; the same values in fp32 have it.
    frozen: PreTrainedModel = model.float() if dtype == "Float16" else model
    return frozen


def _adapter(lora: Lora, model: PreTrainedModel) -> LoraConfig:
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=float(lora.dropout),
        target_modules="all-linear" if lora.targets == "AllLinear" else _attention_modules(model),
        use_rslora=lora.rank_stabilized,
        bias="none",
    )


def _attention_modules(model: PreTrainedModel) -> list[str]:
    """The linear layers of the attention, by their own names where no other layer shares them."""
    linear = {name for name, module in model.named_modules() if type(module).__name__ in ("Linear", "Conv1D")}
    inside = {name for name in linear if any(word in part for part in name.split(".")[:-1] for word in _ATTENTION)}
    if not inside:
        raise InputError(
            f"adapter.lora.targets: Attention finds no attention layers in a {model.config.model_type} model; use AllLinear",
            reason="NoTargets",
        )
    others = {name.rpartition(".")[2] for name in linear - inside}
    own = {name.rpartition(".")[2] for name in inside}
    return sorted(inside) if own & others else sorted(own)


def _continued(model: PreTrainedModel, spec: DeltaTrainingSpec, store: Store, scratch: Path) -> PeftModel:
    manifest = _start_manifest(spec, store, "Lora")
    folders = {fetch_file(store, manifest, file, scratch).parent for file in manifest.files}
    continued = PeftModel.from_pretrained(model, str(folders.pop()), is_trainable=True)
    # PEFT looks the base up by this name whenever it saves; the name that was published is one of another machine, or of the Hub.
    continued.peft_config["default"].base_model_name_or_path = model.config._name_or_path
    return continued


def _add(model: PreTrainedModel, spec: DeltaTrainingSpec, store: Store, scratch: Path) -> None:
    manifest = _start_manifest(spec, store, "Full")
    delta = read_delta(store, spec.delta, manifest.key, base=spec.model.digest, scratch=scratch)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, difference in delta.full.items():
            parameters[name].add_(difference.to(parameters[name].device))


def _start_manifest(spec: DeltaTrainingSpec, store: Store, form: str) -> DeltaManifest:
    assert spec.start is not None  # noqa: S101  # both callers have looked
    manifest = read_manifest(store, spec.start)
    if manifest.base != spec.model.digest:
        raise InputError(f"delta {spec.delta} continues one of another base model; train that again first", reason="OtherBase")
    if manifest.form != form:
        raise InputError(
            f"delta {spec.delta} continues a delta of form {manifest.form} with an adapter of form {form}; give both the same adapter",
            reason="OtherForm",
        )
    return manifest
