"""Records as a method learns from them: token ids once per record, in the columns of TRL's collators."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autollm.contract import layout
from autollm.contract.manifests import Record
from autollm.errors import InputError
from autollm.resources.delta_training import TrainingChunk
from autollm.resources.training import Method
from autollm.store import Store
from autollm.store.objects import download_verified
from autollm_runtime.text.encoding import Encoded, Encoder
from autollm_runtime.train.schedule import Step, pack


@dataclass(frozen=True)
class Example:
    """One encoded record.

    `length` is how many tokens it takes in a batch of its own, padding included, `tokens` how many it has, `longest` those of
    its longest sequence, and `learned` its share in a step's loss: learned tokens, or one for a pair of answers.
    """

    columns: Mapping[str, array[int]]
    length: int
    tokens: int
    longest: int
    learned: int


_WANTS = {"sft": "messages or preference", "dpo": "preference", "pretrain": "text"}


def read_examples(chunk: TrainingChunk, method: Method, encoder: Encoder, store: Store, scratch: Path) -> list[Example]:
    """Return what a method can learn from, of all files of a chunk in their order.

    Records of other shapes are left out. Raises InputError where nothing is left, IntegrityError where a file is damaged.
    """
    encode = _ENCODINGS[method.kind]
    examples = [example for record in _records(chunk, store, scratch) if (example := encode(record, encoder)) is not None]
    if not examples:
        raise InputError(
            f"chunk {chunk.name} has no record for method {method.name}: {method.kind} learns from {_WANTS[method.kind]} records; "
            "name the sources that have them in the method's `sources`",
            reason="NoRecords",
        )
    return examples


def units(examples: Sequence[Example], method: Method, max_tokens: int) -> list[Step]:
    """Return what counts as one record of a batch: a record, or for pretraining a pack of documents of `max_tokens` together."""
    if method.kind == "pretrain":
        return pack([example.length for example in examples], max_tokens)
    return [(index,) for index in range(len(examples))]


def _records(chunk: TrainingChunk, store: Store, scratch: Path) -> Iterator[Record]:
    for digest in chunk.digests:
        path = scratch / f"{layout.hexadecimal(digest)}.jsonl"
        download_verified(store, layout.records(digest), digest, path)
        with path.open("rb") as lines:
            for line in lines:
                yield Record.parse(json.loads(line))


def _completion(record: Record, encoder: Encoder) -> Example | None:
    if record.messages is not None:
        return _learned(encoder.messages(record.messages))
    if record.prompt is not None and record.chosen is not None:
        return _learned(encoder.answer(record.prompt, record.chosen))
    return None


def _pair(record: Record, encoder: Encoder) -> Example | None:
    if record.prompt is None or record.chosen is None or record.rejected is None:
        return None
    chosen, rejected = encoder.answer(record.prompt, record.chosen), encoder.answer(record.prompt, record.rejected)
    asked = chosen.mask.index(True)
    columns = {"prompt_ids": chosen.ids[:asked], "chosen_ids": chosen.ids[asked:], "rejected_ids": rejected.ids[asked:]}
    arrays = {name: array("i", ids) for name, ids in columns.items()}
    longest = max(len(chosen), len(rejected))
    return Example(arrays, 2 * longest, len(chosen) + len(rejected), longest, 1)


def _document(record: Record, encoder: Encoder) -> Example | None:
    return None if record.text is None else _learned(encoder.text(record.text))


def _learned(encoded: Encoded) -> Example:
    columns = {"input_ids": array("i", encoded.ids), "labels": array("i", encoded.labels)}
    return Example(columns, len(encoded), len(encoded), len(encoded), encoded.learned)


_ENCODINGS: Mapping[str, Callable[[Record, Encoder], Example | None]] = {"sft": _completion, "dpo": _pair, "pretrain": _document}
