"""What a model computes for an item, and the value that each metric takes from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autollm.resources.evaluation import Metric
from autollm_runtime.evaluate.metrics.likelihood import likelihood
from autollm_runtime.evaluate.metrics.match import agrees, generates
from autollm_runtime.evaluate.metrics.preference import preference


@dataclass(frozen=True)
class SequenceScore:
    """The log-probability of all scored tokens of a sequence together, how many they are, and whether each is the likeliest."""

    log_probability: float
    tokens: int
    greedy: bool


@dataclass(frozen=True)
class Answer:
    """The tokens of an answer without the one that ended it, and whether there was one before the cap."""

    ids: list[int]
    stopped: bool

    def cut(self, cap: int) -> Answer:
        """Return what the answer would have been with a smaller cap: the ending token counts too."""
        length = len(self.ids) + self.stopped
        return self if length <= cap else Answer(self.ids[:cap], stopped=False)


@dataclass(frozen=True)
class Computed:
    """What a model computed for one item; None where none of its metrics asks for it."""

    likely: SequenceScore | None
    rejected: SequenceScore | None
    answer: Answer | None


def value_of(metric: Metric, reference: str, computed: Computed, text: Callable[[Answer], str]) -> float:
    """Return the value of one metric for an item that it fits; `text` decodes an answer."""
    likely, rejected, answer = computed.likely, computed.rejected, computed.answer
    if metric.match is not None and generates(metric.match) and answer is not None:
        return float(agrees(metric.match, text(answer.cut(metric.match.max_tokens)), reference))
    if metric.match is not None and likely is not None:
        # Generation would have been cut at the cap, and a longer reference could never have come out of it.
        return float(likely.greedy and likely.tokens <= metric.match.max_tokens)
    if metric.preference is not None and likely is not None and rejected is not None:
        return preference(likely.log_probability, rejected.log_probability)
    if metric.likelihood is not None and likely is not None:
        return likelihood(likely.log_probability, likely.tokens)
    raise AssertionError(f"metric {metric.name} lacks what it is computed from")


def weighted_mean(metrics: Sequence[Metric], values: Mapping[str, float]) -> float | None:
    """Return the weighted mean of an item's values; None where every metric that fits it has weight 0 and only constrains."""
    total = sum(float(metric.weight) for metric in metrics)
    return sum(float(metric.weight) * values[metric.name] for metric in metrics) / total if total else None
