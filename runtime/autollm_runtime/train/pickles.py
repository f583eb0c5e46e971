"""The pickles of a checkpoint, the only ones that are ever read: of tensors and plain values, and never the weights."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from transformers.trainer_pt_utils import safe_globals

from autollm.contract.wording import plain

_NO_PICKLES = frozenset({".safetensors", ".json", ".jinja", ".txt", ".model", ".md"})
_STATES = re.compile(r"(optimizer|scheduler|scaler)\.pt|rng_state(_\d+)?\.pth")


def fault_of_pickles(folder: Path) -> str:
    """Return why a checkpoint is not to be gone on from, as it holds what could be code; empty where nothing of it does.

    A store is trusted with digests only: whoever can write to it can give a pickle that runs code the digest that it has.
    """
    for path in sorted(found for found in folder.rglob("*") if found.is_file() and found.suffix not in _NO_PICKLES):
        if not _STATES.fullmatch(path.name):
            return f"{plain(path.name)} is no file of a checkpoint"
        try:
            with safe_globals():  # type: ignore[no-untyped-call]  # transformers has no types here
                torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except Exception as error:  # whatever bytes make of it, they are no state of ours
            return f"{plain(path.name)} holds something else than tensors and plain values ({plain(type(error).__name__)})"
    return ""
