"""Parameters of the base in the precision in which it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from autollm_runtime.delta.checkpoint import open_checkpoint
from autollm_runtime.delta.values import Delta


def stored_parameters(base: Path, deltas: Sequence[Delta], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the changed parameters as the base stores them, where loading in `dtype` rounds them."""
    checkpoint = open_checkpoint(base)
    located = {name: checkpoint.locate(name) for delta in deltas for name in delta.shapes}
    entries = {name: checkpoint.entries[stored] for name, stored in located.items() if stored is not None}
    return {name: entry.read() for name, entry in entries.items() if torch.promote_types(entry.dtype, dtype) != dtype}
