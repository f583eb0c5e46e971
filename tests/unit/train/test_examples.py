"""What each method takes from a chunk: the records that fit it, each encoded once, and nothing cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autollm.contract import layout
from autollm.contract.digests import digest_bytes
from autollm.contract.manifests import Record
from autollm.errors import InputError, IntegrityError
from autollm.resources.delta_training import TrainingChunk
from autollm.resources.training import Method
from autollm.store.memory import MemoryStore
from autollm_runtime.text.encoding import Encoder
from autollm_runtime.train.examples import Example, read_examples, units
from support.tiny_model import make_tiny_tokenizer
from support.training import documents, preferences, sums

TOKENIZER = make_tiny_tokenizer()


def chunk(store: MemoryStore, *files: list[Record]) -> TrainingChunk:
    digests = []
    for records in files:
        data = "".join(json.dumps(record.document()) + "\n" for record in records).encode()
        digests.append(digest_bytes(data))
        store.write(layout.records(digests[-1]), data)
    return TrainingChunk(name="s", digests=digests)


def method(kind: str, **settings: Any) -> Method:
    return Method.model_validate({"name": "m", kind: settings})


def read(kind: str, tmp_path: Path, *files: list[Record]) -> list[Example]:
    store = MemoryStore()
    return read_examples(chunk(store, *files), method(kind), Encoder(TOKENIZER, 64), store, tmp_path)


def text(ids: Any) -> str:
    return str(TOKENIZER.decode([token for token in ids if token != -100]))


def test_sft_learns_answers_and_of_preferences_the_chosen_one(tmp_path: Path) -> None:
    examples = read("sft", tmp_path, sums(2) + documents(3), preferences(1))
    assert [text(example.columns["labels"]) for example in examples] == ["0<|im_end|>", "2<|im_end|>", "1<|im_end|>"]
    assert examples[0].length == len(examples[0].columns["input_ids"])
    assert examples[0].learned == 2


def test_dpo_takes_pairs_with_their_ends_behind_one_prompt(tmp_path: Path) -> None:
    (example,) = read("dpo", tmp_path, sums(2), preferences(1))
    assert text(example.columns["prompt_ids"]).endswith("0+1?<|im_end|>\n<|im_start|>assistant\n")
    assert text(example.columns["chosen_ids"]) == "1<|im_end|>"
    assert text(example.columns["rejected_ids"]) == "2<|im_end|>"
    assert example.learned == 1


def test_pretraining_takes_texts_with_an_end_between_documents(tmp_path: Path) -> None:
    examples = read("pretrain", tmp_path, documents(3) + sums(2))
    assert [text(example.columns["input_ids"]) for example in examples] == [f"{record.text}<|im_end|>" for record in documents(3)]
    assert all(example.learned == example.length - 1 for example in examples)
    packs = units(examples, method("pretrain"), 64)
    assert len(packs) == 2
    assert sorted(index for members in packs for index in members) == [0, 1, 2]


def test_nothing_is_cut(tmp_path: Path) -> None:
    (example,) = read("pretrain", tmp_path, [Record(id="1", source="s", origin="1", text="x" * 100)])
    assert example.length == 101


def test_a_chunk_without_fitting_records_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="chunk s has no record for method m: dpo learns from preference"):
        read("dpo", tmp_path, sums(2))


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    store = MemoryStore()
    made = chunk(store, sums(2))
    key = layout.records(made.digests[0])
    data = bytearray(store.read(key))
    data[10] ^= 1
    store.write(key, bytes(data))
    with pytest.raises(IntegrityError):
        read_examples(made, method("sft"), Encoder(TOKENIZER, 64), store, tmp_path)
