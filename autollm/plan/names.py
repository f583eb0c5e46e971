"""Names: what a document calls a delta, and what it is called once its source has several chunks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from autollm.resources.facts import Prepared
from autollm.resources.run import RunSpec

FIRST = "-0001"
"""What the name of a source's first chunk ends with where it has, or had, several."""


def with_present_names(spec: RunSpec, prepared: Prepared) -> RunSpec:
    """Return the document with SOURCE/METHOD read as the delta of the source's first chunk.

    A source that grows past one chunk has its first chunk numbered. Weights and patterns written before go on meaning the delta that they
    were written for. Other names stay as they are, also two that would come to mean the same delta.
    """
    chunks = {chunk.name for chunk in prepared.chunks}
    search, baselines = spec.search, spec.baselines
    start = [point.model_copy(update={"weights": _weights(point.weights, chunks)}) for point in search.start or []]
    manual = [point.model_copy(update={"weights": _weights(point.weights, chunks)}) for point in baselines.manual or []]
    entries = [entry.model_copy(update={"match": present_name(entry.match, chunks)}) for entry in search.space.deltas or []]
    space = search.space.model_copy(update={"deltas": entries or None})
    return spec.model_copy(
        update={
            "search": search.model_copy(update={"start": start or None, "space": space}),
            "baselines": baselines.model_copy(update={"manual": manual or None}),
        }
    )


def _weights(weights: Mapping[str, Decimal], chunks: Collection[str]) -> dict[str, Decimal]:
    named = {name: present_name(name, chunks) for name in weights}
    return {name if present in weights else present: weights[name] for name, present in named.items()}


def present_name(name: str, chunks: Collection[str]) -> str:
    """Return what a delta of these chunks is called now, SOURCE/METHOD being that of the source's first chunk."""
    chunk, slash, method = name.partition("/")
    numbered = slash and chunk not in chunks and chunk + FIRST in chunks
    return f"{chunk}{FIRST}/{method}" if numbered else name
