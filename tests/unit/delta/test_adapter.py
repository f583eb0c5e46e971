"""Reading PEFT's adapters: scaling, orientation, and nothing dropped silently."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from autollm.errors import InputError
from autollm_runtime.delta.adapter import read_adapter
from support.adapters import write_adapter

UP = {"model.up": (6, 4)}


def test_the_scale_is_alpha_over_rank(tmp_path: Path) -> None:
    adapter = read_adapter(write_adapter(tmp_path, UP, rank=2, lora_alpha=8))
    assert adapter.low_rank["model.up.weight"].scale == 4.0
    assert adapter.low_rank["model.up.weight"].shape == (6, 4)
    assert adapter.linear


def test_rank_stabilised_adapters_scale_by_the_root(tmp_path: Path) -> None:
    adapter = read_adapter(write_adapter(tmp_path, UP, rank=2, lora_alpha=8, use_rslora=True))
    assert adapter.low_rank["model.up.weight"].scale == pytest.approx(8 / math.sqrt(2))


def test_patterns_give_modules_their_own_rank_and_alpha(tmp_path: Path) -> None:
    config: dict[str, Any] = {"r": 8, "rank_pattern": {"up": 2}, "alpha_pattern": {r"model\..*": 32}}
    assert read_adapter(write_adapter(tmp_path, UP, rank=2, **config)).low_rank["model.up.weight"].scale == 16.0


def test_a_rank_that_the_configuration_does_not_give_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.up has rank 2, but adapter_config.json says 8"):
        read_adapter(write_adapter(tmp_path, UP, rank=2, r=8))


def test_transposed_layers_change_the_transposed_weight(tmp_path: Path) -> None:
    plain = read_adapter(write_adapter(tmp_path / "plain", UP)).low_rank["model.up.weight"]
    turned = read_adapter(write_adapter(tmp_path / "turned", UP, fan_in_fan_out=True)).low_rank["model.up.weight"]
    torch.testing.assert_close(turned.b @ turned.a, (plain.b @ plain.a).t())


def test_an_embedding_is_looked_up_in_the_first_factor(tmp_path: Path) -> None:
    a, b = torch.randn(2, 10), torch.randn(3, 2)
    tensors = {"base_model.model.embed.lora_embedding_A": a, "base_model.model.embed.lora_embedding_B": b}
    change = read_adapter(write_adapter(tmp_path, {}, tensors=tensors)).low_rank["embed.weight"]
    torch.testing.assert_close(change.b @ change.a, a.t() @ b.t())


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", "tomorrow"])
def test_initialisations_that_change_the_base_are_refused_by_name(tmp_path: Path, init: str) -> None:
    with pytest.raises(InputError, match=f"init_lora_weights is '{init}'") as caught:
        read_adapter(write_adapter(tmp_path, UP, init_lora_weights=init))
    assert caught.value.reason == "NotLinear"


@pytest.mark.parametrize(
    "config", [{"peft_type": "IA3"}, {"alora_invocation_tokens": [1]}, {"layer_replication": [[0, 2]]}, {"a_new_setting": True}]
)
def test_what_is_not_a_plain_lora_is_refused_by_name(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(config))):
        read_adapter(write_adapter(tmp_path, UP, **config))


@pytest.mark.parametrize(
    "name", ["base_model.model.model.up.lora_diag", "model.up.weight", "base_model.model.embed.token_adapter.trainable_tokens_delta"]
)
def test_a_tensor_that_is_not_understood_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_adapter(write_adapter(tmp_path, UP, tensors={name: torch.zeros(2)}))


def test_a_factor_without_its_partner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.down has one of its two factors"):
        read_adapter(write_adapter(tmp_path, UP, tensors={"base_model.model.model.down.lora_A.weight": torch.zeros(2, 4)}))


def test_dora_biases_and_saved_modules_are_kept_apart(tmp_path: Path) -> None:
    tensors = {
        "base_model.model.model.up.lora_magnitude_vector": torch.ones(6),
        "base_model.model.model.up.lora_B.bias": torch.ones(6),
        "base_model.model.model.norm.weight": torch.ones(4),
    }
    adapter = read_adapter(write_adapter(tmp_path, UP, tensors=tensors, use_dora=True, lora_bias=True, modules_to_save=["norm"]))
    assert not adapter.linear
    assert list(adapter.magnitudes) == ["model.up.weight"]
    assert adapter.biases["model.up.bias"].tolist() == [2.0] * 6  # alpha 4 over rank 2
    assert list(adapter.whole) == ["model.norm.weight"]


def test_a_pickled_adapter_is_refused(tmp_path: Path) -> None:
    (write_adapter(tmp_path, UP) / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(InputError, match="only as pickle"):
        read_adapter(tmp_path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = write_adapter(tmp_path, UP) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="cut off"):
        read_adapter(tmp_path)
