"""The output head in training: log-probabilities of learned tokens alone, with little memory, on CPUs as fast as a plain loop.

TRL's own head is made for GPUs: it projects in pieces of the vocabulary and once more in the backward pass. On a CPU it goes over every
token of the prompts as well and takes up to four times as long as plain PyTorch. This one takes its place there, under TRL's own trainers.
"""

from __future__ import annotations

from importlib.metadata import version
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from trl.trainer import utils as trl_utils

_TOKENS_AT_ONCE = 256
"""Logits of so many tokens are in memory together; enough that reading the head's weights is no longer what takes the time."""

TESTED_TRL = "1.16"
"""TRL does not export its head, so another minor version may have moved it; pyproject.toml asks for this one."""

_HEAD = "_ChunkedLogProbFunction"
_COMPACT = "_use_triton"

_Outputs = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]


class LearnedHead:
    """What TRL's trainers call in place of their own head; on other devices than CPUs that is what they get."""

    original: Any = None

    @classmethod
    def apply(
        cls,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        chunk_size: int,
        softcap: float | None,
        scale: float,
        outputs: tuple[str, ...],
    ) -> _Outputs:
        """Return log-probabilities of `targets` (n,) after states `hidden` (n, width), then TRL's metrics, which are zero here."""
        if hidden.device.type != "cpu":
            return cls.original.apply(hidden, weight, bias, targets, temperature, chunk_size, softcap, scale, outputs)  # type: ignore[no-any-return]  # TRL is untyped
        if weight.requires_grad:
            log_probs = _log_probs(hidden, weight, bias, targets, temperature, softcap, scale)
        else:
            log_probs = _FrozenHead.apply(hidden, weight, bias, targets, temperature, softcap, scale)
        nothing = torch.zeros_like(log_probs, requires_grad=False)
        metrics = {"entropy": nothing, "log_sum_sq_probs": nothing, "mean_logits": nothing, "is_top1": nothing.bool()}
        entropy, squares, mean, top = (metric if name in outputs else None for name, metric in metrics.items())
        return log_probs, entropy, squares, mean, top


class _FrozenHead(torch.autograd.Function):
    """A head that is not trained: each log-probability depends on its own state, so its gradient is known in the forward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, *head: Any) -> Tensor:
        """Compute values and gradients piece by piece; nothing of the size of the vocabulary is kept."""
        weight, bias, targets, temperature, softcap, scale = head
        log_probs = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        slopes = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), _TOKENS_AT_ONCE):
            piece = slice(start, start + _TOKENS_AT_ONCE)
            with torch.set_grad_enabled(slopes is not None):
                states = hidden[piece].detach().requires_grad_(slopes is not None)
                found = _log_probs(states, weight, bias, targets[piece], temperature, softcap, scale)
                if slopes is not None:
                    (slopes[piece],) = torch.autograd.grad(found.sum(), states)
            log_probs[piece] = found.detach()
        ctx.save_for_backward(slopes)
        return log_probs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Scale the known gradients."""
        (slopes,) = ctx.saved_tensors
        return slopes * grads[0][:, None].to(slopes.dtype), None, None, None, None, None, None


def _log_probs(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float, softcap: float | None, scale: float
) -> Tensor:
    logits = functional.linear(hidden, weight, bias).float() * scale
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    return -functional.cross_entropy(logits / temperature if temperature != 1 else logits, targets, reduction="none")


def use_learned_head(module: ModuleType = trl_utils) -> None:
    """Let TRL's trainers on CPUs project learned positions only, through the head above; other devices keep what TRL has for them.

    Raises ImportError where the installed TRL has no such head, instead of training slowly or otherwise than was tested.
    """
    missing = [name for name in (_HEAD, _COMPACT) if not hasattr(module, name)]
    if missing:
        raise ImportError(
            f"TRL {version('trl')} has no {' and no '.join(missing)} in {module.__name__}: AutoLLM is tested with TRL {TESTED_TRL}; "
            f"install it with: pip install 'trl=={TESTED_TRL}.*'"
        )
    if getattr(module, _HEAD) is LearnedHead:
        return
    compact = getattr(module, _COMPACT)

    def leaves_prompts_out(device: torch.device) -> bool:
        # TRL does so where its Triton kernels run; the name decides nothing else in that module.
        return device.type == "cpu" or bool(compact(device))

    LearnedHead.original = getattr(module, _HEAD)
    setattr(module, _COMPACT, leaves_prompts_out)
    setattr(module, _HEAD, LearnedHead)
