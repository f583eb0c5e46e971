"""The items of a split: which records are scored, by which metrics, and what a model has to compute for that."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from autollm.contract.manifests import Message, Record
from autollm.errors import InputError
from autollm.resources.evaluation import Metric
from autollm_runtime.evaluate.metrics.match import check_pattern, fits, generates
from autollm_runtime.text.encoding import Encoded, Encoder


@dataclass(frozen=True)
class Item:
    """One record with the metrics that fit it; the numbers point into the sequences and prompts of its `Items`.

    `reference` is the text of the answer that is compared with: the last turn of the assistant, or the chosen one.
    """

    id: str
    source: str
    metrics: tuple[Metric, ...]
    reference: str
    likely: int | None
    rejected: int | None
    prompt: int | None


@dataclass(frozen=True)
class Prompt:
    """What an answer is generated to, and the greatest number of tokens of it."""

    ids: list[int]
    cap: int


@dataclass(frozen=True)
class Items:
    """The items in their fixed order; each sequence and each prompt is computed once, whatever the number of its metrics."""

    items: tuple[Item, ...]
    sequences: tuple[Encoded, ...]
    prompts: tuple[Prompt, ...]


def draw(records: Sequence[Record], count: int | None) -> list[Record]:
    """Return `count` records, evenly from all sources, or all; a larger draw contains the smaller ones.

    Within a source the order is that of a hash of the record's id, so that it has nothing to do with the content.
    """
    if count is None or count >= len(records):
        return list(records)
    ranked = sorted(records, key=lambda record: hashlib.sha256(record.id.encode()).digest())
    rank: Counter[str] = Counter()
    placed = []
    for record in ranked:
        placed.append((rank[record.source], record.source, record))
        rank[record.source] += 1
    chosen = {record.id for _, _, record in sorted(placed, key=lambda entry: entry[:2])[:count]}
    return [record for record in records if record.id in chosen]


def build_items(records: Sequence[Record], metrics: Sequence[Metric], encoder: Encoder, *, answers: int = 0) -> Items:
    """Encode records for the metrics that fit them.

    `answers` asks for a generated answer to that many items, drawn evenly from the sources, for people to read, where no
    metric generates any.

    Raises:
        InputError: No metric fits an item or a metric fits no item (reason MetricDoesNotFit), a pattern is no regular
            expression, or the model has no chat template.
    """
    for metric in metrics:
        if metric.match is not None:
            check_pattern(metric.match, metric.name)
    read = {record.id for record in draw([record for record in records if record.text is None], answers)} if answers else set()
    builder = _Builder(encoder)
    items = tuple(builder.add(record, metrics, read=record.id in read) for record in records)
    _check_fit(items, metrics)
    return Items(items, tuple(builder.sequences), tuple(builder.prompts))


SAMPLE_CAP = 48
"""Tokens of an answer that is generated for people to read only."""


class _Builder:
    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.sequences: list[Encoded] = []
        self.prompts: list[Prompt] = []

    def add(self, record: Record, metrics: Sequence[Metric], *, read: bool) -> Item:
        prompt, reference = _asked(record)
        chosen = tuple(metric for metric in metrics if _fits(metric, record, reference))
        cap = max([m.match.max_tokens for m in chosen if m.match is not None and generates(m.match)] + [SAMPLE_CAP] * read, default=0)
        likely = rejected = None
        if any(metric.match is None or not generates(metric.match) for metric in chosen):
            likely = self._sequence(record, self._encoder.text(reference) if prompt is None else self._encoder.answer(prompt, reference))
        if record.rejected is not None and prompt is not None and any(metric.preference is not None for metric in chosen):
            rejected = self._sequence(record, self._encoder.answer(prompt, record.rejected))
        asked = None
        if cap and prompt is not None:
            asked = len(self.prompts)
            self.prompts.append(Prompt(self._encoder.prompt(prompt), cap))
        return Item(record.id, record.source, chosen, reference, likely, rejected, asked)

    def _sequence(self, record: Record, encoded: Encoded) -> int:
        if not encoded.learned:
            raise InputError(f"an item of source {record.source!r} has no token to score (record {record.id}): drop it", reason="EmptyItem")
        self.sequences.append(encoded)
        return len(self.sequences) - 1


def _asked(record: Record) -> tuple[list[Message] | None, str]:
    """Return what is asked and the reference answer; a document is asked by nothing."""
    if record.text is not None:
        return None, record.text
    if record.prompt is not None and record.chosen is not None:
        return record.prompt, record.chosen
    messages = record.messages or []
    last = max((index for index, message in enumerate(messages) if message.role == "assistant"), default=None)
    if last is None:
        raise InputError(f"an item of source {record.source!r} has no turn of the assistant to compare with (record {record.id})")
    return messages[:last], messages[last].content


def _fits(metric: Metric, record: Record, reference: str) -> bool:
    if metric.sources is not None and record.source not in metric.sources:
        return False
    if metric.preference is not None:
        return record.rejected is not None
    if metric.match is not None:
        return record.text is None and fits(metric.match, reference)
    return True


def _check_fit(items: Sequence[Item], metrics: Sequence[Metric]) -> None:
    for item in items:
        if not item.metrics:
            names = ", ".join(metric.name for metric in metrics)
            raise InputError(
                f"evaluation.metrics: none of {names} fits an item of source {item.source!r} (record {item.id}); "
                "add a metric that does, such as likelihood",
                reason="MetricDoesNotFit",
            )
    used = {metric.name for item in items for metric in item.metrics}
    for metric in metrics:
        if metric.name not in used:
            where = f" of the sources {', '.join(metric.sources)}" if metric.sources else ""
            raise InputError(
                f"evaluation.metrics: metric {metric.name!r} ({metric.kind}) fits none of the {len(items)} items{where}; "
                "remove it, or mend what it looks for",
                reason="MetricDoesNotFit",
            )
    if not any(metric.weight for metric in metrics if metric.name in used):
        raise InputError("evaluation.metrics: every metric has weight 0, so that there is no objective; give one a weight above 0")
