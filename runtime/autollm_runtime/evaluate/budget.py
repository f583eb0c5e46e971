"""How many tokens are computed at once: as many as help, and fewer for good once memory ran out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from autollm.errors import OutOfMemoryError
from autollm_runtime.text.batching import batches_by_length
from autollm_runtime.worker.ending import is_out_of_memory

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Enough for matrix products at full speed; more only takes memory.
_CPU_TOKENS, _CPU_LOGITS = 2048, 1 << 27
_GPU_TOKENS, _GPU_LOGITS = 16384, 1 << 30


class Budget:
    """The tokens of one padded batch."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def map(self, lengths: Sequence[int], run: Callable[[list[int]], Sequence[T]], between: Callable[[], None]) -> list[T]:
        """Return what `run` gives for things of these lengths, which it is called with in batches of similar length.

        `run` gets the indices of a batch and returns a value for each; the values come back in the order of the lengths.
        `between` is called before each batch and may raise. When memory runs out the budget is halved and what is left is
        batched anew; raises OutOfMemoryError where a single one is too large.
        """
        results: dict[int, T] = {}
        waiting = batches_by_length(lengths, self.tokens)
        while waiting:
            between()
            batch = waiting[0]
            try:
                values = run(batch)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise OutOfMemoryError(
                        f"the memory does not suffice for a single sequence of {lengths[batch[0]]} tokens: {error}"
                    ) from error
            else:
                results.update(zip(batch, values, strict=True))
                waiting = waiting[1:]
                continue
            # Outside of the handler, whose exception holds the frames and with them the tensors.
            self._halve()
            left = [index for group in waiting for index in group]
            waiting = [[left[i] for i in group] for group in batches_by_length([lengths[index] for index in left], self.tokens)]
        return [results[index] for index in range(len(lengths))]

    def _halve(self) -> None:
        self.tokens = max(1, self.tokens // 2)
        _log.warning("memory ran out; batches are halved", extra={"tokens": self.tokens})
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def budget_for(device: torch.device, vocabulary: int) -> Budget:
    """Return the budget a device begins with: bounded by the logits, which dwarf everything else in a small model."""
    tokens, logits = (_CPU_TOKENS, _CPU_LOGITS) if device.type == "cpu" else (_GPU_TOKENS, _GPU_LOGITS)
    return Budget(max(1, min(tokens, logits // vocabulary)))
