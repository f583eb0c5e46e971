"""From a trained model to a delta in the artifacts, and what is reported of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from autollm.contract.manifests import DeltaManifest
from autollm.errors import InputError
from autollm.resources.delta_training import DeltaTrainingSpec
from autollm.resources.facts import DeltaFact, TrainedDelta
from autollm.store import Store
from autollm_runtime.delta.adapter import ADAPTER_CONFIG
from autollm_runtime.delta.artifacts import publish_delta, read_manifest
from autollm_runtime.delta.full import FULL_WEIGHTS, write_full
from autollm_runtime.model.loading import load_model
from autollm_runtime.train.checkpoints import LIBRARIES, Trained

_PARTS = ("autollm", *LIBRARIES)


def publish_trained(
    spec: DeltaTrainingSpec, model: PreTrainedModel | PeftModel, trained: Trained, base: Path, store: Store, scratch: Path
) -> DeltaFact:
    """Write what the training changed and publish it; raises InputError where a weight is not finite."""
    _check_finite(model, float(spec.method.hyperparameters.learning_rate))
    folder = scratch / "delta"
    shutil.rmtree(folder, ignore_errors=True)  # an attempt that was killed may have left half a delta
    folder.mkdir()
    if isinstance(model, PeftModel):
        _write_adapter(model, folder, spec.model.uri)
    else:
        _write_difference(model, folder, base)
    manifest = DeltaManifest(
        key=spec.key,
        form="Lora" if isinstance(model, PeftModel) else "Full",
        base=spec.model.digest,
        dtype=spec.model.dtype,
        prefix="",
        files=[],
        chunks=spec.chunk.digests,
        method=spec.method,
        adapter=spec.adapter,
        start=spec.start,
        versions={part: version(part) for part in _PARTS},
        curve=trained.curve,
        steps=trained.step,
        tokens=trained.tokens,
        seconds=trained.seconds,
    )
    return publish_delta(store, spec.key, folder, manifest)


def describe_trained(store: Store, fact: DeltaFact) -> TrainedDelta:
    """Return what is reported of a delta that is in the artifacts, whoever trained it."""
    manifest = read_manifest(store, fact.key)
    return TrainedDelta(
        key=fact.key,
        digest=fact.digest,
        uri=f"{store.uri}/{manifest.prefix.removesuffix('/')}",
        loss=score(manifest.curve[-1].loss) if manifest.curve else None,
        seconds=score(manifest.seconds),
        tokens=manifest.tokens,
    )


def score(value: float) -> Decimal:
    """A number as statuses hold it."""
    return Decimal(f"{value:.6f}").normalize()


def _write_adapter(model: PeftModel, folder: Path, base_uri: str) -> None:
    # DPO's reference is an adapter beside it, and no part of the delta.
    model.save_pretrained(str(folder), selected_adapters=["default"], save_embedding_layers=False)
    path = folder / ADAPTER_CONFIG
    config = json.loads(path.read_bytes())
    config["base_model_name_or_path"] = base_uri  # where it was loaded on this machine means nothing elsewhere
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _write_difference(model: PreTrainedModel, folder: Path, base: Path) -> None:
    pristine = dict(load_model(base, "Float32", torch.device("cpu")).named_parameters())
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}

    def differences() -> Iterator[tuple[str, Tensor]]:
        for name, parameter in model.named_parameters():
            yield name, parameter.detach().float().cpu() - pristine[name]

    with torch.no_grad():
        write_full(folder / FULL_WEIGHTS, differences(), shapes)


def _check_finite(model: torch.nn.Module, learning_rate: float) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
            raise InputError(
                f"the training diverged: {name} holds NaN or infinity; lower learningRate ({learning_rate:g}), or lengthen warmup",
                reason="Diverged",
            )
