"""LLaMA-Factory's dataset_info.json beside the files it describes: which columns of each play which part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autollm.errors import InputError
from autollm.resources.sources import FileFormat

DATASET_INFO = "dataset_info.json"

_PARTS = {
    "prompt": "prompt",
    "query": "input",
    "response": "completion",
    "history": "history",
    "messages": "messages",
    "system": "system",
    "chosen": "chosen",
    "rejected": "rejected",
}
"""The part that each name of its `columns` stands for."""


@dataclass(frozen=True)
class Described:
    """What a description says of one file: the format, and the column of each part."""

    format: FileFormat
    columns: Mapping[str, str]


def read_dataset_info(data: bytes, uri: str) -> dict[str, Described]:
    """Return the descriptions by file name; those of data sets on a hub are left out.

    Its `tags` need no reading: the names of roles are known. Raises InputError (InvalidJSON) naming the file.
    """
    try:
        entries: Any = json.loads(data)
        return {str(entry["file_name"]): _described(entry) for entry in entries.values() if "file_name" in entry}
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"{uri} does not describe data sets as LLaMA-Factory does ({error}); mend or remove it", reason="InvalidJSON"
        ) from error


def _described(entry: Mapping[str, Any]) -> Described:
    named: Mapping[str, str] = entry.get("columns") or {}
    columns = {_PARTS[name]: str(column) for name, column in named.items() if name in _PARTS and column}
    sharegpt = entry.get("formatting", "alpaca") == "sharegpt"
    if entry.get("ranking"):
        if "messages" in columns:
            columns["prompt"] = columns.pop("messages")
        elif sharegpt:
            columns["prompt"] = "conversations"
        columns.pop("completion", None)
        return Described("Preference", columns)
    if sharegpt:
        return Described("ShareGPT", columns)
    if columns.keys() == {"prompt"} and "response" not in named and named:
        return Described("Text", {"text": columns["prompt"]})
    return Described("Alpaca", columns)
