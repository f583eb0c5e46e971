"""Telling that the memory was too small from every other failure."""

from __future__ import annotations

import gc

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on the accelerator or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("DefaultCPUAllocator: can't allocate memory" in text or "out of memory" in text.lower())


def release_memory() -> None:
    """Give back what a failed attempt has left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
