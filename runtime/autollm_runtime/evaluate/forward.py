"""Log-probabilities of given answers in one forward pass, with logits only where a token is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from autollm.errors import InputError
from autollm_runtime.evaluate.budget import Budget
from autollm_runtime.evaluate.computed import SequenceScore
from autollm_runtime.evaluate.prefix import Prefix, compute_prefix, group_by_prefix
from autollm_runtime.text.encoding import Encoded

_ROWS = 64
"""Rows of logits reduced at a time: their fp32 copy then stays in the processor's cache."""


@torch.inference_mode()
def score_sequences(
    model: PreTrainedModel, sequences: Sequence[Encoded], budget: Budget, between: Callable[[], None] = lambda: None
) -> list[SequenceScore]:
    """Score sequences in batches of similar length; the results come in the order of the sequences.

    `between` is called before each batch and may raise. A sequence is `greedy` where greedy decoding from its prompt gives
    exactly its scored tokens: with them as prefix, each is the argmax.

    Raises:
        InputError: A log-probability is NaN or infinite (reason NonFinite).
        OutOfMemoryError: A single sequence does not fit the memory.
    """
    results: dict[int, SequenceScore] = {}
    for group in group_by_prefix(sequences):
        prefix = compute_prefix(model, sequences[group.indices[0]].ids[: group.length]) if group.length else None
        members = [sequences[index] for index in group.indices]

        def run(batch: list[int], members: list[Encoded] = members, prefix: Prefix | None = prefix) -> list[SequenceScore]:
            return _score(model, [members[index] for index in batch], prefix)

        lengths = [len(member.ids) - (prefix.length if prefix else 0) for member in members]
        results.update(zip(group.indices, budget.map(lengths, run, between), strict=True))
    return [results[index] for index in range(len(sequences))]


def _score(model: PreTrainedModel, batch: Sequence[Encoded], prefix: Prefix | None) -> list[SequenceScore]:
    """Score one batch, padded on the right: causal attention never looks there, so that no mask is needed."""
    width = max(2, *(len(sequence.ids) for sequence in batch))
    begin = prefix.length if prefix else 0
    cache = prefix.repeated(len(batch)) if prefix else None
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    scored = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
        scored[row, : len(sequence.ids)] = torch.tensor(sequence.mask)
    rows, columns = scored[:, 1:].nonzero(as_tuple=True)
    device = model.device
    targets = ids[rows, columns + 1].to(device)
    logits = _logits(model, ids[:, begin:-1].to(device), rows.to(device), columns.to(device) - begin, cache)
    log_probabilities, greedy = _reduce(logits, targets)
    if not bool(torch.isfinite(log_probabilities).all()):
        raise InputError("the model gives logits that are NaN or infinite at these weights", reason="NonFinite")
    counts = torch.bincount(rows, minlength=len(batch))
    sums = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, rows, log_probabilities.double().cpu())
    hits = torch.zeros(len(batch), dtype=torch.long).index_add_(0, rows, greedy.long().cpu())
    return [
        SequenceScore(total, count, hit == count) for total, count, hit in zip(sums.tolist(), counts.tolist(), hits.tolist(), strict=True)
    ]


def _logits(model: PreTrainedModel, ids: Tensor, rows: Tensor, columns: Tensor, cache: Cache | None) -> Tensor:
    """Return the logits at some positions (n, vocabulary), as the model itself makes them from its hidden states."""
    with _head_sees_only(model, rows, columns):
        logits: Tensor = model(input_ids=ids, past_key_values=cache, use_cache=cache is not None).logits
    return logits if logits.dim() == 2 else logits[rows, columns]


@contextmanager
def _head_sees_only(model: PreTrainedModel, rows: Tensor, columns: Tensor) -> Iterator[None]:
    """Let only some positions through to the output layer, which costs as much as a third of a small model.

    What a model does to its logits afterwards (scaling, soft-capping) works on each position alone and stays in force.
    """
    head: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    if head is None:
        yield
        return

    def select(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (arguments[0][rows, columns], *arguments[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


def _reduce(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each row the target's log-probability in fp32, and whether it is the argmax."""
    log_probabilities = torch.empty(len(logits), dtype=torch.float32, device=logits.device)
    greedy = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
    step = _ROWS if logits.device.type == "cpu" else len(logits) or 1
    for start in range(0, len(logits), step):
        part = slice(start, start + step)
        rows, wanted = logits[part].float(), targets[part].unsqueeze(1)
        values = rows.gather(1, wanted)
        highest = rows.amax(1, keepdim=True)
        # Of equal logits greedy decoding takes the first, so a target that reaches the maximum is looked at again.
        at_top = (values == highest).squeeze(1)
        greedy[part] = at_top
        if bool(at_top.any()):
            greedy[start + at_top.nonzero().squeeze(1)] = rows[at_top].argmax(1) == wanted[at_top].squeeze(1)
        log_probabilities[part] = (values - highest - (rows - highest).exp_().sum(1, keepdim=True).log_()).squeeze(1)
    return log_probabilities, greedy
