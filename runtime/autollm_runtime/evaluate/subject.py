"""A model that is scored: what every item needs of it is computed once, then each metric takes its value from that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from autollm.contract.manifests import ItemResult
from autollm.resources.evaluation import Metric
from autollm_runtime.evaluate.budget import Budget
from autollm_runtime.evaluate.forward import SequenceScore, score_sequences
from autollm_runtime.evaluate.generate import Answer, generate_answers
from autollm_runtime.evaluate.items import Item, Items
from autollm_runtime.evaluate.metrics.likelihood import likelihood
from autollm_runtime.evaluate.metrics.match import agrees, generates
from autollm_runtime.evaluate.metrics.preference import preference
from autollm_runtime.text.encoding import Encoder


@dataclass(frozen=True)
class Computed:
    """What a model computed for one item; None where none of its metrics asks for it."""

    likely: SequenceScore | None
    rejected: SequenceScore | None
    answer: Answer | None


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


def value_of(metric: Metric, reference: str, computed: Computed, text: Callable[[Answer], str]) -> float:
    """Return the value of one metric for an item that it fits; `text` decodes an answer."""
    likely, rejected, answer = computed.likely, computed.rejected, computed.answer
    if metric.match is not None and generates(metric.match) and answer is not None:
        return float(agrees(metric.match, text(answer.cut(metric.match.max_tokens)), reference))
    if metric.match is not None and likely is not None:
        return float(likely.greedy)
    if metric.preference is not None and likely is not None and rejected is not None:
        return preference(likely.log_probability, rejected.log_probability)
    if metric.likelihood is not None and likely is not None:
        return likelihood(likely.log_probability, likely.tokens)
    raise AssertionError(f"metric {metric.name} lacks what it is computed from")


def weighted_mean(metrics: Sequence[Metric], values: dict[str, float]) -> float | None:
    """Return the weighted mean of an item's values; None where every metric that fits it has weight 0 and only constrains."""
    total = sum(float(metric.weight) for metric in metrics)
    return sum(float(metric.weight) * values[metric.name] for metric in metrics) / total if total else None
