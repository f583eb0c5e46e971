"""The base model: found wherever it lies, checked before anything is trained, and refused by name and remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from autollm.errors import InputError, IntegrityError
from autollm.resources.facts import ModelFact
from autollm.resources.run import BaseModelSpec
from autollm.store import Store, open_store
from autollm.store.memory import MemoryStore
from autollm_runtime.model.base import resolve_base
from autollm_runtime.model.dtypes import choose_device, probe_dtype, torch_dtype
from autollm_runtime.model.fetch import fetch_location, fetch_model
from autollm_runtime.model.loading import load_model, load_tokenizer
from support.tiny_model import make_tiny_model


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "base")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "artifacts"))


def resolve(
    uri: str | Path,
    store: Store,
    tmp_path: Path,
    dtype: str | None = "Float32",
    *,
    last: ModelFact | None = None,
    on_gpus: bool = False,
) -> ModelFact:
    spec = BaseModelSpec.model_validate({"uri": str(uri), "dtype": dtype})
    return resolve_base(spec, store, tmp_path / "scratch", last=last, on_gpus=on_gpus)


def shard(folder: Path) -> None:
    """Save the model in several files with an index."""
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink()


def test_a_folder_is_used_where_it_lies(base: Path, store: Store, tmp_path: Path) -> None:
    fact = resolve(base, store, tmp_path)
    assert fact.uri == base.as_uri()
    assert fact.parameters == sum(tensor.numel() for tensor in load_file(base / "model.safetensors").values())
    assert fetch_model(fact, store, tmp_path) == base
    assert resolve(base.as_uri(), store, tmp_path).digest == fact.digest


@pytest.mark.parametrize("change", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"])
def test_every_part_of_the_model_is_in_its_digest(base: Path, store: Store, tmp_path: Path, change: str) -> None:
    fact = resolve(base, store, tmp_path)
    if change == "model.safetensors":
        tensors = load_file(base / change)
        tensors["model.norm.weight"][0] += 1
        save_file(tensors, base / change, metadata={"format": "pt"})
    else:
        (base / change).write_text((base / change).read_text() + "\n")
    assert resolve(base, store, tmp_path).digest != fact.digest
    with pytest.raises(IntegrityError, match="changed or damaged"):
        fetch_model(fact, store, tmp_path)


def test_other_files_in_the_folder_do_not_count(base: Path, store: Store, tmp_path: Path) -> None:
    fact = resolve(base, store, tmp_path)
    (base / "README.md").write_text("notes")
    assert resolve(base, store, tmp_path).digest == fact.digest


def test_shards_are_one_model(base: Path, store: Store, tmp_path: Path) -> None:
    whole = load_model(base, "Float32", torch.device("cpu")).state_dict()
    shard(base)
    fact = resolve(base, store, tmp_path)
    loaded = load_model(fetch_model(fact, store, tmp_path), "Float32", torch.device("cpu")).state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in loaded.items())


def test_a_model_in_another_store_is_copied_without_what_is_not_the_model(base: Path, tmp_path: Path) -> None:
    (base / "pytorch_model.bin").write_bytes(b"not read")
    store = MemoryStore("s3://some-bucket")
    for path in base.iterdir():
        store.write(f"models/tiny/{path.name}", path.read_bytes())
    copy = fetch_location("s3://some-bucket/models/tiny", None, store, tmp_path / "scratch")
    assert sorted(path.name for path in copy.iterdir()) == sorted(path.name for path in base.iterdir() if path.suffix != ".bin")
    fact = resolve_base(BaseModelSpec(uri="s3://some-bucket/models/tiny", dtype="Float32"), store, tmp_path / "scratch")
    assert fetch_model(fact, store, tmp_path / "scratch") == copy


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def lose_shard(folder: Path) -> None:
    shard(folder)
    sorted(folder.glob("model-0*.safetensors"))[1].unlink()


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def edit_config(**fields: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return edit


def spoil(value: float) -> Callable[[Path], None]:
    def spoiled(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["model.layers.1.mlp.up_proj.weight"][3, 3] = value
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return spoiled


@pytest.mark.parametrize(
    ("damage", "reason", "says"),
    [
        (shutil.rmtree, "NotFound", "check the path"),
        (remove("config.json"), "NoConfig", "save_pretrained"),
        (lambda folder: (folder / "config.json").write_text("{"), "UnreadableConfig", "config.json"),
        (remove("model.safetensors"), "NoWeights", "save_pretrained"),
        (pickle_only, "PickleOnly", "safe_serialization"),
        (lose_shard, "ShardMissing", "model-00002-of"),
        (cut_short, "Damaged", "cut short"),
        (remove("tokenizer.json"), "NoTokenizer", "tokenizer.save_pretrained"),
        (edit_config(quantization_config={"quant_method": "bitsandbytes"}), "Quantised", "bitsandbytes"),
        (edit_config(model_type="my-own", auto_map={"AutoConfig": "x.Y"}), "UnknownModel", "never run"),
        (edit_config(model_type="bert-of-tomorrow"), "UnknownModel", "bert-of-tomorrow"),
        (spoil(float("nan")), "NonFinite", "model.layers.1.mlp.up_proj.weight"),
        (spoil(float("inf")), "NonFinite", "model.layers.1.mlp.up_proj.weight"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    base: Path, store: Store, tmp_path: Path, damage: Callable[[Path], object], reason: str, says: str
) -> None:
    damage(base)
    with pytest.raises(InputError) as refused:
        resolve(base, store, tmp_path)
    assert refused.value.reason == reason
    assert says in str(refused.value)
    assert str(base) in str(refused.value)


def test_weights_that_are_missing_are_not_made_up(base: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"model\.norm\.weight"):
        load_model(base, "Float32", torch.device("cpu"))


def test_the_number_format_is_measured_once_and_kept(base: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = resolve(base, store, tmp_path, dtype=None).dtype
    assert measured in ("BFloat16", "Float32")
    other = "Float32" if measured == "BFloat16" else "BFloat16"
    monkeypatch.setattr("autollm_runtime.model.number_format.probe_dtype", lambda device: other)
    assert resolve(base, store, tmp_path, dtype=None).dtype == measured
    assert resolve(base, store, tmp_path, dtype="Float16").dtype == "Float16"


def test_pods_with_gpus_compute_in_bf16_whatever_the_cpu_of_this_one_is_good_at(
    base: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autollm_runtime.model.number_format.probe_dtype", lambda device: "Float32")
    assert resolve(base, store, tmp_path, dtype=None).dtype == "Float32", "this is what the store remembers from here on"
    assert resolve(base, store, tmp_path, dtype=None, on_gpus=True).dtype == "BFloat16"
    assert resolve(base, store, tmp_path, dtype="Float32", on_gpus=True).dtype == "Float32", "the document has the last word"


def test_a_run_keeps_its_number_format_and_with_it_its_deltas_when_it_gets_gpus(
    base: Path, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = resolve(base, store, tmp_path, dtype="Float32")
    assert resolve(base, store, tmp_path, dtype=None, last=last, on_gpus=True) == last
    assert "model.dtype: BFloat16" in caplog.text
    assert resolve(base, store, tmp_path, dtype="BFloat16", last=last, on_gpus=True).dtype == "BFloat16"
    (base / "config.json").write_text((base / "config.json").read_text() + "\n")
    assert resolve(base, store, tmp_path, dtype=None, last=last, on_gpus=True).dtype == "BFloat16", "no delta is for another base"


def test_probing_is_quick_and_its_answer_can_be_loaded(base: Path) -> None:
    device = choose_device()
    dtype = probe_dtype(device)
    assert load_model(base, dtype, device).dtype == torch_dtype(dtype)


def write_gguf(model: Path, path: Path) -> None:
    """The tiny model as llama.cpp lays it out: its names, the rows of queries and keys in pairs, and one token that is merged."""
    config = json.loads((model / "config.json").read_text())
    tokenizer = load_tokenizer(model)
    heads, keys, layers = config["num_attention_heads"], config["num_key_value_heads"], config["num_hidden_layers"]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(keys)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    writer.add_token_list([*(token for token, _ in vocabulary), "ab"])
    writer.add_token_types([*(3 if token.startswith("<|") else 1 for token, _ in vocabulary), 1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_chat_template(str(tokenizer.chat_template))
    tensors = load_file(model / "model.safetensors")
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output"}
    names |= {"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    names |= {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    embedding = tensors["model.embed_tokens.weight"]
    writer.add_tensor("token_embd.weight", torch.cat([embedding, embedding[:1]]).numpy())
    writer.add_tensor("output_norm.weight", tensors["model.norm.weight"].numpy())
    for layer in range(layers):
        for ours, theirs in names.items():
            tensor = tensors[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):
                count = heads if theirs == "attn_q" else keys
                tensor = tensor.reshape(count, 2, tensor.shape[0] // count // 2, -1).swapaxes(1, 2).reshape(tensor.shape).contiguous()
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_is_converted_once(base: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tiny.gguf"
    write_gguf(base, file)
    fact = resolve(file, store, tmp_path)
    assert fact.uri.startswith(f"{store.uri}/base/")
    folder = fetch_model(fact, store, tmp_path)
    loaded = load_model(folder, "Float32", torch.device("cpu")).state_dict()
    for name, tensor in load_model(base, "Float32", torch.device("cpu")).state_dict().items():
        assert torch.equal(loaded[name][: len(tensor)], tensor), name
    assert load_tokenizer(folder)("b c<|im_end|>")["input_ids"] == load_tokenizer(base)("b c<|im_end|>")["input_ids"]
    assert load_tokenizer(folder).chat_template == load_tokenizer(base).chat_template

    def convert(*args: object) -> None:
        raise AssertionError("converted a second time")

    monkeypatch.setattr("autollm_runtime.model.gguf._convert", convert)
    assert resolve(file, store, tmp_path) == fact


def test_a_file_that_is_no_gguf_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF and then nothing")
    with pytest.raises(InputError, match="cannot be read"):
        resolve(tmp_path / "x.gguf", store, tmp_path)
