"""The merge from disk to disk: exact, rounded once, sharded, with nothing old left in it."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from autollm.errors import InputError
from autollm.store import DiskFullError
from autollm_runtime.delta import Delta, LowRank
from autollm_runtime.delta.checkpoint import open_checkpoint
from autollm_runtime.delta.tuned import open_tuned
from autollm_runtime.merge import stream_merge
from autollm_runtime.merge.shards import plan_shards

EMBED, UP, STEPS = "model.embed_tokens.weight", "model.up.weight", "model.steps"


def write_model(
    folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32, tied: bool = True, more: Mapping[str, torch.Tensor] | None = None
) -> Path:
    generator = torch.Generator().manual_seed(seed)
    tensors = {EMBED: torch.randn(11, 6, generator=generator), UP: torch.randn(9, 6, generator=generator)}
    tensors["model.norm.weight"] = torch.randn(6, generator=generator)
    stored = {name: value.to(dtype) for name, value in (tensors | dict(more or {})).items()} | {STEPS: torch.tensor([3, 4])}
    folder.mkdir(parents=True)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": tied, "torch_dtype": "float32"}))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 1}}}))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    (folder / "training_args.bin").write_bytes(b"not part of the model")
    return folder


def low_rank(rows: int, columns: int, seed: int) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    return LowRank(torch.randn(2, columns, generator=generator), torch.randn(rows, 2, generator=generator), 0.5)


A = Delta("a", "ka", {UP: low_rank(9, 6, 1)})
B = Delta("b", "kb", {UP: low_rank(9, 6, 2)}, {EMBED: torch.linspace(-1, 1, 66).view(11, 6)})


def expected(base: Path, weights: Mapping[str, float]) -> dict[str, torch.Tensor]:
    sums = {name: value.double() for name, value in load_file(base / "model.safetensors").items()}
    for delta in (A, B):
        for name, change in delta.low_rank.items():
            sums[name] = sums[name] + weights[delta.name] * change.scale * change.b.double() @ change.a.double()
        for name, full in delta.full.items():
            sums[name] = sums[name] + weights[delta.name] * full.double()
    return sums


@pytest.mark.parametrize("weights", [{"a": 1.0, "b": 0.0}, {"a": 0.5, "b": -1.5}, {"a": 0.0, "b": 0.0}])
def test_the_sum_is_that_of_fp64(tmp_path: Path, weights: dict[str, float]) -> None:
    base = write_model(tmp_path / "base")
    stream_merge(base, [A, B], weights, tmp_path / "out", "Float32")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    for name, value in expected(base, weights).items():
        torch.testing.assert_close(merged[name].double(), value, rtol=1e-6, atol=1e-6)


def test_bf16_is_rounded_once_from_the_stored_precision(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    stream_merge(base, [A, B], {"a": 0.01, "b": 0.02}, tmp_path / "out", "BFloat16")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    for name, value in expected(base, {"a": 0.01, "b": 0.02}).items():
        if name != STEPS:
            step = 2.0 ** (torch.floor(torch.log2(value.abs().clamp_min(1e-30))) - 8)
            assert bool(((merged[name].double() - value).abs() <= step * 1.001).all()), name
    assert merged[STEPS].tolist() == [3, 4]


def test_whole_models_are_added_by_their_difference(tmp_path: Path) -> None:
    base, first, second = (write_model(tmp_path / name, seed=seed) for seed, name in enumerate(("base", "first", "second")))
    opened = open_checkpoint(base)
    tuned = [open_tuned("first", first, opened), open_tuned("second", second, opened)]
    stream_merge(base, tuned, {"first": 0.5, "second": -0.25}, tmp_path / "out", "Float32")
    w0, w1, w2 = (load_file(folder / "model.safetensors")[UP].double() for folder in (base, first, second))
    merged = load_file(tmp_path / "out" / "model.safetensors")[UP].double()
    torch.testing.assert_close(merged, w0 + 0.5 * (w1 - w0) - 0.25 * (w2 - w0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "reason", "says"),
    [
        ("pytorch_model.bin", b"", "PickleOnly", "safe_serialization=True"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "model-1.safetensors"}}', "ShardMissing", "first model-1.safetensors"),
        ("model.safetensors.index.json", b"{}", "NoWeights", "names no weights"),
        ("notes.txt", b"", "NoWeights", "has no model.safetensors"),
    ],
)
def test_a_model_without_its_weights_is_refused_by_the_name_of_its_folder(
    tmp_path: Path, name: str, content: bytes, reason: str, says: str
) -> None:
    folder = write_model(tmp_path / "tuned")
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        open_checkpoint(folder)
    assert caught.value.reason == reason
    assert str(caught.value).startswith(str(folder))


def test_a_whole_model_at_weight_one_is_that_model(tmp_path: Path) -> None:
    base, tuned = write_model(tmp_path / "base"), write_model(tmp_path / "tuned", seed=1)
    stream_merge(base, [open_tuned("t", tuned, open_checkpoint(base))], {"t": 1.0}, tmp_path / "out", "Float32")
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", tuned))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_shards_have_an_index_and_hold_every_tensor_once_in_the_order_of_names(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    merged = stream_merge(base, [A], {"a": 0.5}, tmp_path / "out", "Float32", max_shard_bytes=250)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert len(merged.files) == 3
    assert list(index["weight_map"]) == sorted(index["weight_map"])
    found = {name: file for file in merged.files for name in load_file(tmp_path / "out" / file)}
    assert found == index["weight_map"]
    again = stream_merge(tmp_path / "out", [A], {"a": 0.0}, tmp_path / "one", "Float32")
    assert again.files == ("model.safetensors",)
    assert not (tmp_path / "one" / "model.safetensors.index.json").exists()


def test_tied_weights_are_changed_once_and_written_once(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", more={"lm_head.weight": torch.randn(11, 6, generator=torch.Generator().manual_seed(0))})
    both = Delta("d", "k", {}, {EMBED: torch.ones(11, 6), "lm_head.weight": torch.ones(11, 6)})
    stream_merge(base, [both], {"d": 1.0}, tmp_path / "out", "Float32")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert "lm_head.weight" not in merged
    assert torch.equal(merged[EMBED], load_file(base / "model.safetensors")[EMBED] + 1)


def test_an_adapter_on_a_tied_embedding_alone_is_refused(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    for name in (EMBED, "lm_head.weight"):
        with pytest.raises(InputError, match="one tied parameter"):
            stream_merge(base, [Delta("d", "k", {name: low_rank(11, 6, 3)})], {"d": 1.0}, tmp_path / "out", "Float32")
    assert not (tmp_path / "out").exists()


def test_an_untied_head_is_changed_alone(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", tied=False, more={"lm_head.weight": torch.zeros(11, 6)})
    stream_merge(base, [Delta("d", "k", {}, {"lm_head.weight": torch.ones(11, 6)})], {"d": 2.0}, tmp_path / "out", "Float32")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    assert bool((merged["lm_head.weight"] == 2.0).all())
    assert torch.equal(merged[EMBED], load_file(base / "model.safetensors")[EMBED])


def test_what_belongs_to_the_model_goes_with_it_and_nothing_else(tmp_path: Path) -> None:
    stream_merge(write_model(tmp_path / "base"), [], {}, tmp_path / "out", "BFloat16")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"}
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert "torch_dtype" not in config


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model-00001-of-00002.safetensors").write_bytes(b"of another model")
    with pytest.raises(InputError, match="not an empty folder"):
        stream_merge(write_model(tmp_path / "base"), [], {}, tmp_path / "out", "Float32")


@pytest.mark.parametrize("broken", [{"value": float("nan"), "dtype": "Float32"}, {"value": 1e6, "dtype": "Float16"}])
def test_a_sum_that_is_not_finite_leaves_nothing_behind(tmp_path: Path, broken: dict[str, Any]) -> None:
    base = write_model(tmp_path / "base")
    delta = Delta("d", "k", {}, {UP: torch.full((9, 6), broken["value"])})
    with pytest.raises(InputError, match=UP) as caught:
        stream_merge(base, [delta], {"d": 1.0}, tmp_path / "out", broken["dtype"])
    assert caught.value.reason == "NonFinite"
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = write_model(tmp_path / "base")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiskFullError, match="out"):
        stream_merge(base, [A], {"a": 1.0}, tmp_path / "out", "Float32")
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_names_and_shapes_that_do_not_fit_are_named(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    with pytest.raises(InputError, match=r"model\.down\.weight"):
        stream_merge(base, [Delta("d", "k", {"model.down.weight": low_rank(9, 6, 1)})], {"d": 1.0}, tmp_path / "out", "Float32")
    with pytest.raises(InputError, match=r"\[9, 7\].*\[9, 6\]"):
        stream_merge(base, [Delta("d", "k", {UP: low_rank(9, 7, 1)})], {"d": 1.0}, tmp_path / "out", "Float32")


def test_models_that_differ_are_not_opened_as_tuned(tmp_path: Path) -> None:
    base = open_checkpoint(write_model(tmp_path / "base"))
    more = write_model(tmp_path / "more", more={"model.gate.weight": torch.zeros(2)})
    with pytest.raises(InputError, match=r"the base lacks model\.gate\.weight"):
        open_tuned("t", more, base)
    other = write_model(tmp_path / "other")
    (other / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 1, "b": 0}}}))
    with pytest.raises(InputError, match="2 tokens differ, first 'a' with id 1, in the base 0"):
        open_tuned("t", other, base)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=20), st.integers(1, 4000))
def test_shards_hold_everything_and_overflow_only_for_a_single_tensor(shapes: list[tuple[int, int]], limit: int) -> None:
    tensors = [(f"t{number}", shape, torch.bfloat16) for number, shape in enumerate(shapes)]
    shards = plan_shards(tensors, limit)
    assert sorted((t.name, t.shape) for shard in shards for t in shard.tensors) == sorted((name, shape) for name, shape, _ in tensors)
    for shard in shards:
        assert len(shard.tensors) == 1 or sum(tensor.size for tensor in shard.tensors) <= limit
        assert len(shard.header) % 8 == 0
