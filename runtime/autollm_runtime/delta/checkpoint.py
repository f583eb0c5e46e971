"""A checkpoint on disk: which tensors its safetensors files hold, found and read without loading the model."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from autollm.errors import InputError
from autollm_runtime.model.folder import CONFIG, find_weights

DTYPES: Final[Mapping[str, torch.dtype]] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The names of number formats in a safetensors header."""

_HEADER_LIMIT = 100_000_000
_HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight", "tok_embeddings.weight")


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: its file, its first byte there, its number format and its shape."""

    path: Path
    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole tensor."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> Tensor:
        """Return the tensor in memory of its own."""
        buffer = bytearray(self.size)
        with self.path.open("rb", buffering=0) as file:
            read_exactly(file.fileno(), memoryview(buffer), self.offset, self.path)
        if not buffer:
            return torch.empty(self.shape, dtype=self.dtype)
        return torch.frombuffer(buffer, dtype=self.dtype).view(self.shape)


def read_exactly(descriptor: int, buffer: memoryview, offset: int, path: Path) -> None:
    """Fill a buffer from a place in a file; raises InputError where the file ends before."""
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], offset + done)
        if count == 0:
            raise InputError(f"{path} is shorter than its header says; it was cut off, copy it again", reason="Truncated")
        done += count


def read_header(path: Path) -> dict[str, Entry]:
    """Return every tensor of a safetensors file by name; raises InputError where the file is damaged or not one."""
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > min(_HEADER_LIMIT, length):
                raise ValueError("the header is longer than the file")
            header: dict[str, Any] = json.loads(file.read(size))
    except (ValueError, struct.error) as error:
        raise InputError(f"{path} is not a safetensors file: {error}; copy or save it again", reason="UnreadableTensors") from error
    header.pop("__metadata__", None)
    entries = {}
    for name, fields in sorted(header.items()):
        start, stop = fields["data_offsets"]
        if fields["dtype"] not in DTYPES:
            raise InputError(f"{path}: {name} has the number format {fields['dtype']}, which cannot be merged; give unquantised weights")
        entry = Entry(path, 8 + size + start, DTYPES[fields["dtype"]], tuple(fields["shape"]))
        if entry.size != stop - start or 8 + size + stop > length:
            raise InputError(f"{path}: {name} does not lie whole in the file; it was cut off, copy it again", reason="Truncated")
        entries[name] = entry
    return entries


@dataclass(frozen=True)
class Checkpoint:
    """A model's folder as `save_pretrained` lays it out; `entries` has every stored tensor in the order of names."""

    folder: Path
    entries: Mapping[str, Entry]
    config: Mapping[str, Any]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every stored tensor."""
        return {name: entry.shape for name, entry in self.entries.items()}

    @cached_property
    def tied_head(self) -> bool:
        """Whether the output head is the input embedding, stored once or twice alike."""
        if self.head is None:
            return self.embedding is not None
        if not self.config.get("tie_word_embeddings", False) or self.embedding is None:
            return False
        return torch.equal(self.entries[self.head].read(), self.entries[self.embedding].read())

    def locate(self, parameter: str) -> str | None:
        """Return the stored name of a parameter of the loaded model, or None where it is not stored.

        They differ where the head is tied to the embedding, and where a checkpoint lacks the prefix of its body.
        """
        if parameter.endswith(_HEADS) and self.tied_head:
            return self.embedding
        if parameter in self.entries:
            return parameter
        shorter = parameter.partition(".")[2]
        return shorter if shorter in self.entries else None

    @property
    def head(self) -> str | None:
        """The stored name of the output head."""
        return next((name for name in self.entries if name.endswith(_HEADS)), None)

    @property
    def embedding(self) -> str | None:
        """The stored name of the input embedding."""
        return next((name for name in self.entries if name.endswith(_EMBEDDINGS)), None)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read the headers of a model's folder; raises InputError where files are missing, damaged or pickled only."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder that save_pretrained wrote", reason="NotFound")
    config = read_json(folder / CONFIG)
    entries: dict[str, Entry] = {}
    for name in find_weights(folder, str(folder)):
        entries |= read_header(folder / name)
    return Checkpoint(folder, dict(sorted(entries.items())), config)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; raises InputError where it is missing or none."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} is missing; give the folder that save_pretrained wrote", reason="NotFound") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}", reason="UnreadableConfig") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no JSON object", reason="UnreadableConfig")
    return document
