"""Where a server stops: the generation config of a published model names every token with which training ends an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, GenerationConfig

from autollm.store.disk import disk_errors
from autollm_runtime.model.loading import load_tokenizer
from autollm_runtime.text.encoding import Encoder

GENERATION_CONFIG = "generation_config.json"


def write_stops(folder: Path) -> None:
    """Add to a model's generation config what it lacks of the tokenizer's end token and the one its chat template closes a turn with.

    Tuned models often come with a template whose end of turn the base's generation config does not know: served, they would go
    on after every answer. A config that names them all stays as it is.
    """
    path = folder / GENERATION_CONFIG
    with disk_errors(str(folder)):
        if not path.is_file():  # what transformers would take instead
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            GenerationConfig.from_model_config(config).save_pretrained(folder)
        document: dict[str, Any] = json.loads(path.read_bytes())
        known = stops_of(document.get("eos_token_id"))
        missing = sorted(trained_stops(folder) - set(known))
        if missing:
            path.write_text(json.dumps(document | {"eos_token_id": [*known, *missing]}, indent=2) + "\n", encoding="utf-8")


def trained_stops(folder: Path) -> frozenset[int]:
    """Return the tokens with which training ends what the model in a folder is to write."""
    return Encoder(load_tokenizer(folder), max_tokens=1).stop_ids


def stops_of(eos_token_id: int | list[int] | None) -> list[int]:
    """Return the tokens that a generation config names, which may be one, several or none."""
    if eos_token_id is None:
        return []
    return [eos_token_id] if isinstance(eos_token_id, int) else eos_token_id
