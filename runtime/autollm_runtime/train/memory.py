"""Memory for the next attempt, once one was too big."""

from __future__ import annotations

import gc

import torch


def release_memory() -> None:
    """Give back what a failed attempt has left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
