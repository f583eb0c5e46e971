"""Number formats: the documents' names for PyTorch's types, the device, and which format is fast on it."""

from __future__ import annotations

import time
from typing import Literal

import torch

DTypeName = Literal["BFloat16", "Float16", "Float32"]

_TYPES: dict[str, torch.dtype] = {"BFloat16": torch.bfloat16, "Float16": torch.float16, "Float32": torch.float32}

# Tokens of a small batch × hidden × intermediate size of a small language model.
_SHAPE = (512, 576, 1536)
_REPEATS = 7

_CLEARLY_FASTER = 1.25
"""bf16 rounds every activation to 8 bits of mantissa: it has to buy more than the noise of a timing."""


def torch_dtype(name: str) -> torch.dtype:
    """Return PyTorch's type for BFloat16, Float16 or Float32; KeyError for other names."""
    return _TYPES[name]


def choose_device() -> torch.device:
    """Return the first CUDA device where there is one, else the CPU."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def probe_dtype(device: torch.device) -> Literal["BFloat16", "Float32"]:
    """Return BFloat16 where the device multiplies clearly faster in it, else Float32.

    A GPU is asked. A CPU is timed on products of a model's shapes, the two formats in turn, the fastest of several
    repeats each: with AVX512-BF16 or AMX bf16 is several times faster, without them up to 1.6 times slower than fp32.
    """
    if device.type == "cuda":
        return "BFloat16" if torch.cuda.is_bf16_supported() else "Float32"
    single = _operands(torch.float32, device)
    half = _operands(torch.bfloat16, device)
    fastest = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    with torch.inference_mode():
        for operands in (single, half):
            _multiply(*operands)
        for _ in range(_REPEATS):
            for dtype, operands in ((torch.float32, single), (torch.bfloat16, half)):
                started = time.perf_counter()
                _multiply(*operands)
                fastest[dtype] = min(fastest[dtype], time.perf_counter() - started)
    return "BFloat16" if fastest[torch.bfloat16] * _CLEARLY_FASTER < fastest[torch.float32] else "Float32"


def _operands(dtype: torch.dtype, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens, hidden, inner = _SHAPE
    generator = torch.Generator(device).manual_seed(0)
    shapes = ((tokens, hidden), (inner, hidden), (hidden, inner))
    first, up, down = (torch.randn(shape, generator=generator, device=device).to(dtype) for shape in shapes)
    return first, up, down


def _multiply(states: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """The two large products of a block; small batches and large ones go through different kernels, so both are in it."""
    linear = torch.nn.functional.linear
    linear(linear(states[:32], up), down)
    return linear(linear(states, up), down)
