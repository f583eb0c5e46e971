"""Greedy answers, in batches of prompts of similar length, each cut at its cap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation.stopping_criteria import StoppingCriteria, StoppingCriteriaList

from autollm.errors import InputError
from autollm_runtime.evaluate.budget import Budget
from autollm_runtime.evaluate.computed import Answer
from autollm_runtime.evaluate.items import Prompt


@torch.inference_mode()
def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    stops: frozenset[int],
    budget: Budget,
    between: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """Generate an answer to every prompt; they come in the order of the prompts.

    Every call fills caches of its own, which end with it: they belong to the weights of the moment. Nothing of the model's
    generation config is in force, such as a penalty on repetition. `between` is called before each token and may raise.

    Raises:
        InputError: A logit is NaN or +infinite (reason NonFinite).
        OutOfMemoryError: A single prompt does not fit the memory.
    """
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stops)

    def run(batch: list[int]) -> list[Answer]:
        chosen = [prompts[index] for index in batch]
        return [answer.cut(prompt.cap) for answer, prompt in zip(_generate(model, chosen, stops, padding, between), chosen, strict=True)]

    return budget.map([len(prompt.ids) + prompt.cap for prompt in prompts], run, between)


def _generate(
    model: PreTrainedModel, prompts: Sequence[Prompt], stops: frozenset[int], padding: Any, between: Callable[[], None]
) -> list[Answer]:
    width = max(len(prompt.ids) for prompt in prompts)
    ids = torch.full((len(prompts), width), padding, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
        mask[row, width - len(prompt.ids) :] = 1
    config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        do_sample=False,
        max_new_tokens=max(prompt.cap for prompt in prompts),
        eos_token_id=sorted(stops),
        pad_token_id=padding,
        use_cache=True,
    )
    own, model.generation_config = model.generation_config, GenerationConfig()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    try:
        generate: Any = model.generate
        output: Tensor = generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([_Finite()]),
            stopping_criteria=StoppingCriteriaList([_Between(between)]),
        )
    finally:
        model.generation_config = own
    return [_answer(row, stops) for row in output[:, width:].tolist()]


def _answer(ids: list[int], stops: frozenset[int]) -> Answer:
    end = next((index for index, token in enumerate(ids) if token in stops), None)
    return Answer(ids, stopped=False) if end is None else Answer(ids[:end], stopped=True)


class _Finite(LogitsProcessor):
    """Refuses logits that are no numbers: the argmax of NaN is a token like any other."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if not bool(torch.isfinite(scores.amax(1)).all()):
            raise InputError("the model gives logits that are NaN or infinite at these weights", reason="NonFinite")
        return scores


class _Between(StoppingCriteria):
    """Looks between two tokens whether the task was asked to stop; itself it never ends an answer."""

    def __init__(self, between: Callable[[], None]) -> None:
        self._between = between

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        self._between()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
