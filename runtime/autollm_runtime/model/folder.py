"""A model's folder: which files make the model, whether they are whole and safe to read, and their digest."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from autollm.contract.digests import digest_document, digest_file
from autollm.errors import InputError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tekken.json")
_TEXTS = (
    CONFIG,
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    *_TOKENIZERS,
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_HEADER_LIMIT = 100_000_000


@dataclass(frozen=True)
class ModelFolder:
    """A model as `save_pretrained` lays it out, checked to be whole.

    `weights` and `texts` are names below `path`: the safetensors files that are loaded, and every other file that
    changes what the model does. `parameters` counts stored numbers, tied ones once.
    """

    path: Path
    weights: tuple[str, ...]
    texts: tuple[str, ...]
    parameters: int

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the model, in order."""
        return tuple(sorted((*self.weights, *self.texts)))

    def digest(self) -> str:
        """Return the digest over the digests of all files by name."""
        with ThreadPoolExecutor(4) as pool:
            digests = list(pool.map(lambda name: digest_file(self.path / name), self.files))
        return digest_document(dict(zip(self.files, digests, strict=True)))


def is_model_file(name: str) -> bool:
    """Whether a file beside a config may belong to the model; what else lies in a prefix need not be copied."""
    return name in _TEXTS or name == INDEX or name.endswith(".safetensors")


def inspect_folder(path: Path, name: str) -> ModelFolder:
    """Return what makes the model in a folder; `name` is what messages call it.

    Reads configuration and headers, no weights. Raises InputError where the folder is missing or is not a whole model:
    no config, no weights in safetensors, a shard that its index names, or no tokenizer.
    """
    if not path.is_dir():
        what = "is a file; give the folder it lies in, or a .gguf file" if path.is_file() else "does not exist; check the path"
        raise InputError(f"model.uri: {name} {what}", reason="NotFound")
    _check_config(_read_json(path / CONFIG, f"model.uri: {name}"), name)
    weights = find_weights(path, f"model.uri: {name}")
    if not any((path / tokenizer).is_file() for tokenizer in _TOKENIZERS):
        raise InputError(
            f"model.uri: {name} has no tokenizer ({_TOKENIZERS[0]} or {_TOKENIZERS[1]}); write it there with tokenizer.save_pretrained",
            reason="NoTokenizer",
        )
    texts = tuple(text for text in (*_TEXTS, INDEX) if (path / text).is_file())
    if weights == (WEIGHTS,):
        texts = tuple(text for text in texts if text != INDEX)
    parameters = sum(_count_parameters(path / file, f"{name}/{file}") for file in weights)
    return ModelFolder(path, weights, texts, parameters)


def find_weights(path: Path, called: str) -> tuple[str, ...]:
    """Return the names of a folder's files of weights; `called` begins the messages.

    Raises InputError where there are none, a shard is missing, or they are pickled only.
    """
    # The order in which transformers looks, so that what is digested is what is loaded.
    if (path / WEIGHTS).is_file():
        return (WEIGHTS,)
    if (path / INDEX).is_file():
        mapping = _read_json(path / INDEX, called).get("weight_map")
        if not isinstance(mapping, dict) or not mapping:
            raise InputError(f"{called}: {INDEX} names no weights; save the model again with save_pretrained", reason="NoWeights")
        shards = tuple(sorted({str(shard) for shard in mapping.values()}))
        missing = [shard for shard in shards if Path(shard).name != shard or not (path / shard).is_file()]
        if missing:
            raise InputError(
                f"{called} is incomplete: {len(missing)} of {len(shards)} shards that {INDEX} names are missing, "
                f"first {missing[0]}; copy or download the model again",
                reason="ShardMissing",
            )
        return shards
    pickles = sorted(entry.name for entry in path.iterdir() if entry.suffix in _PICKLES)
    if pickles:
        raise InputError(
            f"{called} has its weights only as pickle ({pickles[0]}), which can run code when it is read; "
            "convert it once with save_pretrained(safe_serialization=True)",
            reason="PickleOnly",
        )
    raise InputError(f"{called} has no {WEIGHTS} and no {INDEX}; save the model there with save_pretrained", reason="NoWeights")


def _check_config(config: dict[str, Any], name: str) -> None:
    if "model_type" not in config:
        raise InputError(f"model.uri: {CONFIG} of {name} names no model_type; give the folder of a language model, not of an adapter")
    if "quantization_config" in config:
        method = config["quantization_config"].get("quant_method", "an unknown method")
        raise InputError(
            f"model.uri: {name} is quantised ({method}); deltas need full precision: give the unquantised model, or a .gguf file",
            reason="Quantised",
        )


def _read_json(path: Path, called: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{called} has no {path.name}; give the folder that save_pretrained wrote", reason="NoConfig") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{called}: {path.name} cannot be read: {error}", reason="UnreadableConfig") from error
    if not isinstance(document, dict):
        raise InputError(f"{called}: {path.name} is not a JSON object", reason="UnreadableConfig")
    return document


def _count_parameters(path: Path, name: str) -> int:
    """Return how many numbers a safetensors file holds, by its header; InputError where it is cut short."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if not 2 <= length <= min(_HEADER_LIMIT, size - 8):
                raise ValueError("its header does not fit the file")
            header: dict[str, Any] = json.loads(file.read(length))
            tensors = [entry for key, entry in header.items() if key != "__metadata__"]
            if max((entry["data_offsets"][1] for entry in tensors), default=0) != size - 8 - length:
                raise ValueError(f"it has {size} bytes, not as many as its header says")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"model.uri: {name} is damaged or cut short: {error}; copy or download it again", reason="Damaged") from error
    return sum(prod(entry["shape"]) for entry in tensors)
