"""The keys under which work is known: equal key, equal result, never done twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autollm.contract.digests import digest_document
from autollm.resources.evaluation import Metric
from autollm.resources.training import Adapter, Method

TRAINER_VERSION = 1
"""Raised when the same inputs would train another delta; every key changes with it."""

EVALUATOR_VERSION = 1
"""Raised when the same candidate would get another score."""

PREPARE_VERSION = 1
"""Raised when the same sources would give other chunks."""


def key_parts(method: Method, adapter: Adapter) -> dict[str, Any]:
    """Return what a method and an adapter add to a delta's key; the method's name and its choice of sources are not in it."""
    return {"method": {method.kind: method.hyperparameters.document()}, "adapter": adapter.document()}


def delta_key(parts: Mapping[str, Any], *, base: str, dtype: str, chunks: Sequence[str], start: str | None, max_tokens: int) -> str:
    """Return the digest of everything that determines a delta."""
    document = {"trainer": TRAINER_VERSION, "base": base, "dtype": dtype, "chunks": list(chunks), "start": start, "maxTokens": max_tokens}
    return digest_document({**document, **parts})


def landscape_digest(
    *, base: str, dtype: str, deltas: Mapping[str, str], items: str, sample: int | None, metrics: Sequence[Metric], max_tokens: int
) -> str:
    """Return the digest of what a score depends on beside the weights: only trials of one landscape compare.

    `deltas` maps each delta's name to its key; names count, because weights are given by name.
    """
    document: dict[str, Any] = {
        "evaluator": EVALUATOR_VERSION,
        "base": base,
        "dtype": dtype,
        "deltas": dict(deltas),
        "items": items,
        "sample": sample,
        "metrics": [metric.document() for metric in metrics],
        "maxTokens": max_tokens,
    }
    return digest_document(document)
