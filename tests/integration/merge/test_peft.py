"""Adapters that PEFT itself wrote: the merged model answers as PEFT's own does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from autollm.contract.digests import digest_bytes
from autollm.errors import InputError
from autollm.resources.facts import ModelFact
from autollm.resources.training import LoraDelta, ReadyDelta, TaskVector
from autollm.store import open_store
from autollm_runtime.delta import Delta, import_delta, read_delta
from autollm_runtime.merge import ResidentMerge, stream_merge
from autollm_runtime.model.folder import inspect_folder
from support.tiny_model import make_tiny_model

IDS = torch.arange(40).view(2, 20)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tied")


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "untied", tied=False)


def load(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)  # in evaluation mode
    return model


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    result: torch.Tensor = model(input_ids=IDS).logits
    return result


def trained(base: Path, folder: Path, seed: int = 0, **config: Any) -> Path:
    """Write an adapter whose every trainable value was moved at random, as training would."""
    torch.manual_seed(seed)
    settings = {"target_modules": LINEAR, "r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | config
    model = get_peft_model(load(base), LoraConfig(**settings))  # type: ignore[arg-type]  # the stub wants the narrower class
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(str(folder))
    return folder


def fact_of(base: Path) -> ModelFact:
    return ModelFact(uri=base.as_uri(), digest=inspect_folder(base, "base").digest(), dtype="Float32", parameters=1)


def taken_in(base: Path, ready: ReadyDelta, folder: Path) -> Delta:
    store = open_store(str(folder / "artifacts"))
    fact = fact_of(base)
    imported = import_delta(ready, fact, base, store, folder / "scratch")
    assert import_delta(ready, fact, base, store, folder / "scratch") == imported
    return read_delta(store, ready.name, imported.key, base=fact.digest, scratch=folder / "scratch")


def adapter_of(base: Path, folder: Path, name: str = "d", **config: Any) -> tuple[Delta, torch.Tensor]:
    """Return an adapter as a delta, and the logits that PEFT computes with it unmerged."""
    written = trained(base, folder / name, **config)
    expected = logits(PeftModel.from_pretrained(load(base), str(written)).eval())
    return taken_in(base, ReadyDelta(name=name, lora=LoraDelta(uri=str(written))), folder), expected


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention": {"target_modules": ["q_proj", "v_proj"]},
    "rank-stabilised": {"use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 8}, "alpha_pattern": {"v_proj": 3}},
    "rank-stabilised-patterns": {"use_rslora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "some-layers": {"layers_to_transform": [1]},
    "dora": {"use_dora": True},
    "norms-saved": {"modules_to_save": ["input_layernorm"]},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_adapter_at_weight_one_answers_as_peft_does(base: Path, tmp_path: Path, kind: str) -> None:
    delta, expected = adapter_of(base, tmp_path, **KINDS[kind])
    model = load(base)
    before = logits(model)
    merge = ResidentMerge(model, [delta])
    merge.apply({"d": 1.0})
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
    assert float((expected - before).abs().max()) > 1e-2  # the adapter does something
    merge.apply({"d": 0.0})
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    "config", [{"modules_to_save": ["lm_head"]}, {"target_modules": ["embed_tokens"]}, {"target_modules": ["lm_head", "q_proj"]}]
)
def test_embeddings_and_heads_of_an_untied_model_answer_as_peft_does(untied: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    delta, expected = adapter_of(untied, tmp_path, **config)
    model = load(untied)
    ResidentMerge(model, [delta]).apply({"d": 1.0})
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "config", [{"modules_to_save": ["lm_head"]}, {"modules_to_save": ["embed_tokens"]}, {"target_modules": ["embed_tokens"]}]
)
def test_half_of_a_tied_pair_is_refused(base: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    written = trained(base, tmp_path / "adapter", **config)
    with pytest.raises(InputError, match="one tied parameter") as caught:
        taken_in(base, ReadyDelta(name="d", lora=LoraDelta(uri=str(written))), tmp_path)
    assert caught.value.reason == "NotTied"


def test_an_adapter_on_both_of_a_tied_pair_is_added_once(base: Path, tmp_path: Path) -> None:
    delta, expected = adapter_of(base, tmp_path, target_modules=["embed_tokens", "lm_head"], ensure_weight_tying=True)
    model = load(base)
    ResidentMerge(model, [delta]).apply({"d": 1.0})
    torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)


def test_several_adapters_add_up_without_cross_terms(base: Path, tmp_path: Path) -> None:
    weights = {"plain": 0.5, "stable": -0.3, "dora": 0.8}
    configs: dict[str, dict[str, Any]] = {
        "plain": {"r": 2, "target_modules": ["q_proj", "up_proj"]},
        "stable": {"r": 8, "use_rslora": True},
        "dora": {"use_dora": True, "target_modules": ["up_proj", "down_proj"]},
    }
    deltas = [adapter_of(base, tmp_path, name, seed=index, **config)[0] for index, (name, config) in enumerate(configs.items())]
    expected = {name: value.double() for name, value in load(base).named_parameters()}
    for name in configs:
        one = PeftModel.from_pretrained(load(base), str(tmp_path / name)).merge_and_unload()
        for parameter, value in one.named_parameters():
            expected[parameter] = expected[parameter] + weights[name] * (
                value.double() - dict(load(base).named_parameters())[parameter].double()
            )
    model = load(base)
    ResidentMerge(model, deltas).apply(weights)
    for parameter, value in model.named_parameters():
        torch.testing.assert_close(value.detach().double(), expected[parameter].detach(), rtol=1e-5, atol=1e-5, msg=parameter)


def test_from_disk_to_disk_is_bit_for_bit_the_merge_in_memory(base: Path, tmp_path: Path) -> None:
    deltas = [adapter_of(base, tmp_path, "a")[0], adapter_of(base, tmp_path, "b", seed=1, use_dora=True)[0]]
    stream_merge(base, deltas, {"a": 0.4, "b": 0.7}, tmp_path / "out", "Float32", max_shard_bytes=20_000)
    model = load(base)
    ResidentMerge(model, deltas).apply({"a": 0.4, "b": 0.7})
    published = dict(load(tmp_path / "out").named_parameters())
    assert all(torch.equal(published[name], value) for name, value in model.named_parameters())
    assert published["lm_head.weight" if "lm_head.weight" in published else "model.embed_tokens.weight"].dtype == torch.float32


def test_a_tuned_model_comes_back_at_weight_one(base: Path, tmp_path: Path) -> None:
    tuned = load(base)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    tuned.save_pretrained(tmp_path / "tuned")
    for file in base.glob("tokenizer*"):
        (tmp_path / "tuned" / file.name).write_bytes(file.read_bytes())
    delta = taken_in(base, ReadyDelta(name="t", full=TaskVector(tuned=str(tmp_path / "tuned"))), tmp_path)
    model = load(base)
    ResidentMerge(model, [delta]).apply({"t": 1.0})
    torch.testing.assert_close(logits(model), logits(tuned), rtol=1e-5, atol=1e-5)


def _pissa(base: Path, folder: Path) -> Path:
    return trained(base, folder, init_lora_weights="pissa")


def _resized(base: Path, folder: Path) -> Path:
    larger = load(base)
    larger.resize_token_embeddings(larger.config.vocab_size + 8)
    larger.save_pretrained(folder.parent / "larger")
    return trained(folder.parent / "larger", folder, modules_to_save=["embed_tokens", "lm_head"])


def _other_shapes(base: Path, folder: Path) -> Path:
    return trained(make_tiny_model(folder.parent / "wider", hidden=64), folder)


def _not_finite(base: Path, folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    written = trained(base, folder)
    tensors = load_file(written / "adapter_model.safetensors")
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, written / "adapter_model.safetensors")
    return written


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (_pissa, "init_lora_weights is 'pissa'"),
        (_resized, "vocabulary was resized"),
        (_other_shapes, "but the base has"),
        (_not_finite, "NaN or infinity"),
    ],
)
def test_what_cannot_be_added_is_refused_by_name(base: Path, tmp_path: Path, made: Callable[[Path, Path], Path], said: str) -> None:
    written = made(base, tmp_path / "adapter")
    with pytest.raises(InputError, match=f"deltas, d: .*{said}"):
        taken_in(base, ReadyDelta(name="d", lora=LoraDelta(uri=str(written))), tmp_path)


def test_an_imported_delta_belongs_to_its_base(base: Path, tmp_path: Path) -> None:
    written = trained(base, tmp_path / "adapter")
    store = open_store(str(tmp_path / "artifacts"))
    imported = import_delta(ReadyDelta(name="d", lora=LoraDelta(uri=str(written))), fact_of(base), base, store, tmp_path / "scratch")
    with pytest.raises(InputError, match="made from the base"):
        read_delta(store, "d", imported.key, base=digest_bytes(b"another"), scratch=tmp_path)
