"""A model that is scored: what the items need of it is computed once for all metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from autollm.contract.manifests import ItemResult
from autollm_runtime.evaluate.budget import Budget
from autollm_runtime.evaluate.computed import Answer, Computed, SequenceScore, value_of, weighted_mean
from autollm_runtime.evaluate.forward import score_sequences
from autollm_runtime.evaluate.generate import generate_answers
from autollm_runtime.evaluate.items import Item, Items
from autollm_runtime.text.encoding import Encoder


@dataclass(frozen=True)
class Subject:
    """A model in memory with its tokenizer; its weights may change between two calls, never during one."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    budget: Budget

    def score(self, items: Items, between: Callable[[], None] = lambda: None) -> list[ItemResult]:
        """Return the result of every item, in their order.

        Raises InputError (reason NonFinite) where the model computes NaN or infinity, OutOfMemoryError where not even a
        single item fits the memory, and whatever `between` raises, which is called before each batch and each token.
        """
        scores = score_sequences(self.model, items.sequences, self.budget, between)
        answers = generate_answers(self.model, self.tokenizer, items.prompts, self.encoder.stop_ids, self.budget, between)
        return [self._result(item, scores, answers) for item in items.items]

    def _result(self, item: Item, scores: Sequence[SequenceScore], answers: Sequence[Answer]) -> ItemResult:
        computed = Computed(
            likely=None if item.likely is None else scores[item.likely],
            rejected=None if item.rejected is None else scores[item.rejected],
            answer=None if item.prompt is None else answers[item.prompt],
        )
        values = {metric.name: value_of(metric, item.reference, computed, self._text) for metric in item.metrics}
        return ItemResult(
            id=item.id,
            source=item.source,
            score=weighted_mean(item.metrics, values),
            values=values,
            answer=None if computed.answer is None else self._text(computed.answer),
            stopped=None if computed.answer is None else computed.answer.stopped,
        )

    def _text(self, answer: Answer) -> str:
        return cast("str", self.tokenizer.decode(answer.ids, skip_special_tokens=True))
