"""A first estimate of the computing: floating-point operations by the usual rules of thumb, over what a GPU is taken to do a second.

A forward pass costs two operations a parameter and token, a backward pass twice as many (Kaplan et al. 2020, arXiv:2001.08361), and half
of that again where the weights themselves are frozen, as below a LoRA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autollm.resources.evaluation import Metric
from autollm.resources.training import Adapter, Method

BYTES_PER_TOKEN = 4.0
FORWARD, BACKWARD, BACKWARD_OF_LORA = 2.0, 4.0, 2.0
GENERATED = 10.0
"""What a generated token costs, in tokens that are read: generation waits for memory."""

TFLOPS = 200.0
"""What a GPU is taken to do by default, in 10¹² operations a second: a fifth of what an H100's sheet says for dense BFloat16."""


@dataclass(frozen=True)
class Trained:
    """One training: the tokens of its records and how they are used."""

    method: Method
    adapter: Adapter | None
    records: int
    record_tokens: float

    @property
    def tokens(self) -> float:
        """Tokens in all epochs, or in the steps that are asked for."""
        asked = self.method.hyperparameters
        seen = float(self.records * asked.epochs)
        if asked.max_steps is not None:
            seen = min(seen, float(asked.max_steps * asked.batch_size))
        return seen * self.record_tokens

    def operations(self, parameters: int) -> float:
        """Return the operations; DPO reads everything a second time, with the model that it starts from."""
        frozen = self.adapter is None or self.adapter.lora is not None
        passes = FORWARD + (BACKWARD_OF_LORA if frozen else BACKWARD) + (FORWARD if self.method.dpo is not None else 0.0)
        return passes * parameters * self.tokens


def scoring_operations(metrics: Sequence[Metric], items: int, item_tokens: float, parameters: int) -> float:
    """Return the operations of scoring one candidate; metrics that read the same items share that pass."""
    generated = sum(metric.match.max_tokens for metric in metrics if metric.match is not None)
    return FORWARD * parameters * items * (item_tokens + GENERATED * generated)


def gpu_hours(operations: float, tflops: float) -> float:
    """Return the hours that one GPU computes."""
    return operations / (tflops * 1e12) / 3600
